"""The positions of a solved portfolio as columns of integers: what they trade and are worth, their JSON and BSON.

All portfolios are shown and recorded by `schemas` and `record_of`, from a `Decimal` for each number. Most portfolios
hold only securities of their model, no rule restrains any of them, and their quantities are at least 0. Their columns
are computed here in a third of the time, and to the same bytes.
"""

from collections.abc import Sequence
from decimal import Decimal
from operator import add, mul, sub
from typing import Final

import msgspec
from msgspec import Struct

from app.solver_task.assignment import Assignment
from app.solver_task.form import ACTUAL, ADJUSTED, DRIFT_PARTS, ORIGINAL, ORIGINAL_ACTUAL, Form, form_of, integers
from app.solver_task.movement import Movement
from app.solver_task.numerals import ONE, SHARES, texts
from app.solver_task.rounding import EXACT
from solver import Solution

QUANTITY_LIMIT: Final = 10**15
"""Shares that the books can hold are below it; a larger position could be ordered, but not be read back."""
_MOST_PLACES: Final = 18
"""Of a quantity: 34 digits can be stored."""
_NUMBERS: Final = msgspec.json.Encoder(decimal_format="number")
_MILLION: Final = 1_000_000


class Quantities(Struct, frozen=True):
    """Quantities of at least 0.

    Attributes:
        written: as `str` writes decimals.
        values: in the common unit of a portfolio's quantities.
    """

    written: list[str]
    values: list[int]


class Columns(Struct, frozen=True):
    """The positions of a solved portfolio. Money is in units of 10 to the power of `-places`.

    Attributes:
        trades: shares, positive if bought, negative if sold.
        before, after: money in each position.
        market_value: money.
    """

    form: Form
    original: Quantities
    adjusted: Quantities
    trades: Sequence[int]
    before: list[int]
    after: list[int]
    market_value: int
    places: int

    def movement(self) -> Movement:
        """Measure how far the trades move the portfolio."""
        whole = self.market_value
        wanted = [whole * target for target in self.form.targets]
        scale = 10**self.form.target_places
        fine = whole * scale
        drift_before, drift_after = (
            sum(map(abs, map(sub, wanted, [value * scale for value in values]))) for values in (self.before, self.after)
        )
        moved = list(map(sub, self.after, self.before))
        bought = sum(value for value in moved if value > 0)
        sold = bought - sum(moved)
        purchases = sum(trade > 0 for trade in self.trades)
        return Movement(
            _millionths(drift_before, fine),
            _millionths(drift_after, fine),
            _millionths(bought + sold, whole),
            purchases,
            len(self.trades) - self.trades.count(0) - purchases,
            EXACT.scaleb(Decimal(bought), -self.places),
            EXACT.scaleb(Decimal(sold), -self.places),
        )

    def trades_json(self) -> str:
        """Write the trades, sales first."""
        sales = [
            f"{start}{-trade}{end}"
            for (start, end), trade in zip(self.form.sales, self.trades, strict=True)
            if trade < 0
        ]
        purchases = [
            f"{start}{trade}{end}"
            for (start, end), trade in zip(self.form.purchases, self.trades, strict=True)
            if trade > 0
        ]
        return f"[{','.join(sales + purchases)}]"

    def drifts_json(self) -> str:
        """Write quantities and weights before and after the trades."""
        parts = self.form.drifts.copy()
        parts[ORIGINAL::DRIFT_PARTS] = self.original.written
        parts[ADJUSTED::DRIFT_PARTS] = self.adjusted.written
        parts[ORIGINAL_ACTUAL::DRIFT_PARTS] = _shares(self.before, self.market_value)
        parts[ACTUAL::DRIFT_PARTS] = _shares(self.after, self.market_value)
        return f"[{''.join(parts)}]"

    def record(self) -> bytes:
        """Encode the positions as BSON."""
        return self.form.record.array(self.original.written, self.adjusted.written)


def columns_of(assignment: Assignment, solution: Solution) -> Columns | None:
    """Return the columns of a solved portfolio; None if it is not like most."""
    whole = [trade for trade in solution.trades if isinstance(trade, int)]
    if not whole or len(whole) < len(solution.trades):
        return None
    if assignment.others or any(solution.restraints) or solution.market_value <= 0:
        return None
    quantities = _quantities(assignment.quantities, whole)
    if quantities is None:
        return None
    original, adjusted, quantity_places = quantities
    form = form_of(assignment.terms)
    [market_value], market_value_places = integers([solution.market_value])
    places = form.price_places + quantity_places
    before, after = (list(map(mul, each.values, form.prices)) for each in (original, adjusted))
    if places < market_value_places:
        factor = 10 ** (market_value_places - places)
        before, after = ([value * factor for value in each] for each in (before, after))
    elif places > market_value_places:
        market_value *= 10 ** (places - market_value_places)
    return Columns(form, original, adjusted, whole, before, after, market_value, max(places, market_value_places))


def _quantities(held: Sequence[Decimal], trades: Sequence[int]) -> tuple[Quantities, Quantities, int] | None:
    """Return quantities before and after the trades, and the decimal places of their unit; None if unusual.

    Only whole shares are traded, so a quantity keeps its decimals, unless all of it is sold.
    """
    text = _NUMBERS.encode(held)[1:-1].decode()
    if "-" in text or "E" in text:
        return None
    written = text.split(",")
    if "." not in text:
        values = list(map(int, written))
        after = list(map(add, values, trades))
        return (Quantities(written, values), Quantities(texts(after), after), 0) if _are_usual(after, 1) else None
    parts = [each.partition(".") for each in written]
    places = max(len(decimals) for _, _, decimals in parts)
    unit = 10**places
    values = [int(whole + decimals.ljust(places, "0")) for whole, _, decimals in parts]
    after = [value + trade * unit for value, trade in zip(values, trades, strict=True)]
    if places > _MOST_PLACES or not _are_usual(after, unit):
        return None
    wholes = texts([value // unit for value in after])
    shown = [
        whole + point + decimals if value else "0"
        for value, whole, (_, point, decimals) in zip(after, wholes, parts, strict=True)
    ]
    return Quantities(written, values), Quantities(shown, after), places


def _are_usual(values: Sequence[int], unit: int) -> bool:
    return min(values) >= 0 and max(values) < QUANTITY_LIMIT * unit


def _shares(values: Sequence[int], whole: int) -> list[str]:
    """Write each value as a share of the whole, halves rounded up."""
    if not any(values):
        return [SHARES[0]] * len(values)
    double = 2 * whole
    return [SHARES[(2 * ONE * value + whole) // double] for value in values]


def _millionths(part: int, whole: int) -> Decimal:
    """Return a share with six decimal places, halves rounded up."""
    return EXACT.scaleb(Decimal((2 * _MILLION * part + whole) // (2 * whole)), -6)
