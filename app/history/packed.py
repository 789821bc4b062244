"""The JSON of stored portfolios whose positions were not decoded: byte for byte that of `PortfolioResultDTO`.

All positions of a portfolio are computed together, a column of numbers at a time, in integers.
"""

from collections.abc import Sequence
from decimal import Decimal
from math import gcd
from operator import add, mul, sub
from typing import Final

from app.history.schemas import PortfolioResultDTO
from app.history.sheet import (
    ACTUAL,
    ACTUAL_DRIFT,
    ADJUSTED,
    KIND,
    ORIGINAL,
    ORIGINAL_VALUE,
    ORIGINAL_VALUE_DECIMALS,
    PARTS,
    SIZE,
    VALUE,
    VALUE_DECIMALS,
    Column,
    Sheet,
    sheet_of,
)
from app.http.dialect import Dialect
from app.http.exact_json import encode
from app.solver_task.numerals import ONE, SHARES, Remembered, share_text, texts
from persistence import PackedPortfolio


def _drift(value: int) -> str:
    """Write how far something is above its target, if it is that many ten-thousandths of the target."""
    return share_text(value - ONE)


_DRIFTS: Final = Remembered(_drift, range(ONE, 2 * ONE + 1))
_DRIFTS_BELOW: Final = [f"-{share_text(ONE - value)}" for value in range(ONE)] + [SHARES[0]]
"""Texts of drifts below 0, by the value in ten-thousandths of the target; the last is what is rounded to 0."""


def packed_json(portfolio: PackedPortfolio, dialect: Dialect) -> bytes:
    """Encode a stored portfolio as JSON, its positions included."""
    sheet = sheet_of(portfolio.terms, portfolio.trade_date, dialect)
    shown = PortfolioResultDTO(
        portfolio_id=portfolio.portfolio_id,
        portfolio_name=portfolio.portfolio_name,
        status="COMPLETED",
        error=None,
        market_value=portfolio.market_value,
        cash_before_rebalance=portfolio.cash_before,
        cash_after_rebalance=portfolio.cash_after,
        positions=[],
    )
    beginning = encode(dialect.spell(shown)).decode().removesuffix("]}")
    return "".join((beginning, *_positions(portfolio, sheet), "]}")).encode()


def _positions(portfolio: PackedPortfolio, sheet: Sheet) -> list[str]:
    parts = sheet.parts.copy()
    trades = _write_quantities(parts, sheet, portfolio.originals, portfolio.adjusted)
    if any(portfolio.originals):  # otherwise the values of the sheet, which are 0, are right
        before = list(map(mul, portfolio.originals, sheet.prices))
        parts[ORIGINAL_VALUE_DECIMALS::PARTS] = sheet.original_values.decimals(before)
        parts[ORIGINAL_VALUE::PARTS] = texts(sheet.original_values.wholes(before))
    after = list(map(mul, portfolio.adjusted, sheet.prices))
    parts[VALUE_DECIMALS::PARTS] = sheet.values.decimals(after)
    parts[VALUE::PARTS] = texts(sheet.values.wholes(after))
    parts[ACTUAL::PARTS], parts[ACTUAL_DRIFT::PARTS] = _shares(after, portfolio.market_value, sheet)
    parts[KIND::PARTS] = [sheet.buy if trade > 0 else sheet.sell for trade in trades]
    if not all(trades):
        for start in (index * PARTS for index, trade in enumerate(trades) if not trade):
            parts[start + ORIGINAL_VALUE : start + VALUE - 1] = parts[start + VALUE : start + VALUE_DECIMALS + 1]
            parts[start + KIND : start + PARTS] = sheet.untraded, "", ""
    return parts


def _write_quantities(
    parts: list[str], sheet: Sheet, originals: Sequence[int], adjusted: Sequence[int]
) -> Sequence[int]:
    """Write the quantities of positions and trades; return what is bought, or, negative, sold."""
    fractions = sheet.fractions
    trades: Sequence[int]
    if fractions is None and not any(originals):
        trades = adjusted
        parts[ADJUSTED::PARTS] = parts[SIZE::PARTS] = texts(adjusted)
    elif fractions is None:
        trades = list(map(sub, adjusted, originals))
        parts[ORIGINAL::PARTS], parts[ADJUSTED::PARTS] = texts(originals), texts(adjusted)
        parts[SIZE::PARTS] = texts(list(map(abs, trades)))
    else:
        first, last = map(mul, originals, fractions.original_factors), map(mul, adjusted, fractions.adjusted_factors)
        trades = list(map(sub, last, first))
        sizes = list(map(abs, trades))
        parts[ORIGINAL::PARTS] = _with_decimals(originals, fractions.originals)
        parts[ADJUSTED::PARTS] = _with_decimals(adjusted, fractions.adjusted)
        parts[SIZE::PARTS] = [
            size.rstrip("0").removesuffix(".") if "." in size else size
            for size in _with_decimals(sizes, fractions.differences)
        ]
    return trades


def _with_decimals(values: Sequence[int], column: Column) -> list[str]:
    return list(map(add, texts(column.wholes(values)), column.decimals(values)))


def _shares(values: Sequence[int], market_value: Decimal, sheet: Sheet) -> tuple[list[str], list[str]]:
    """Write each value as a share of the market value, and how far it is from its target relative to the target.

    Both are `value * factor / whole` in ten-thousandths, rounded to an integer, halves away from 0. Dividing large
    integers is slow. So `factor / whole` is computed once, in units of `2 ** -places`, and multiplied by each value.
    Before it is rounded down, an exact result is a multiple of `1 / (2 * whole)`; with this many places the error is
    smaller than that, and it is never 0. Its sign therefore decides the halves only: the quotient is too large for
    shares and for drifts above 0, and too small for drifts below 0.
    """
    numerator, denominator = market_value.as_integer_ratio()
    factor, numerator = ONE * denominator * 10**sheet.target_places, numerator * 10**sheet.places
    common = gcd(factor, numerator)
    factor, numerator = factor // common, numerator // common
    if sheet.factors is not None:
        values = list(map(mul, values, sheet.factors))
    largest = max(values)
    wholes = [numerator * target for target in (10**sheet.target_places, *sheet.targets)]
    places = (2 * max(wholes) * largest).bit_length()
    half, scaled = 1 << places >> 1, factor << places
    more = scaled // wholes[0] + 1
    # From which value on a target is reached, and both quotients.
    limits = [(-(-ONE * each // factor), scaled // each + 1, -(-scaled // each) - 1) for each in wholes[1:]]
    # What has no target is written afterwards.
    limits.append((largest + 1, 0, 0))
    wanted = [limits[place] for place in sheet.target_of]
    actual = [SHARES[value * more + half >> places] for value in values]
    drifts = [
        _DRIFTS[value * over + half >> places] if value >= limit else _DRIFTS_BELOW[value * under + half >> places]
        for value, (limit, over, under) in zip(values, wanted, strict=True)
    ]
    if len(sheet.targets) in sheet.target_of:
        for index, place in enumerate(sheet.target_of):
            if place == len(sheet.targets):
                drifts[index] = SHARES[0]
    return actual, drifts
