"""Names the rule that kept a security from a better quantity, or from its band."""

import numpy as np

from solver.ruled.allowed import Interval, Line, Standing, allowed, intersection, lines_of, removed_by, restraints_on
from solver.ruled.book import Book
from solver.ruled.certificate import Own, best_alone
from solver.ruled.levels import Key, best, objective
from solver.rules import Direction, Restraint, Rules, TradeScope


def restraints_of(book: Book, own: Own) -> tuple[Restraint | None, ...]:
    """Return for each security the rule that kept it from a better quantity; `own` is what the rules leave to it."""
    count = len(own.trades)
    rules = book.rules
    if not restrains(rules):
        return (None,) * count
    free = best_alone(book, restrained=False)
    worse = (free.outside < own.outside) | ((free.outside == own.outside) & (free.objectives < own.objectives))
    found: list[Restraint | None] = [None] * count
    affected = np.flatnonzero(worse | own.exempt)
    for line in lines_of(book, affected.tolist()):
        choices, standing = allowed(line, rules.bands)
        found[line.index] = restraint_on(book, line, choices, standing)
    return tuple(found)


def restrains(rules: Rules) -> bool:
    """Whether any rule removes quantities."""
    return (
        bool(rules.do_not_trade or rules.do_not_buy or rules.do_not_sell or rules.minimum_trade_value)
        or rules.direction is not Direction.BOTH
        or rules.trade is not TradeScope.ALL
    )


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
