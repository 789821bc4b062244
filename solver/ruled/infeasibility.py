"""Explains a portfolio that its rules make infeasible: every reason, as data and as a sentence."""

from collections.abc import Sequence
from decimal import Decimal, localcontext

from solver.infeasibility import PREFERRED_HINT, describe, plain
from solver.problem import (
    CashShortfall,
    InfeasibleReason,
    Locked,
    Minimum,
    NegativeMarketValue,
    NoWholeShare,
)
from solver.ruled.allowed import (
    Interval,
    Line,
    Standing,
    allowed,
    intersection,
    removed_by,
    restraints_on,
    unrestrained,
)
from solver.ruled.book import Book
from solver.rules import Bands
from solver.scaling import EXACT, unscaled

SHARE_PLACES = 12
WEIGHT_PLACES = 6


def explain(
    book: Book, lines: Sequence[Line], choices: Sequence[list[Interval]], standings: Sequence[Standing]
) -> tuple[tuple[InfeasibleReason, ...], str, bool] | None:
    """Return every reason, their sentences, and if preferred bands would help; None if it is feasible."""
    if book.market_value < 0:
        found: tuple[InfeasibleReason, ...] = (NegativeMarketValue(book.money(book.market_value)),)
        message = describe(found)
        if book.withdrawal:
            message += f" The withdrawal of {plain(book.money(book.withdrawal))} is subtracted from it."
        return found, message, False
    reasons: list[InfeasibleReason] = [
        _no_lot(book, line)
        for line, standing in sorted(zip(lines, standings, strict=True), key=lambda pair: pair[0].index)
        if standing is Standing.IMPOSSIBLE
    ]
    # A band without a lot demands none: it is a reason of its own, and the cash may be short without it.
    demanded = [some or allowed(line, Bands.PREFERRED)[0] for line, some in zip(lines, choices, strict=True)]
    least = [_least_cash(line, some) for line, some in zip(lines, demanded, strict=True)]
    missing = sum(line.cash(trade) for line, trade in zip(lines, least, strict=True)) - book.capacity
    if missing > 0:
        reasons.append(_shortfall(book, lines, least, missing))
    if not reasons:
        return None
    preferred = book.rules.bands is Bands.REQUIRED and _feasible_if_preferred(book, lines)
    message = describe(tuple(reasons))
    return tuple(reasons), f"{message} {PREFERRED_HINT}" if preferred else message, preferred


def _least_cash(line: Line, intervals: Sequence[Interval]) -> int:
    """Return the trade that uses the least cash; with order fees, that is not always the lowest quantity."""
    trades = [trade for low, high in intervals for trade in {low, *(t for t in (0, 1) if low <= t <= high)}]
    return min(trades, key=lambda trade: (line.cash(trade), abs(trade), trade))


def _feasible_if_preferred(book: Book, lines: Sequence[Line]) -> bool:
    least = 0
    for line in lines:
        some, _ = allowed(line, Bands.PREFERRED)
        least += line.cash(_least_cash(line, some))
    return least <= book.capacity


def _shortfall(book: Book, lines: Sequence[Line], least: Sequence[int], missing: int) -> CashShortfall:
    minimums, locked = [], []
    fees = 0
    for line, trade in zip(lines, least, strict=True):
        security = book.portfolio.securities[line.index]
        fees += line.fee(trade)
        value = line.value(trade)
        if not value:
            continue
        quantity = _quantity(book, line, trade)
        minimums.append((-value, line.index, Minimum(security.security_id, quantity, book.money(value))))
        band = line.band
        free = unrestrained(line) if book.rules.bands is Bands.PREFERRED or band[0] > band[1] else [band]
        freed = [
            restraint
            for restraint in restraints_on(book, line)
            if (sales := intersection(intersection(removed_by(line, restraint), free), [(-line.lots, -1)]))
            and line.cash(_least_cash(line, sales)) < line.cash(trade)
        ]
        if freed:
            locked.append((-value, line.index, Locked(security.security_id, quantity, book.money(value), freed[0])))
    return CashShortfall(
        missing=book.money(missing),
        minimums=tuple(minimum for _, _, minimum in sorted(minimums, key=lambda entry: entry[:2])),
        minimum_cash=book.money(book.minimum_cash),
        withdrawal=book.money(book.withdrawal),
        fees=book.money(fees),
        locked=tuple(one for _, _, one in sorted(locked, key=lambda entry: entry[:2])),
    )


def _no_lot(book: Book, line: Line) -> NoWholeShare:
    """Return the band of one security and the lots around it."""
    security = book.portfolio.securities[line.index]
    first, last = line.band
    above = max(last + 1, first if last < -line.lots else last + 1, -line.lots)
    value_above = line.value(above)
    below = last if last >= -line.lots else None
    distances = [value_above - line.target]
    if below is not None:
        distances.append(line.target - line.value(below))
    price_units = int(EXACT.scaleb(security.price, book.places))
    return NoWholeShare(
        security_id=security.security_id,
        price=security.price,
        lower_value=book.money(line.lower),
        upper_value=book.money(line.upper),
        lower_shares=_ratio(line.lower, price_units, SHARE_PLACES, up=True),
        upper_shares=_ratio(line.upper, price_units, SHARE_PLACES, up=False),
        quantity_below=None if below is None else _quantity(book, line, below),
        quantity_above=_quantity(book, line, above),
        weight_below=None if below is None else _weight(line.value(below), book.market_value),
        weight_above=_weight(value_above, book.market_value),
        drift_needed=_ratio(min(distances), book.market_value, WEIGHT_PLACES, up=True),
        lot_size=_lot_size(book, line),
    )


def _lot_size(book: Book, line: Line) -> Decimal:
    name = book.portfolio.securities[line.index].security_id
    return next((lot.lot_size for lot in book.rules.lot_sizes if lot.security_id == name), book.rules.lot_size)


def _quantity(book: Book, line: Line, trade: int) -> Decimal:
    with localcontext(EXACT):
        return book.portfolio.securities[line.index].quantity + _lot_size(book, line) * trade


def _ratio(numerator: int, denominator: int, places: int, *, up: bool) -> Decimal:
    numerator *= 10**places
    return unscaled(-(-numerator // denominator) if up else numerator // denominator, places)


def _weight(value: int, market_value: int) -> Decimal:
    """Half up, as every weight of the service is rounded."""
    return unscaled((2 * value * 10**WEIGHT_PLACES + market_value) // (2 * market_value), WEIGHT_PLACES)
