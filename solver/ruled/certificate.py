"""The certificate under rules: every security at its own best quantity, the optimum whenever the cash allows it.

Without minimum trades and fees per order, restraints and band leave a progression of quantities to each security, and
the costs rise on either side of the best one: it is next to the target, moved into the progression. The two rules tear
gaps next to the quantity that is held, across which the next allowed quantities are compared. All securities at once.

Example: 12 shares at 10 are held, the target is 90, no order may be below 50. To sell 3 shares is best, but not
allowed. The next allowed quantities are what is held, 30 off the target, and 5 shares less, 20 off the target.
"""

import numpy as np
from msgspec import Struct

from solver.ruled.book import Book
from solver.rules import Bands, Goal
from solver.scaling import Integers


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
    limits = _limits(book, restrained=restrained)
    required = book.rules.bands is Bands.REQUIRED
    least = _least_trades(book) if restrained and book.minimum_trade else None
    first, last = limits.first, limits.last
    if required:
        first, last = np.maximum(first, limits.band_first), np.minimum(last, limits.band_last)
    trades, found = _nearest(book, limits, first, last, required=required), first <= last
    if least is not None or book.order_fee:
        trades, found = _beyond_gaps(book, trades, found, (first, last), limits.close, least)
    if not found.all():
        trades = np.where(found, trades, 0)
    if restrained and book.locked.any():
        trades = np.where(book.locked, 0, trades)
    empty = limits.band_first > limits.band_last
    # Nothing lies nearer to its band than the best quantity, so the band is out of reach if that is outside.
    beyond = (trades < limits.band_first) | (trades > limits.band_last)
    exempt = beyond & (~empty | book.locked) if restrained else beyond & ~empty
    outside = outside_of(book, book.held_values + book.lot_values * trades)
    impossible = empty & ~book.locked if required else np.zeros(len(empty), dtype=bool)
    return Own(trades, outside, objectives_of(book, trades), exempt, impossible)


class _Limits(Struct, frozen=True):
    """What restraints and band say of each security, as trades in lots.

    Attributes:
        first, last: the trades that restraints leave, apart from a minimum trade.
        band_first, band_last: the trades into the band.
        close: the trade that leaves the residue.
    """

    first: Integers
    last: Integers
    band_first: Integers
    band_last: Integers
    close: Integers


def _limits(book: Book, *, restrained: bool) -> _Limits:
    value, held = book.lot_values, book.held_values
    close = -book.held_lots
    band_first = np.maximum(-((held - book.lower) // value), close)
    band_last = (book.upper - held) // value
    first, last = close, band_last
    if book.rules.bands is Bands.PREFERRED:
        last = -((held - np.maximum(book.targets, book.upper)) // value)
        if restrained and book.minimum_trade:
            last = np.maximum(last, _least_trades(book))
        last = np.maximum(np.maximum(last, close), 0) + 1
    if restrained:
        no_selling, no_buying = book.no_selling, book.no_buying
        fixed = book.locked | book.in_band
        if fixed.any():
            no_selling, no_buying = no_selling | fixed, no_buying | fixed
            # A short position that may not be traded has no quantity of 0 or more.
            first = np.where(fixed & (close > 0), 1, first)
        if no_selling.any():
            first = np.where(no_selling, np.maximum(first, 0), first)
        if no_buying.any():
            last = np.where(no_buying, np.minimum(last, 0), last)
    return _Limits(first, last, band_first, band_last, close)


def _least_trades(book: Book) -> Integers:
    """Return the fewest lots of each security that are worth the minimum trade, at least one."""
    least: Integers = np.maximum(-(-book.minimum_trade // book.lot_values), 1)
    return least


def _nearest(book: Book, limits: _Limits, first: Integers, last: Integers, *, required: bool) -> Integers:
    """Return the best trades from the first to the last, regardless of fees per order and minimum trades."""
    if required:
        return np.minimum(np.maximum(_free(book), first), last)
    within_first, within_last = np.maximum(first, limits.band_first), np.minimum(last, limits.band_last)
    trades: Integers = np.minimum(np.maximum(_free(book), within_first), within_last)
    outside = within_first > within_last
    if outside.any():
        # Without an element in the band, the nearest on either side are the only ones that matter.
        below = np.minimum(np.maximum(limits.band_last, first), last)
        above = np.minimum(np.maximum(limits.band_first, first), last)
        trades = np.where(outside, below, trades)
        if (outside & (below != above)).any():
            trades = np.where(outside & _better(book, above, trades), above, trades)
    return trades


def _free(book: Book) -> Integers:
    """Return the best trade of each security without any limit: to the target, or none for the goal BAND.

    Of the two quantities around the target, the upper one is better if it is nearer, the cost of trading a lot more or
    less included, and in a tie if it trades fewer lots.
    """
    if book.rules.goal is Goal.BAND:
        return np.zeros_like(book.held_lots)
    wanted = book.targets - book.held_values
    lower = wanted // book.lot_values
    # What the upper one is farther from the target than the lower one.
    farther = book.lot_values - 2 * (wanted - lower * book.lot_values)
    selling = lower < 0
    if book.rules.fee_rate:
        farther = farther + np.where(selling, -book.lot_fees, book.lot_fees)
    up: Integers = lower + ((farther < 0) | ((farther == 0) & selling))
    return up


def _beyond_gaps(
    book: Book,
    trades: Integers,
    found: Integers,
    limits: tuple[Integers, Integers],
    close: Integers,
    least: Integers | None,
) -> tuple[Integers, Integers]:
    """Return the best trades if small orders are not allowed or orders have a fee, and where there are any.

    Away from the best trade, every cost only rises. So apart from that trade, only the next allowed ones on either side
    matter: to hold, or to close a short position, and an order of the minimum, or the sale of everything if that is
    worth less.

    Args:
        book: the portfolio.
        trades: the best ones without these two rules.
        found: where there are any.
        limits: the first and last trade of each security.
        close: the trade that leaves the residue.
        least: lots of the smallest order; None without a minimum.
    """
    first, last = limits
    hold = np.maximum(close, 0)
    holds = found & (hold >= first) & (hold <= last)
    if least is None:
        return np.where(holds & _better(book, hold, trades), hold, trades), found
    small = (np.abs(trades) < least) & (trades != hold) & (trades != close)
    if not small.any():
        if not book.order_fee:
            return trades, found
        return np.where(holds & _better(book, hold, trades), hold, trades), found
    order = np.where(trades > 0, least, np.maximum(-least, close))
    orders = (order >= first) & (order <= last)
    candidates = np.where(small & orders, order, trades)
    left = found & (~small | orders)
    replaced = holds & (~left | _better(book, hold, candidates)) if holds.any() else holds
    return np.where(replaced, hold, candidates), left | replaced


def _better(book: Book, trades: Integers, others: Integers) -> Integers:
    """Return where trades are better than others, by the levels in their order, then fewer and lower lots."""
    better = np.zeros(len(trades), dtype=bool)
    equal = np.ones(len(trades), dtype=bool)
    for mine, theirs in zip(_levels_of(book, trades), _levels_of(book, others), strict=True):
        better |= equal & (mine < theirs)
        equal &= mine == theirs
    return better


def _levels_of(book: Book, trades: Integers) -> list[Integers]:
    """Money outside the band if that counts, objective, distance for the goal BAND, lots traded, and the trades."""
    moved = book.lot_values * trades
    values = book.held_values + moved
    levels = [outside_of(book, values)] if book.rules.bands is Bands.PREFERRED else []
    distances = np.abs(book.targets - values)
    if book.rules.goal is Goal.TARGET:
        levels.append(distances + fees_of(book, trades))
    else:
        levels += [np.abs(moved) + fees_of(book, trades), distances]
    return [*levels, np.abs(trades), trades]


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
    fees: Integers = book.lot_fees * np.abs(trades) if book.rules.fee_rate else np.zeros_like(book.lot_fees)
    return fees + (trades != 0).astype(fees.dtype) * book.order_fee if book.order_fee else fees
