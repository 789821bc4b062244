"""Names the rule that kept a security from a better quantity, or from its band."""

from solver.ruled.allowed import Interval, Line, Standing, intersection, removed_by, restraints_on
from solver.ruled.book import Book
from solver.ruled.levels import best, levels_of
from solver.rules import Bands, Restraint


def restraint_on(book: Book, line: Line, choices: list[Interval], standing: Standing) -> Restraint | None:
    """Return the first rule that removed a better quantity than the best left, or the band; None if no rule did.

    Better means better for the security on its own, by what is minimised first: ties do not count. With required bands,
    quantities outside the band are not better, whatever they cost, unless no quantity in whole lots lies in the band.
    """
    applying = restraints_on(book, line)
    if not applying:
        return None
    levels = levels_of(book.rules, ties=False)
    left = best(line, choices, levels)
    assert left is not None
    first, last = line.band
    band = [(first, last)] if first <= last else []
    required = book.rules.bands is Bands.REQUIRED
    for restraint in applying:
        removed = removed_by(line, restraint)
        if standing is Standing.EXEMPT and intersection(removed, band):
            return restraint
        if required and band:
            removed = intersection(removed, band)
        better = best(line, removed, levels)
        if better is not None and better[0] < left[0]:
            return restraint
    return None
