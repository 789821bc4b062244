"""The optimum of a portfolio whose cash binds, and among the optima the one that the later levels prefer."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from solver.knapsack.search import UNLIMITED
from solver.problem import SolutionPath
from solver.ruled.allowed import Interval, Line
from solver.ruled.book import Book
from solver.ruled.certificate import Own, objectives_of
from solver.ruled.choice import Limits, choose, relax
from solver.ruled.levels import Key, best, decisive, levels_of, objective, total
from solver.ruled.menus import FEW, Corner, Fold, Menu, corners, fold, menu
from solver.rules import Bands
from solver.scaling import Integers

SEARCH_STATES = 250_000
"""Partial choices that the search for the optimum holds at once."""

TIE_STATES, TIE_WORK = 20_000, 200_000
"""Partial choices that the tie-break holds at once, and examines in all: limits that no clock changes."""

BRIEF_STATES, BRIEF_WORK = 2_000, 20_000
"""The same if quantities are too many to compare, or need numbers beyond machine integers."""

SMALL, SMALL_BITS, SMALL_FACTOR = 16, 10, 5
"""Open securities, and binary digits of the lots of each, up to which the brief limits are multiplied by the factor: a
proof is then likely."""


class Proof(Struct, frozen=True):
    """What is proven of some trades.

    Attributes:
        bound: least objective that is possible, in units.
        tie_proven: no other trades are better by any level.
        path: the method.
        outside_proven: less money outside the bands is not possible, or does not matter.
    """

    bound: int
    tie_proven: bool
    path: SolutionPath
    outside_proven: bool = True


class Found(Proof, frozen=True, kw_only=True):
    """Trades in lots, in the order of the portfolio, and what is proven of them."""

    trades: Integers


class Binding(Struct, frozen=True):
    """The securities that are still open, by ascending security id, and the others, whose trades are fixed.

    Attributes:
        book: the portfolio.
        lines, choices: the open securities and what they may trade.
        fixed: trades of the portfolio, 0 for the open securities.
        capacity: cash for the open securities.
        objective: of the fixed securities.
        deadline: on `time.perf_counter()`.
    """

    book: Book
    lines: list[Line]
    choices: list[list[Interval]]
    fixed: Integers
    capacity: int
    objective: int
    deadline: float

    def lots(self, trades: Sequence[int]) -> Integers:
        """Return trades of the open securities with the fixed ones, in the order of the portfolio."""
        lots = self.fixed.copy()
        for line, trade in zip(self.lines, trades, strict=True):
            lots[line.index] = trade
        return lots


def solve_binding(
    book: Book, lines: Sequence[Line], choices: Sequence[list[Interval]], own: Own, deadline: float
) -> Found:
    """Return the best trades; the portfolio must be feasible.

    Args:
        book: the portfolio.
        lines: the securities by ascending id; those left out have no choice but to stay as held.
        choices: what each may trade.
        own: the best quantity of each on its own.
        deadline: on `time.perf_counter()`.
    """
    useful = [_useful(line, some, int(own.trades[line.index])) for line, some in zip(lines, choices, strict=True)]
    binding = _opened(book, lines, _nearest_to_bands(book, lines, useful), deadline)
    levels = levels_of(book.rules, ties=True)
    offers = [corners(line, some, levels) for line, some in zip(binding.lines, binding.choices, strict=True)]
    ties = _fold_ties(binding, offers)
    found: Found | None = None
    if len(offers) > FEW and _lot_bits(offers) <= SMALL_BITS * len(offers):
        # In large portfolios of few lots, the search among ties nearly always proves the optimum as well.
        found, complete = _tie_broken(binding, offers, ties, None)
        if complete:
            return found
    folded = fold(offers, levels, count=decisive(book.rules), quantities=False)
    menus = _menus(binding, offers, folded)
    if found is not None and _cost(binding, folded, found) == relax(menus, binding.capacity).bound:
        return found
    choice = choose(menus, binding.capacity, Limits(deadline, SEARCH_STATES, persist=True, max_work=UNLIMITED))
    assert choice.trades is not None
    if choice.bound == choice.cost:
        return _tie_broken(binding, offers, ties, choice.trades)[0]
    bound, outside_proven = _bound(binding, folded.unfold(choice.bound), choice.trades)
    return Found(
        trades=binding.lots(choice.trades),
        bound=bound,
        tie_proven=False,
        path=SolutionPath.KNAPSACK,
        outside_proven=outside_proven,
    )


def _useful(line: Line, choices: list[Interval], own: int) -> list[Interval]:
    """Return the allowed trades without those that use more cash than the security's best one, and are worse."""
    if line.order_fee and own < 0:
        return choices
    return [(low, min(high, own)) for low, high in choices if low <= own]


def _nearest_to_bands(book: Book, lines: Sequence[Line], choices: list[list[Interval]]) -> list[list[Interval]]:
    """With preferred bands, leave out whatever is farther outside than necessary, if the cash allows that for all."""
    if book.rules.bands is Bands.REQUIRED:
        return choices
    restricted = []
    least = 0
    for line, some in zip(lines, choices, strict=True):
        first, last = line.band
        inside = [(max(low, first), min(high, last)) for low, high in some if max(low, first) <= min(high, last)]
        if not inside:
            ends = {trade for ends in some for trade in (*ends, first, last) if ends[0] <= trade <= ends[1]}
            nearest = min(map(line.outside, ends))
            inside = [(trade, trade) for trade in sorted(ends) if line.outside(trade) == nearest]
        restricted.append(inside)
        least += min(line.cash(trade) for low, high in inside for trade in (low, 0, 1) if low <= trade <= high)
    return restricted if least <= book.capacity else choices


def _opened(book: Book, lines: Sequence[Line], choices: Sequence[list[Interval]], deadline: float) -> Binding:
    """Fix the securities that have one choice left."""
    fixed = np.zeros_like(book.held_lots)
    held = objectives_of(book, fixed)
    held[[line.index for line in lines]] = 0
    capacity, cost = book.capacity, int(held.sum())
    opened, some = [], []
    for line, intervals in zip(lines, choices, strict=True):
        if len(intervals) == 1 and intervals[0][0] == intervals[0][1]:
            trade = intervals[0][0]
            fixed[line.index] = trade
            capacity -= line.cash(trade)
            cost += objective(line, trade, book.rules.goal)
        else:
            opened.append(line)
            some.append(intervals)
    return Binding(book, opened, some, fixed, capacity, cost, deadline)


def _bound(binding: Binding, least: Key, trades: list[int]) -> tuple[int, bool]:
    """Return the least objective, and whether all levels above the objective are proven to be at their least."""
    rules = binding.book.rules
    levels = total(binding.lines, trades, levels_of(rules, ties=False))
    if levels[:-1] == least[:-1]:
        return least[-1] + binding.objective, True
    bound = binding.objective
    for line, some in zip(binding.lines, binding.choices, strict=True):
        own = best(line, some, lambda one, trade: (objective(one, trade, rules.goal),))
        assert own is not None
        bound += own[0][0]
    return bound, False


def _fold_ties(binding: Binding, offers: Sequence[list[list[Corner]]]) -> Fold:
    """Return the fold of all levels."""
    count = len(offers[0][0][0][2]) if offers else 0
    return fold(offers, levels_of(binding.book.rules, ties=True), count=count, quantities=True)


def _lot_bits(offers: Sequence[list[list[Corner]]]) -> int:
    """Return the binary digits of the lots that securities may choose from, in all."""
    return sum((chains[-1][-1][0] - chains[0][0][0]).bit_length() for chains in offers)


def _menus(binding: Binding, offers: Sequence[list[list[Corner]]], folded: Fold) -> list[Menu]:
    return [menu(i, line, offer, folded) for i, (line, offer) in enumerate(zip(binding.lines, offers, strict=True))]


def _cost(binding: Binding, folded: Fold, found: Found) -> int:
    """Return the number that the trades of the open securities fold into."""
    return sum(folded.cost(i, line, int(found.trades[line.index])) for i, line in enumerate(binding.lines))


def _tie_broken(
    binding: Binding, offers: Sequence[list[list[Corner]]], folded: Fold, trades: list[int] | None
) -> tuple[Found, bool]:
    """Return the optimum that is best by all levels, and whether that is proven; the known one if it is not found.

    Args:
        binding: the open securities.
        offers: their corners.
        folded: all levels.
        trades: a known optimum; None if any result of the search is wanted.
    """
    rules = binding.book.rules
    menus = _menus(binding, offers, folded)
    ceiling = None if trades is None else sum(folded.cost(i, line, trades[i]) for i, line in enumerate(binding.lines))
    limits = Limits(binding.deadline, TIE_STATES, persist=False, max_work=TIE_WORK)
    if not folded.whole or folded.large:
        small = len(menus) <= SMALL and folded.digits[0].bit_length() <= SMALL_BITS * len(menus)
        factor = SMALL_FACTOR if small else 1
        states, work = BRIEF_STATES * factor, BRIEF_WORK * factor
        limits = Limits(binding.deadline, states, persist=False, max_work=work, thorough=len(menus) <= FEW)
    choice = choose(menus, binding.capacity, limits, ceiling)
    best = choice.trades or trades or []
    bound = binding.objective
    if binding.lines:
        bound += total(binding.lines, best, levels_of(rules, ties=False))[-1]
    complete = choice.bound == choice.cost
    return Found(
        trades=binding.lots(best),
        bound=bound,
        tie_proven=folded.whole and complete,
        path=SolutionPath.KNAPSACK,
    ), complete
