"""Names the rule that kept a security from a better quantity, or from its band."""

import numpy as np

from solver.ruled.allowed import Interval, Line, Standing, allowed, intersection, lines_of, removed_by, restraints_on
from solver.ruled.book import Book
from solver.ruled.certificate import Own, best_alone
from solver.ruled.levels import Key, best, objective
from solver.rules import Direction, Restraint, Rules, TradeScope


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
    if len(kinds) == 1:
        found = [kinds[0] if is_worse else None for is_worse in worse.tolist()]
        asked = own.exempt & ~worse
    for line in lines_of(book, np.flatnonzero(asked).tolist()) if asked.any() else ():
        choices, standing = allowed(line, rules.bands)
        found[line.index] = restraint_on(book, line, choices, standing)
    return tuple(found)


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
