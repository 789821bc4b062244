"""The way of a portfolio with rules: certificate, feasibility, exact choice, tie-break, and verification last."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from time import perf_counter

import numpy as np
from msgspec.structs import replace

from solver.plain import MOST_IN_LISTS
from solver.problem import (
    Infeasible,
    InfeasibleReason,
    Outcome,
    Portfolio,
    Solution,
    SolutionPath,
    SolverStrategy,
    TimeLimit,
)
from solver.ruled.allowed import Interval, Line, allowed, lines_of
from solver.ruled.binding import Found, Proof, solve_binding
from solver.ruled.book import Book, Totals, open_book
from solver.ruled.certificate import Own, best_alone
from solver.ruled.infeasibility import explain
from solver.ruled.plain import PlainBook, best_in_lists, open_plain
from solver.ruled.restraints import restraints_of
from solver.ruled.verification import Checked, verify, verify_plain
from solver.rules import Bands, Restraint, Rules
from solver.scaling import EXACT, Integers
from solver.stages import MILP_PART
from solver.verification import VerificationError


def solve_with_rules_in_stages(
    portfolio: Portfolio, rules: Rules, strategy: SolverStrategy, started: float, time_limit_seconds: float
) -> Outcome:
    """See `solver.cascade.solve`; `started` is when the caller asked."""
    if strategy is SolverStrategy.AUTO and len(portfolio.securities) <= MOST_IN_LISTS:
        solution = _plainly(open_plain(portfolio, rules), started)
        if solution is not None:
            return solution
    book = open_book(portfolio, rules)
    own = best_alone(book)
    found = _certificate(book, own)
    if found is None or strategy is SolverStrategy.MILP:
        deadline = started + time_limit_seconds
        settled = None if strategy is SolverStrategy.MILP else _settled(book, own)
        lines, choices, infeasible = _open(book, settled)
        if infeasible is not None and settled is not None:
            lines, choices, infeasible = _open(book, None)
        if infeasible is not None:
            reasons, message, preferred = infeasible
            seconds = perf_counter() - started
            return Infeasible(reasons, message, book.money(book.market_value), seconds, preferred_feasible=preferred)
        if strategy is SolverStrategy.MILP and lines:
            remaining = deadline - perf_counter()
            candidate = _milp(book, lines, choices, MILP_PART * remaining) if remaining > 0 else None
            found = _better(book, candidate, found or solve_binding(book, lines, choices, own, deadline))
        elif found is None:
            found = solve_binding(book, lines, choices, own, deadline)
    return _outcome(book, own, found, started)


def _plainly(book: PlainBook, started: float) -> Solution | None:
    """Return the best quantity of every security on its own, worked out in lists; see `_certificate`."""
    own = best_in_lists(book) if book.market_value >= 0 else None
    if own is None or own.uses > book.capacity:
        return None
    checked = verify_plain(book, own.trades, own.objective)
    proof = Proof(own.objective, tie_proven=True, path=SolutionPath.ROUNDING)
    return _solution(book, own.exempt, own.restraints, checked, proof, started)


def _settled(book: Book, own: Own) -> Integers:
    """Return which securities can only stay as held if cash binds: none may be sold, and none is to be bought."""
    unsold = book.no_selling | book.locked | book.in_band
    settled: Integers = unsold & (own.trades == 0) & (book.held_lots >= 0) & ~own.impossible
    return settled


def _open(
    book: Book, settled: Integers | None
) -> tuple[list[Line], list[list[Interval]], tuple[tuple[InfeasibleReason, ...], str, bool] | None]:
    """Return the securities that are not settled by ascending id, what each may trade, and why that is infeasible."""
    names = [security.security_id for security in book.portfolio.securities]
    indices = range(len(names)) if settled is None else np.flatnonzero(~settled).tolist()
    lines = lines_of(book, sorted(indices, key=names.__getitem__))
    pairs = [allowed(line, book.rules.bands) for line in lines]
    choices = [some for some, _ in pairs]
    return lines, choices, explain(book, lines, choices, [standing for _, standing in pairs])


def _milp(book: Book, lines: Sequence[Line], choices: Sequence[list[Interval]], seconds: float) -> Checked | None:
    """Return the result of the integer program, if it satisfies every rule."""
    # CVXPY is not worth loading if no portfolio is sent through it.
    from solver.ruled.milp import solve_milp  # noqa: PLC0415

    trades = solve_milp(book, lines, choices, seconds)
    if trades is None:
        return None
    lots = np.zeros_like(book.held_lots)
    for line, trade in zip(lines, trades, strict=True):
        lots[line.index] = trade
    try:
        return verify(book, lots)
    except VerificationError:
        return None


def _better(book: Book, candidate: Checked | None, proven: Found) -> Found:
    """Return the proven result, named after the integer program if that found it too, or a better one in time."""
    if candidate is None:
        return proven
    checked = verify(book, proven.trades)
    preferred = book.rules.bands is Bands.PREFERRED
    mine = candidate.outside * preferred, candidate.objective
    other = checked.outside * preferred, checked.objective
    if mine < other:
        lots = np.array(candidate.trades, dtype=book.held_lots.dtype)
        proven = replace(proven, trades=lots, tie_proven=False)
    return replace(proven, path=SolutionPath.FULL_MILP) if mine <= other else proven


def _certificate(book: Book, own: Own) -> Found | None:
    """Return the best quantity of every security on its own, if all of them exist and the cash allows them."""
    if book.market_value < 0 or own.impossible.any():
        return None
    if int(own.uses.sum()) > book.capacity:
        return None
    return Found(int(own.objectives.sum()), tie_proven=True, path=SolutionPath.ROUNDING, trades=own.trades)


def _outcome(book: Book, own: Own, found: Found, started: float) -> Outcome:
    """Return the verified solution, or the time limit with what is known."""
    checked = verify(book, found.trades, found.bound)
    if not found.outside_proven or checked.objective != found.bound:
        with localcontext(EXACT):
            acceptable = book.rules.acceptable_gap * book.market_value
            within = found.outside_proven and checked.objective - found.bound <= acceptable
        if not within:
            seconds = perf_counter() - started
            return TimeLimit(book.money(checked.objective), book.money(found.bound), seconds)
    return _solution(book, own.exempt, restraints_of(book, own), checked, found, started)


def _solution(
    book: Totals,
    exempt: Sequence[bool] | Integers,
    restraints: tuple[Restraint | None, ...],
    checked: Checked,
    proof: Proof,
    started: float,
) -> Solution:
    securities = book.portfolio.securities
    trades = _shares(book, checked.trades)
    with localcontext(EXACT):
        quantities = tuple([row.quantity + trade for row, trade in zip(securities, trades, strict=True)])
    cost = book.money(checked.objective)
    nothing = book.market_value == 0 and not any(trades)
    return Solution(
        trades=trades,
        quantities=quantities,
        market_value=book.money(book.market_value),
        cash_after=book.money(checked.cash_after),
        objective=cost,
        bound=cost if proof.bound == checked.objective else book.money(proof.bound),
        tie_proven=proof.tie_proven,
        path=SolutionPath.NOTHING_TO_DO if nothing else proof.path,
        seconds=perf_counter() - started,
        fees=book.money(checked.fees),
        outside=book.money(checked.outside) if book.rules.bands is Bands.PREFERRED else Decimal(0),
        restraints=restraints,
        outside_band=tuple(securities[index].security_id for index in checked.beyond if exempt[index]),
    )


def _shares(book: Totals, lots: list[int]) -> tuple[int | Decimal, ...]:
    """Return the trades in shares: integers if the security's own lot is one."""
    if not book.rules.lot_sizes and book.rules.lot_size == 1:
        return tuple(lots)
    special = {lot.security_id: lot.lot_size for lot in book.rules.lot_sizes}
    trades: list[int | Decimal] = []
    with localcontext(EXACT):
        for security, trade in zip(book.portfolio.securities, lots, strict=True):
            size = special.get(security.security_id, book.rules.lot_size)
            trades.append(int(size) * trade if size == int(size) else size * trade)
    return tuple(trades)
