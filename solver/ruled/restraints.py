"""Names the rule that kept a security from a better quantity, or from its band."""

from collections.abc import Iterator, Sequence

import numpy as np

from solver.ruled.allowed import Interval, Line, Standing, allowed, intersection, lines_of, removed_by, restraints_on
from solver.ruled.book import Book, Totals, listed
from solver.ruled.certificate import Own, best_unrestrained, kinds_of, objectives_of, outside_of
from solver.ruled.levels import Key, best, objective
from solver.rules import Restraint
from solver.scaling import Integers


def restraints_of(book: Book, own: Own) -> tuple[Restraint | None, ...]:
    """Return for each security the rule that kept it from a better quantity; `own` is what the rules leave to it."""
    rules, count = book.rules, len(own.trades)
    kinds = kinds_of(rules)
    if not kinds:
        return (None,) * count
    free = best_unrestrained(book, own.reach)
    differs = free != own.trades
    asked = differs | own.exempt
    if not asked.any():
        return (None,) * count
    asked = own.exempt | _improves(book, own, free)
    found: list[Restraint | None] = [None] * count
    odd = asked & ((book.held_lots < 0) | (free == 0))
    for restraint, removed in _removing(book, kinds, free > 0):
        for index in (asked & removed & ~odd).nonzero()[0].tolist():
            found[index] = restraint
    for line in lines_of(book, np.flatnonzero(odd).tolist()) if odd.any() else ():
        choices, standing = allowed(line, rules.bands)
        found[line.index] = restraint_on(book, line, choices, standing)
    return tuple(found)


def _improves(book: Book, own: Own, free: Integers) -> Integers:
    """Return where the best trades without restraints are nearer to the band, or as near and of a lower objective.

    What is left of a band that contains a quantity is as near to it as possible, or exempt from it.
    """
    better: Integers = objectives_of(book, free) < own.objectives
    if own.reach.empty is not None:
        mine, theirs = outside_of(book, free), outside_of(book, own.trades)
        better = (mine < theirs) | ((mine == theirs) & better)
    return better


def _removing(book: Book, kinds: Sequence[Restraint], buying: Integers) -> Iterator[tuple[Restraint, Integers]]:
    """Yield each restraint and where it removed the best trade, from the last to the first in order.

    To hold is always allowed, and costs rise on either side of the best trade. So nothing on the other side is better
    than to hold, and whatever else is better than what is left lies on the side of the best trade: a restraint that
    removes this side removed it, and without one, the minimum trade did.
    """
    portfolio = book.portfolio
    for restraint in reversed(kinds):
        match restraint:
            case Restraint.DO_NOT_TRADE:
                removed = book.locked
            case Restraint.DO_NOT_BUY:
                removed = listed(portfolio, book.rules.do_not_buy) & buying
            case Restraint.DO_NOT_SELL:
                removed = listed(portfolio, book.rules.do_not_sell) & ~buying
            case Restraint.BUY_ONLY:
                removed = ~buying
            case Restraint.SELL_ONLY:
                removed = buying
            case Restraint.IN_BAND:
                removed = book.in_band
            case _:
                removed = np.ones(len(buying), dtype=bool)
        yield restraint, removed


def restraint_on(book: Totals, line: Line, choices: list[Interval], standing: Standing) -> Restraint | None:
    """Return the first rule that removed a better quantity than the best left, or the band; None if no rule did.

    Asked only of securities that have a better quantity without their restraints, or are exempt from their band.

    Better means nearer to the band, and then better by what is minimised on its own: ties do not count.
    """
    applying = restraints_on(book, line)
    if not applying:
        return None
    if len(applying) == 1 and standing is Standing.FREE:
        return applying[0]
    goal = book.rules.goal

    def levels(one: Line, trade: int) -> Key:
        return one.outside(trade), objective(one, trade, goal)

    left = best(line, choices, levels)
    assert left is not None
    first, last = line.band
    band = [(first, last)] if first <= last else []
    for restraint in applying:
        removed = removed_by(line, restraint)
        if standing is Standing.EXEMPT and intersection(removed, band):
            return restraint
        better = best(line, removed, levels)
        if better is not None and better[0] < left[0]:
            return restraint
    return None
