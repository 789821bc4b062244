"""The certificate under rules: every security at its own best quantity, the optimum whenever the cash allows it.

What rules and band leave to a security is a union of at most three progressions and the sale of everything: sell at
least the minimum, hold, buy at least the minimum. The best element of a progression is next to the target or the band,
or at one of its ends, so a handful of candidates for each security decides, for all securities at once.

Example: 12 shares at 10 are held, the target is 65, no order may be below 30. The progressions are selling 3 to 12
shares, holding, and buying 3 or more. The best of the first is to sell 5 or 6, both 5 off the target; 5 trades less.
"""

from collections.abc import Iterator

import numpy as np
from msgspec import Struct

from solver.ruled.book import Book
from solver.rules import Bands, Goal
from solver.scaling import Integers

NEVER = -1
"""Marks a progression without elements: it ends before it begins."""


class Own(Struct, frozen=True):
    """The best quantity of each security on its own; arrays in the order of the securities.

    Attributes:
        trades: in lots.
        outside, objectives: money outside the band, and what is minimised second, of that quantity.
        exempt: kept outside its band by a restraint.
        impossible: a required band contains no quantity in whole lots.
    """

    trades: Integers
    outside: Integers
    objectives: Integers
    exempt: Integers
    impossible: Integers


def best_alone(book: Book, *, restrained: bool = True) -> Own:
    """Return the best quantity of each security if cash were no concern.

    Args:
        book: the portfolio and its rules.
        restrained: respect the restraints; without them, bands and lots are all that limits a quantity.
    """
    limits = _Limits(book, restrained=restrained)
    required = book.rules.bands is Bands.REQUIRED
    best = _Best(book)
    for first, last in limits.progressions(required=required):
        valid = first <= last
        for candidate in _candidates(book, limits, first, last, required=required):
            best.offer(candidate, valid)
    trades = best.trades if best.found.all() else np.where(best.found, best.trades, 0)
    if restrained and book.locked.any():
        trades = np.where(book.locked, 0, trades)
    empty = limits.band_first > limits.band_last
    within = (trades >= limits.band_first) & (trades <= limits.band_last)
    reachable = within if required else limits.reaches_band()
    exempt = np.where(book.locked & restrained, ~within, ~reachable & ~empty)
    outside = outside_of(book, book.held_values + book.lot_values * trades)
    return Own(trades, outside, objectives_of(book, trades), exempt, empty & ~book.locked & required)


class _Limits:
    """What restraints and band say of each security, as first and last trades in lots."""

    def __init__(self, book: Book, *, restrained: bool) -> None:
        value, held = book.lot_values, book.held_values
        self._close = -book.held_lots
        self._held_lots = book.held_lots
        self.band_first = np.maximum(-((held - book.lower) // value), self._close)
        self.band_last = (book.upper - held) // value
        if restrained and book.minimum_trade:
            self._least = np.maximum(-(-book.minimum_trade // value), 1)
        else:
            self._least = np.ones_like(value)
        last = self.band_last
        if book.rules.bands is Bands.PREFERRED:
            edge = np.maximum(book.targets, book.upper)
            last = np.maximum(-((held - edge) // value), self._least)
            last = np.maximum(np.maximum(last, self._close), 0) + 1
        first = self._close
        self._gaps = bool(book.order_fee) or bool((self._least > 1).any())
        if restrained and (book.no_selling | book.no_buying | book.locked | book.in_band).any():
            fixed = book.locked | book.in_band
            no_selling, no_buying = book.no_selling | fixed, book.no_buying | fixed
            first = np.where(no_selling, np.maximum(first, 0), first)
            last = np.where(no_buying, np.minimum(last, 0), last)
            # A short position that may not be traded has no quantity of 0 or more.
            first = np.where(fixed & (self._held_lots < 0), 1, first)
        self._first, self._last = first, last

    def progressions(self, *, required: bool) -> Iterator[tuple[Integers, Integers]]:
        """First and last trade of each progression; within the band if it is required."""
        for first, last in self._pieces():
            if required:
                yield np.maximum(first, self.band_first), np.minimum(last, self.band_last)
            else:
                yield first, last

    def reaches_band(self) -> Integers:
        """Return whether any progression has an element in the band."""
        found = np.zeros(len(self._first), dtype=bool)
        for first, last in self.progressions(required=True):
            found |= first <= last
        return found

    def _pieces(self) -> Iterator[tuple[Integers, Integers]]:
        first, last, least = self._first, self._last, self._least
        if not self._gaps:
            yield first, last
            return
        yield first, np.minimum(last, -least)
        yield np.maximum(first, 0), np.minimum(last, 0)
        yield np.maximum(first, least), last
        if self._least.max() > 1:
            closing = (self._close >= first) & (self._close <= last)
            yield self._close, np.where(closing, self._close, self._close + NEVER)


def _candidates(book: Book, limits: _Limits, first: Integers, last: Integers, *, required: bool) -> Iterator[Integers]:
    """Return the trades of a progression that include its best."""
    if not required:
        within_first, within_last = np.maximum(first, limits.band_first), np.minimum(last, limits.band_last)
        # Without an element in the band, the nearest on either side are the only ones that matter.
        outside = within_first > within_last
        below = np.minimum(np.maximum(limits.band_last, first), last)
        above = np.minimum(np.maximum(limits.band_first, first), last)
        first = np.where(outside, np.minimum(below, above), within_first)
        last = np.where(outside, np.maximum(below, above), within_last)
    if last is first:
        yield first
        return
    if book.rules.goal is Goal.BAND:
        yield np.minimum(np.maximum(0, first), last)
        if not required:
            yield first
            yield last
        return
    nearest = (book.targets - book.held_values) // book.lot_values
    yield np.minimum(np.maximum(nearest, first), last)
    yield np.minimum(np.maximum(nearest + 1, first), last)


class _Best:
    """The best of the candidates offered so far, for each security."""

    def __init__(self, book: Book) -> None:
        count = len(book.held_values)
        self._book = book
        self._preferred = book.rules.bands is Bands.PREFERRED
        self._levels: list[Integers] = []
        self.found = np.zeros(count, dtype=bool)
        self.trades = np.zeros_like(book.held_values)

    def offer(self, trades: Integers, valid: Integers) -> None:
        """Keep a trade wherever it is valid and better, by the levels in their order."""
        levels = self._levels_of(trades)
        if not self._levels:
            self._levels, self.trades, self.found = levels, trades, valid
            return
        better = np.zeros(len(trades), dtype=bool)
        equal = np.ones(len(trades), dtype=bool)
        for mine, other in zip([*self._levels, self.trades], [*levels, trades], strict=True):
            better |= equal & (other < mine)
            equal &= other == mine
        better = valid & (better | ~self.found)
        if better.any():
            self._levels = [np.where(better, new, old) for new, old in zip(levels, self._levels, strict=True)]
            self.trades = np.where(better, trades, self.trades)
            self.found = self.found | valid

    def _levels_of(self, trades: Integers) -> list[Integers]:
        """Money outside the band if that counts, objective, distance for the goal BAND, and lots traded."""
        book = self._book
        moved = book.lot_values * trades
        values = book.held_values + moved
        levels = [outside_of(book, values)] if self._preferred else []
        distances = np.abs(book.targets - values)
        if book.rules.goal is Goal.TARGET:
            levels.append(distances + fees_of(book, trades))
        else:
            levels += [np.abs(moved) + fees_of(book, trades), distances]
        return [*levels, np.abs(trades)]


def outside_of(book: Book, values: Integers) -> Integers:
    """Money by which each value lies outside its band."""
    outside: Integers = np.maximum(np.maximum(book.lower - values, values - book.upper), 0)
    return outside


def objectives_of(book: Book, trades: Integers) -> Integers:
    """Return the second objective, fees included, of each security."""
    moved = book.lot_values * trades
    cost: Integers = np.abs(moved)
    if book.rules.goal is Goal.TARGET:
        cost = np.abs(book.targets - book.held_values - moved)
    return cost + fees_of(book, trades)


def fees_of(book: Book, trades: Integers) -> Integers:
    """Cost of the order of each security."""
    fees: Integers = book.lot_fees * np.abs(trades)
    return fees + (trades != 0).astype(fees.dtype) * book.order_fee if book.order_fee else fees
