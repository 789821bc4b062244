"""The certificate under rules: every security at its own best quantity, the optimum whenever the cash allows it.

Without minimum trades and fees per order, restraints and band leave a progression of quantities to each security, and
the costs rise on either side of the best one: it is next to the target, moved into the progression. The two rules tear
gaps next to the quantity that is held, across which the next allowed quantities are compared. All securities at once.

Example: 12 shares at 10 are held, the target is 90, no order may be below 50. To sell 3 shares is best, but not
allowed. The next allowed quantities are what is held, 30 off the target, and 5 shares less, 20 off the target.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from msgspec import Struct

from solver.ruled.book import Book
from solver.rules import Bands, Direction, Goal, Restraint, Rules, TradeScope
from solver.scaling import Integers


class Own(Struct, frozen=True):
    """The best quantity of each security on its own; arrays in the order of the securities.

    Attributes:
        trades: in lots.
        uses: cash that each uses, fees included; negative if it raises cash.
        objectives: what is minimised second.
        exempt: kept outside its band by a restraint.
        impossible: a required band contains no quantity in whole lots.
        reach: the trades that matter with and without restraints.
    """

    trades: Integers
    uses: Integers
    objectives: Integers
    exempt: Integers
    impossible: Integers
    reach: "Reach"


class Reach(Struct, frozen=True):
    """What the band says of each security, and what its targets do, as trades in lots.

    Attributes:
        band_first, band_last: the trades into the band.
        close: the trade that leaves the residue.
        free: the best trade without any limit.
        empty: whether no quantity in whole lots lies in the band; None if there is one in each band.
    """

    band_first: Integers
    band_last: Integers
    close: Integers
    free: Integers
    empty: Integers | None


def best_alone(book: Book) -> Own:
    """Return the best quantity of each security if cash were no concern."""
    reach = _reach(book)
    required = book.rules.bands is Bands.REQUIRED
    least = _least_trades(book) if book.minimum_trade else None
    first, last = _limits(book, reach, least)
    trades = _nearest(book, reach, (first, last))
    found = first <= last
    if book.rules.trade is TradeScope.OUT_OF_BAND:
        # They are in their band, so whatever else is considered is worse than to hold them, or not allowed.
        trades = np.where(book.in_band, 0, trades)
    if least is not None or book.order_fee:
        trades, found = _beyond_gaps(book, reach, trades, found, (first, last), least)
    if not found.all():
        trades = np.where(found, trades, 0)
    exempt = impossible = np.zeros(len(trades), dtype=bool)
    if book.rules.do_not_trade:
        trades = np.where(book.locked, 0, trades)
    # Nothing lies nearer to its band than the best quantity, so the band is out of reach if that is outside.
    if kinds_of(book.rules):
        exempt = (trades < reach.band_first) | (trades > reach.band_last)
    if reach.empty is not None:
        exempt = exempt & (~reach.empty | book.locked)
        impossible = reach.empty & ~book.locked if required else impossible
    uses = moved = book.lot_values * trades
    objectives = np.abs(book.wanted - moved if book.rules.goal is Goal.TARGET else moved)
    if book.rules.fee_rate or book.order_fee:
        fees = fees_of(book, trades)
        uses, objectives = moved + fees, objectives + fees
    return Own(trades, uses, objectives, exempt, impossible, reach)


def best_unrestrained(book: Book, reach: Reach) -> Integers:
    """Return the best trade of each security if bands and lots are all that limits its quantity.

    Fees per order are considered for short positions only: if others had better stay as held because of the fee, they
    may, with restraints too, so the trade without the fee is not better than what is left. 0 if there is no quantity.
    """
    first, last = reach.band_first, reach.band_last
    if book.rules.bands is Bands.PREFERRED:
        first, last = reach.close, np.maximum(np.maximum(first, last), 0)
    trades = _nearest(book, reach, (first, last))
    if book.order_fee and (reach.close > 0).any():
        trades, _ = _beyond_gaps(book, reach, trades, first <= last, (first, last), None)
    return trades if reach.empty is None else np.where(first <= last, trades, 0)


@lru_cache(maxsize=64)
def kinds_of(rules: Rules) -> tuple[Restraint, ...]:
    """Return the restraints that rules contain, for any of the securities, in the order in which they are named."""
    present = {
        Restraint.DO_NOT_TRADE: rules.do_not_trade,
        Restraint.DO_NOT_BUY: rules.do_not_buy,
        Restraint.DO_NOT_SELL: rules.do_not_sell,
        Restraint.BUY_ONLY: rules.direction is Direction.BUY_ONLY,
        Restraint.SELL_ONLY: rules.direction is Direction.SELL_ONLY,
        Restraint.IN_BAND: rules.trade is TradeScope.OUT_OF_BAND,
        Restraint.MINIMUM_TRADE: rules.minimum_trade_value,
    }
    return tuple(restraint for restraint, is_present in present.items() if is_present)


def _reach(book: Book) -> Reach:
    value, held, close = book.lot_values, book.held_values, -book.held_lots
    band_first = np.maximum(-((held - book.lower) // value), close)
    band_last = (book.upper - held) // value
    empty = band_first > band_last
    return Reach(band_first, band_last, close, _free(book), empty if empty.any() else None)


def _limits(book: Book, reach: Reach, least: Integers | None) -> tuple[Integers, Integers]:
    """Return the first and the last trade of each security that its directions, and required bands, leave.

    With preferred bands, the last trade is one beyond which nothing is better.
    """
    rules = book.rules
    first, last = reach.band_first, reach.band_last
    if rules.bands is Bands.PREFERRED:
        first, last = reach.close, np.maximum(np.maximum(first, last), 0 if least is None else least)
    if rules.do_not_sell or rules.direction is Direction.BUY_ONLY:
        first = np.where(book.no_selling, np.maximum(first, 0), first)
    if rules.do_not_buy or rules.direction is Direction.SELL_ONLY:
        last = np.where(book.no_buying, np.minimum(last, 0), last)
    return first, last


def _least_trades(book: Book) -> Integers:
    """Return the fewest lots of each security that are worth the minimum trade, at least one."""
    least: Integers = np.maximum(-(-book.minimum_trade // book.lot_values), 1)
    return least


def _nearest(book: Book, reach: Reach, limits: tuple[Integers, Integers]) -> Integers:
    """Return the best trades within limits, regardless of fees per order and minimum trades."""
    first, last = limits
    if book.rules.bands is Bands.REQUIRED:
        return np.minimum(np.maximum(reach.free, first), last)
    within_first, within_last = np.maximum(first, reach.band_first), np.minimum(last, reach.band_last)
    trades: Integers = np.minimum(np.maximum(reach.free, within_first), within_last)
    outside = within_first > within_last
    if outside.any():
        # Without an element in the band, the nearest on either side are the only ones that matter.
        below = np.minimum(np.maximum(reach.band_last, first), last)
        above = np.minimum(np.maximum(reach.band_first, first), last)
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
    lower = book.wanted // book.lot_values
    rest = book.wanted - lower * book.lot_values
    # What the upper one is farther from the target than the lower one.
    farther = book.lot_values - rest - rest
    selling = lower < 0
    if book.rules.fee_rate:
        farther = farther + np.where(selling, -book.lot_fees, book.lot_fees)
    # Below 1 is at most 0: as near is near enough if it trades less.
    up: Integers = lower + (farther < selling)
    return up


def _beyond_gaps(
    book: Book,
    reach: Reach,
    trades: Integers,
    found: Integers,
    limits: tuple[Integers, Integers],
    least: Integers | None,
) -> tuple[Integers, Integers]:
    """Return the best trades if small orders are not allowed or orders have a fee, and where there are any.

    Away from the best trade, every cost only rises. So apart from that trade, only the next allowed ones on either side
    matter: to hold, or to close a short position, and an order of the minimum, or the sale of everything if that is
    worth less.

    Args:
        book: the portfolio.
        reach: its bands.
        trades: the best ones without these two rules.
        found: where there are any.
        limits: the first and last trade of each security.
        least: lots of the smallest order; None without a minimum.
    """
    first, last = limits
    close = reach.close
    hold = np.maximum(close, 0)
    holds = found & (hold >= first) & (hold <= last)
    small = np.zeros(len(trades), dtype=bool)
    if least is not None:
        small = (np.abs(trades) < least) & (trades != hold) & (trades != close)
    if least is None or not small.any():
        if not book.order_fee:
            return trades, found
        if reach.empty is None:
            # To hold is farther outside than the best trade, or both are in the band.
            holds &= (hold >= reach.band_first) & (hold <= reach.band_last) & (hold != trades)
        if not holds.any():
            return trades, found
        return np.where(holds & _better(book, hold, trades, banded=reach.empty is None), hold, trades), found
    order = np.where(trades > 0, least, np.maximum(-least, close))
    orders = (order >= first) & (order <= last)
    candidates = np.where(small & orders, order, trades)
    left = found & (~small | orders)
    replaced = holds & (~left | _better(book, hold, candidates)) if holds.any() else holds
    return np.where(replaced, hold, candidates), left | replaced


def _better(book: Book, trades: Integers, others: Integers, *, banded: bool = False) -> Integers:
    """Return where trades are better than others, by the levels in their order, then fewer and lower lots.

    Args:
        book: the portfolio.
        trades: of each security.
        others: of each security.
        banded: both are in their bands wherever the result matters.
    """
    equal = trades != others
    better = np.zeros(len(trades), dtype=bool)
    for level in _levels(book, banded=banded):
        if not equal.any():
            break
        mine, theirs = level(book, trades), level(book, others)
        better |= equal & (mine < theirs)
        equal &= mine == theirs
    return better


def _levels(book: Book, *, banded: bool) -> list[Callable[[Book, Integers], Integers]]:
    """Return money outside the band if that counts, objective, distance for the goal BAND, lots traded, the trades."""
    levels: list[Callable[[Book, Integers], Integers]] = [objectives_of]
    if book.rules.bands is Bands.PREFERRED and not banded:
        levels = [outside_of, objectives_of]
    if book.rules.goal is Goal.BAND:
        levels.append(_distances)
    return [*levels, _lots_traded, _as_they_are]


def _distances(book: Book, trades: Integers) -> Integers:
    distances: Integers = np.abs(book.wanted - book.lot_values * trades)
    return distances


def _lots_traded(_: Book, trades: Integers) -> Integers:
    lots: Integers = np.abs(trades)
    return lots


def _as_they_are(_: Book, trades: Integers) -> Integers:
    return trades


def outside_of(book: Book, trades: Integers) -> Integers:
    """Money by which each value lies outside its band after trades."""
    values = book.held_values + book.lot_values * trades
    outside: Integers = np.maximum(np.maximum(book.lower - values, values - book.upper), 0)
    return outside


def objectives_of(book: Book, trades: Integers) -> Integers:
    """Return the second objective, fees included, of each security."""
    cost: Integers = _distances(book, trades) if book.rules.goal is Goal.TARGET else np.abs(book.lot_values * trades)
    return cost + fees_of(book, trades) if book.rules.fee_rate or book.order_fee else cost


def fees_of(book: Book, trades: Integers) -> Integers:
    """Cost of the order of each security."""
    fees: Integers = book.lot_fees * np.abs(trades) if book.rules.fee_rate else np.zeros_like(book.lot_fees)
    return fees + np.multiply(trades != 0, book.order_fee, dtype=fees.dtype) if book.order_fee else fees
