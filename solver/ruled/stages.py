"""The way of a portfolio with rules: certificate, feasibility, exact choice, tie-break, and verification last."""

from decimal import Decimal, localcontext
from time import perf_counter

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from solver.knapsack.search import UNLIMITED
from solver.problem import Infeasible, Outcome, Portfolio, Solution, SolutionPath, SolverStrategy, TimeLimit
from solver.ruled.allowed import Interval, Line, allowed, lines_of
from solver.ruled.book import Book, open_book
from solver.ruled.certificate import Own, best_alone, fees_of
from solver.ruled.choice import Limits, choose
from solver.ruled.infeasibility import explain
from solver.ruled.levels import Key, best, levels_of, objective, total
from solver.ruled.menus import fold, menu
from solver.ruled.restraints import restraints_of
from solver.ruled.verification import Checked, verify
from solver.rules import Bands, Rules
from solver.scaling import EXACT, Integers
from solver.verification import VerificationError

MILP_PART = 0.9
"""Part of the time limit that the integer program may use; the rest proves or replaces its result."""

SEARCH_STATES = 250_000
"""Partial choices that the search for the optimum holds at once."""

TIE_STATES, TIE_WORK = 20_000, 200_000
"""Partial choices that the tie-break holds at once, and examines in all: limits that no clock changes."""


class Way(Struct, frozen=True):
    """A portfolio whose cash binds, as lines and choices by ascending security id."""

    book: Book
    lines: list[Line]
    choices: list[list[Interval]]
    deadline: float

    def lots(self, trades: list[int]) -> Integers:
        """Return trades of the lines in the order of the portfolio."""
        lots = np.zeros_like(self.book.held_lots)
        for line, trade in zip(self.lines, trades, strict=True):
            lots[line.index] = trade
        return lots


class Found(Struct, frozen=True):
    """Trades in lots, and what is proven of them.

    Attributes:
        trades: in the order of the portfolio.
        bound: least objective that is possible, in units.
        outside_proven: less money outside the bands is not possible, or does not matter.
    """

    trades: Integers
    bound: int
    tie_proven: bool
    path: SolutionPath
    outside_proven: bool = True


def answer(
    portfolio: Portfolio, rules: Rules, strategy: SolverStrategy, started: float, time_limit_seconds: float
) -> Outcome:
    """See `solver.cascade.solve`; `started` is when the caller asked."""
    book = open_book(portfolio, rules)
    own = best_alone(book)
    found = _certificate(book, own)
    if found is None or strategy is SolverStrategy.MILP:
        names = [security.security_id for security in portfolio.securities]
        lines = lines_of(book, sorted(range(len(names)), key=names.__getitem__))
        pairs = [allowed(line, rules.bands) for line in lines]
        way = Way(book, lines, [some for some, _ in pairs], started + time_limit_seconds)
        infeasible = explain(book, lines, way.choices, [standing for _, standing in pairs])
        if infeasible is not None:
            reasons, message, preferred = infeasible
            seconds = perf_counter() - started
            return Infeasible(reasons, message, book.money(book.market_value), seconds, preferred_feasible=preferred)
        found = _full_milp(way, found) if strategy is SolverStrategy.MILP else _exact(way)
    return _outcome(book, own, found, started)


def _full_milp(way: Way, certified: Found | None) -> Found:
    """The integer program first, then the proof and the tie-break of any result, or their better result."""
    # CVXPY is not worth loading if no portfolio is sent through it.
    from solver.ruled.milp import solve_milp  # noqa: PLC0415

    remaining = way.deadline - perf_counter()
    found = None
    if way.lines and remaining > 0:
        found = solve_milp(way.book, way.lines, way.choices, MILP_PART * remaining)
    proven = certified or _exact(way)
    if found is None:
        return proven
    try:
        candidate = verify(way.book, way.lots(found))
    except VerificationError:
        return proven
    checked = verify(way.book, proven.trades)
    preferred = way.book.rules.bands is Bands.PREFERRED
    mine = candidate.outside * preferred, candidate.objective
    other = checked.outside * preferred, checked.objective
    if mine < other:
        proven = replace(proven, trades=candidate.trades, tie_proven=False)
    if mine <= other:
        return replace(proven, path=SolutionPath.FULL_MILP)
    return proven


def _certificate(book: Book, own: Own) -> Found | None:
    """The best quantity of every security on its own, if all of them exist and the cash allows them."""
    if book.market_value < 0 or own.impossible.any():
        return None
    used = int((book.lot_values * own.trades + fees_of(book, own.trades)).sum())
    if used > book.capacity:
        return None
    return Found(own.trades, int(own.objectives.sum()), tie_proven=True, path=SolutionPath.ROUNDING)


def _exact(way: Way) -> Found:
    """The optimum by search, then the optimum that the later levels prefer."""
    way = _nearest_to_bands(way)
    capacity = way.book.capacity
    levels = levels_of(way.book.rules, ties=False)
    folded = fold(way.lines, way.choices, levels, quantities=False)
    menus = [menu(i, line, some, folded) for i, (line, some) in enumerate(zip(way.lines, way.choices, strict=True))]
    limits = Limits(way.deadline, SEARCH_STATES, persist=True, max_work=UNLIMITED)
    choice = choose(menus, capacity, limits)
    assert choice.trades is not None
    if choice.bound < choice.cost:
        bound, outside_proven = _bound(way, folded.unfold(choice.bound), choice.trades)
        return Found(way.lots(choice.trades), bound, False, SolutionPath.KNAPSACK, outside_proven)
    return _tie_broken(way, choice.trades)


def _bound(way: Way, least: Key, trades: list[int]) -> tuple[int, bool]:
    """The least objective, and whether what matters more than the objective is proven to be at its least."""
    levels = total(way.lines, trades, levels_of(way.book.rules, ties=False))
    if levels[:-1] == least[:-1]:
        return least[-1], True
    goal = way.book.rules.goal
    bound = 0
    for line, some in zip(way.lines, way.choices, strict=True):
        own = best(line, some, lambda one, trade: (objective(one, trade, goal),))
        assert own is not None
        bound += own[0][0]
    return bound, False


def _tie_broken(way: Way, trades: list[int]) -> Found:
    """The optimum that is best by all levels; the one at hand if the search for it gives up."""
    levels = levels_of(way.book.rules, ties=True)
    folded = fold(way.lines, way.choices, levels, quantities=True)
    menus = [menu(i, line, some, folded) for i, (line, some) in enumerate(zip(way.lines, way.choices, strict=True))]
    ceiling = sum(folded.cost(i, line, trade) for i, (line, trade) in enumerate(zip(way.lines, trades, strict=True)))
    limits = Limits(way.deadline, TIE_STATES, persist=False, max_work=TIE_WORK)
    choice = choose(menus, way.book.capacity, limits, ceiling)
    best_trades = trades if choice.trades is None else choice.trades
    bound = total(way.lines, trades, levels_of(way.book.rules, ties=False))[-1]
    return Found(way.lots(best_trades), bound, folded.whole and choice.bound == choice.cost, SolutionPath.KNAPSACK)


def _nearest_to_bands(way: Way) -> Way:
    """With preferred bands, leave out whatever is farther outside than necessary, if the cash allows that for all."""
    if way.book.rules.bands is Bands.REQUIRED:
        return way
    restricted = []
    for line, some in zip(way.lines, way.choices, strict=True):
        first, last = line.band
        inside = [(max(low, first), min(high, last)) for low, high in some if max(low, first) <= min(high, last)]
        if not inside:
            nearest = best(line, some, lambda one, trade: (one.outside(trade), one.cash(trade)))
            assert nearest is not None
            inside = [(nearest[1], nearest[1])]
        restricted.append(inside)
    least = sum(
        min(line.cash(trade) for ends in some for trade in (ends[0], 0) if ends[0] <= trade <= ends[1])
        for line, some in zip(way.lines, restricted, strict=True)
    )
    if least > way.book.capacity:
        return way
    return Way(way.book, way.lines, restricted, way.deadline)


def _outcome(book: Book, own: Own, found: Found, started: float) -> Outcome:
    """The verified solution, or the time limit with what is known."""
    checked = verify(book, found.trades, found.bound)
    seconds = perf_counter() - started
    with localcontext(EXACT):
        acceptable = book.rules.acceptable_gap * book.market_value
        if not found.outside_proven or checked.objective - found.bound > acceptable:
            return TimeLimit(book.money(checked.objective), book.money(found.bound), seconds)
    return _solution(book, own, found, checked, started)


def _solution(book: Book, own: Own, found: Found, checked: Checked, started: float) -> Solution:
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
        bound=cost if found.bound == checked.objective else book.money(found.bound),
        tie_proven=found.tie_proven,
        path=SolutionPath.NOTHING_TO_DO if nothing else found.path,
        seconds=perf_counter() - started,
        fees=book.money(checked.fees),
        outside=book.money(checked.outside) if book.rules.bands is Bands.PREFERRED else Decimal(0),
        restraints=restraints_of(book, own),
        outside_band=tuple(securities[index].security_id for index in checked.beyond if own.exempt[index]),
    )


def _shares(book: Book, lots: Integers) -> tuple[int | Decimal, ...]:
    """Trades in shares: integers if the security's own lot is one."""
    if not book.rules.lot_sizes and book.rules.lot_size == 1:
        return tuple(lots.tolist())
    special = {lot.security_id: lot.lot_size for lot in book.rules.lot_sizes}
    trades: list[int | Decimal] = []
    with localcontext(EXACT):
        for security, trade in zip(book.portfolio.securities, lots.tolist(), strict=True):
            size = special.get(security.security_id, book.rules.lot_size)
            trades.append(int(size) * trade if size == int(size) else size * trade)
    return tuple(trades)
