"""The way of a portfolio with rules: certificate, feasibility, exact choice, tie-break, and verification last."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from time import perf_counter

from msgspec import Struct

from solver.knapsack.search import UNLIMITED
from solver.problem import Infeasible, Outcome, Portfolio, Solution, SolutionPath, SolverStrategy, TimeLimit
from solver.ruled.allowed import Interval, Line, Standing, allowed, lines_of
from solver.ruled.book import Book, open_book
from solver.ruled.choice import Limits, choose
from solver.ruled.infeasibility import explain
from solver.ruled.levels import Key, best, levels_of, total
from solver.ruled.menus import fold, menu
from solver.ruled.restraints import restraint_on
from solver.ruled.verification import Checked, check
from solver.rules import Bands, Rules
from solver.scaling import EXACT
from solver.verification import VerificationError

SEARCH_STATES = 250_000
"""Partial choices that the search for the optimum holds at once."""

TIE_STATES, TIE_WORK = 20_000, 200_000
"""Partial choices that the tie-break holds at once, and examines in all: limits that no clock changes."""


class Way(Struct, frozen=True):
    """A portfolio under way; lines, choices and standings are by ascending security id."""

    book: Book
    lines: list[Line]
    choices: list[list[Interval]]
    standings: list[Standing]
    started: float
    deadline: float


class Found(Struct, frozen=True):
    """Trades in lots, by ascending security id, and what is proven of them.

    Attributes:
        bound: least objective that is possible, in units; None if the first level is not proven.
    """

    trades: list[int]
    bound: int | None
    tie_proven: bool
    path: SolutionPath


def answer(
    portfolio: Portfolio, rules: Rules, strategy: SolverStrategy, started: float, time_limit_seconds: float
) -> Outcome:
    """See `solver.cascade.solve`; `started` is when the caller asked."""
    book = open_book(portfolio, rules)
    names = [security.security_id for security in portfolio.securities]
    lines = lines_of(book, sorted(range(len(names)), key=names.__getitem__))
    pairs = [allowed(line, rules.bands) for line in lines]
    way = Way(
        book, lines, [some for some, _ in pairs], [how for _, how in pairs], started, started + time_limit_seconds
    )
    infeasible = explain(book, lines, way.choices, way.standings)
    if infeasible is not None:
        reasons, message, preferred = infeasible
        return Infeasible(
            reasons, message, book.money(book.market_value), perf_counter() - started, preferred_feasible=preferred
        )
    found = _found(way, strategy)
    return _outcome(way, found)


def _found(way: Way, strategy: SolverStrategy) -> Found:
    certified = _certificate(way) if strategy is SolverStrategy.AUTO else None
    return certified or _exact(way)


def _certificate(way: Way) -> Found | None:
    """The best quantity of every security on its own, if the cash allows all of them."""
    levels = levels_of(way.book.rules, ties=True)
    trades = []
    for line, some in zip(way.lines, way.choices, strict=True):
        own = best(line, some, levels)
        assert own is not None
        trades.append(own[1])
    if sum(line.cash(trade) for line, trade in zip(way.lines, trades, strict=True)) > way.book.capacity:
        return None
    bound = total(way.lines, trades, levels_of(way.book.rules, ties=False))[-1] if way.lines else 0
    return Found(trades, bound, tie_proven=True, path=SolutionPath.ROUNDING)


def _exact(way: Way) -> Found:
    """The optimum by search, then the optimum that the later levels prefer."""
    certified = _certificate(way)
    if certified is not None:
        return certified
    way = _nearest_to_bands(way)
    capacity = way.book.capacity
    levels = levels_of(way.book.rules, ties=False)
    folded = fold(way.lines, way.choices, levels, quantities=False)
    menus = [menu(i, line, some, folded) for i, (line, some) in enumerate(zip(way.lines, way.choices, strict=True))]
    limits = Limits(way.deadline, SEARCH_STATES, persist=True, max_work=UNLIMITED)
    choice = choose(menus, capacity, limits)
    assert choice.trades is not None
    if choice.bound < choice.cost:
        return Found(
            choice.trades, _bound(way, folded.unfold(choice.bound), choice.trades), False, SolutionPath.KNAPSACK
        )
    return _tie_broken(way, choice.trades)


def _bound(way: Way, least: Key, trades: list[int]) -> int | None:
    """The least objective, if nothing that matters more than the objective can still be improved."""
    levels = total(way.lines, trades, levels_of(way.book.rules, ties=False))
    return least[-1] if levels[:-1] == least[:-1] else None


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
    return Found(best_trades, bound, folded.whole and choice.bound == choice.cost, SolutionPath.KNAPSACK)


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
    return Way(way.book, way.lines, restricted, way.standings, way.started, way.deadline)


def _outcome(way: Way, found: Found) -> Outcome:
    """The verified solution, or the time limit with what is known."""
    book = way.book
    rules = book.rules
    lots: list[int] = [0] * len(way.lines)
    for line, trade in zip(way.lines, found.trades, strict=True):
        lots[line.index] = trade
    trades = _shares(book, lots)
    checked = check(book.portfolio, rules, trades)
    objective = total(way.lines, found.trades, levels_of(rules, ties=False))[-1] if way.lines else 0
    if Fraction(book.money(objective)) != checked.objective:
        raise VerificationError("the objective is not what the search claims")
    if found.bound is not None and found.bound > objective:
        raise VerificationError(f"the objective {objective} lies below its proven bound {found.bound}")
    seconds = perf_counter() - way.started
    if found.bound is None or objective > found.bound:
        gap = None if found.bound is None else objective - found.bound
        if gap is None or gap > Fraction(rules.acceptable_gap) * book.market_value:
            return TimeLimit(book.money(objective), None if found.bound is None else book.money(found.bound), seconds)
    return _solution(way, found, trades, checked, book.money(objective))


def _shares(book: Book, lots: Sequence[int]) -> tuple[int | Decimal, ...]:
    special = {lot.security_id: lot.lot_size for lot in book.rules.lot_sizes}
    trades: list[int | Decimal] = []
    with localcontext(EXACT):
        for security, trade in zip(book.portfolio.securities, lots, strict=True):
            size = special.get(security.security_id, book.rules.lot_size)
            trades.append(int(size) * trade if size == int(size) else size * trade)
    return tuple(trades)


def _solution(
    way: Way, found: Found, trades: tuple[int | Decimal, ...], checked: Checked, objective: Decimal
) -> Solution:
    book = way.book
    securities = book.portfolio.securities
    assert found.bound is not None
    restraints = {
        line.index: restraint_on(book, line, some, standing)
        for line, some, standing in zip(way.lines, way.choices, way.standings, strict=True)
    }
    exempt = {
        line.index for line, standing in zip(way.lines, way.standings, strict=True) if standing is Standing.EXEMPT
    }
    with localcontext(EXACT):
        quantities = tuple(row.quantity + trade for row, trade in zip(securities, trades, strict=True))
    preferred = book.rules.bands is Bands.PREFERRED
    nothing = book.market_value == 0 and not any(trades)
    return Solution(
        trades=trades,
        quantities=quantities,
        market_value=book.money(book.market_value),
        cash_after=_decimal(book, checked.cash_after),
        objective=objective,
        bound=book.money(found.bound),
        tie_proven=found.tie_proven,
        path=SolutionPath.NOTHING_TO_DO if nothing else found.path,
        seconds=perf_counter() - way.started,
        fees=_decimal(book, checked.fees),
        outside=_decimal(book, checked.outside) if preferred else Decimal(0),
        restraints=tuple(restraints[index] for index in range(len(securities))),
        outside_band=tuple(securities[index].security_id for index in checked.outside_band if index in exempt),
    )


def _decimal(book: Book, amount: Fraction) -> Decimal:
    """Money that is a whole number of units."""
    units = amount * 10**book.places
    assert units.denominator == 1
    return book.money(units.numerator)
