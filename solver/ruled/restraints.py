"""Names the rule that kept a security from a better quantity, or from its band."""

from collections.abc import Iterator, Sequence

import numpy as np

from solver.ruled.allowed import Interval, Line, Standing, allowed, intersection, lines_of, removed_by, restraints_on
from solver.ruled.book import Book, listed
from solver.ruled.certificate import Own, best_alone
from solver.ruled.levels import Key, best, objective
from solver.rules import Direction, Restraint, Rules, TradeScope
from solver.scaling import Integers


def restraints_of(book: Book, own: Own) -> tuple[Restraint | None, ...]:
    """Return for each security the rule that kept it from a better quantity; `own` is what the rules leave to it."""
    rules, count = book.rules, len(own.trades)
    kinds = _kinds(rules)
    if not kinds:
        return (None,) * count
    free = best_alone(book, restrained=False)
    worse = (free.outside < own.outside) | ((free.outside == own.outside) & (free.objectives < own.objectives))
    found: list[Restraint | None] = [None] * count
    asked = worse | own.exempt
    if not asked.any():
        return tuple(found)
    odd = asked & ((book.held_lots < 0) | (free.trades == 0))
    for restraint, removed in _removing(book, kinds, free.trades > 0):
        for index in np.flatnonzero(asked & removed & ~odd).tolist():
            found[index] = restraint
    for line in lines_of(book, np.flatnonzero(odd).tolist()) if odd.any() else ():
        choices, standing = allowed(line, rules.bands)
        found[line.index] = restraint_on(book, line, choices, standing)
    return tuple(found)


def _removing(book: Book, kinds: Sequence[Restraint], buying: Integers) -> Iterator[tuple[Restraint, Integers]]:
    """Yield each restraint and where it removed the best trade, from the last to the first in order.

    To hold is always allowed, and costs rise on either side of the best trade. So nothing on the other side is better
    than to hold, and whatever else is better than what is left lies on the side of the best trade: a restraint that
    removes this side removed it, and without one, the minimum trade did.
    """
    names = [security.security_id for security in book.portfolio.securities]
    everywhere = np.ones(len(names), dtype=bool)
    for restraint in reversed(kinds):
        match restraint:
            case Restraint.DO_NOT_TRADE:
                removed = book.locked
            case Restraint.DO_NOT_BUY:
                removed = listed(names, book.rules.do_not_buy) & buying
            case Restraint.DO_NOT_SELL:
                removed = listed(names, book.rules.do_not_sell) & ~buying
            case Restraint.BUY_ONLY:
                removed = ~buying
            case Restraint.SELL_ONLY:
                removed = buying
            case Restraint.IN_BAND:
                removed = book.in_band
            case _:
                removed = everywhere
        yield restraint, removed


def _kinds(rules: Rules) -> list[Restraint]:
    """Return the restraints that rules contain, for any of the securities."""
    present = {
        Restraint.DO_NOT_TRADE: rules.do_not_trade,
        Restraint.DO_NOT_BUY: rules.do_not_buy,
        Restraint.DO_NOT_SELL: rules.do_not_sell,
        Restraint.BUY_ONLY: rules.direction is Direction.BUY_ONLY,
        Restraint.SELL_ONLY: rules.direction is Direction.SELL_ONLY,
        Restraint.IN_BAND: rules.trade is TradeScope.OUT_OF_BAND,
        Restraint.MINIMUM_TRADE: rules.minimum_trade_value,
    }
    return [restraint for restraint, is_present in present.items() if is_present]


def restraint_on(book: Book, line: Line, choices: list[Interval], standing: Standing) -> Restraint | None:
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
