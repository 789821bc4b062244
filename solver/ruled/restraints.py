"""Names the rule that kept a security from a better quantity, or from its band."""

from solver.ruled.allowed import Interval, Line, Standing, intersection, removed_by, restraints_on
from solver.ruled.book import Book
from solver.ruled.levels import Key, best, objective
from solver.rules import Restraint


def restraint_on(book: Book, line: Line, choices: list[Interval], standing: Standing) -> Restraint | None:
    """Return the first rule that removed a better quantity than the best left, or the band; None if no rule did.

    Better means nearer to the band, and then better by what is minimised on its own: ties do not count.
    """
    applying = restraints_on(book, line)
    if not applying:
        return None
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
