"""What the JSON of stored portfolios with the same securities, prices, targets and bands has in common."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from operator import floordiv, getitem, mod
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import fields

from app.history.schemas import PositionResultDTO
from app.http.dialect import Dialect
from app.http.exact_json import encode
from app.solver_task.rounding import EXACT
from persistence import PositionTerms

PARTS: Final = 17
"""Texts that the JSON of one position consists of; those at the following places differ between portfolios."""
ORIGINAL, ADJUSTED = 1, 3
ORIGINAL_VALUE, ORIGINAL_VALUE_DECIMALS = 5, 6
VALUE, VALUE_DECIMALS = 8, 9
ACTUAL, ACTUAL_DRIFT = 11, 13
KIND, SIZE = 14, 15
"""The trade: its side with the names around it, and its quantity."""

_LARGEST_TABLE_PLACES: Final = 4
_REMEMBERED_SHEETS: Final = 64
_REMEMBERED_ROWS: Final = 8_192


class _Texts(Protocol):
    def __getitem__(self, value: int, /) -> str: ...


class _Decimals:
    """The decimals of a number in JSON, with the point before them, by their value as an integer."""

    def __init__(self, places: int) -> None:
        self._places = places

    def __getitem__(self, value: int, /) -> str:
        return f".{value:0{self._places}d}"


class Column(Struct, frozen=True):
    """How one number of each position is written, which is an integer in units of its last decimal place.

    Attributes:
        units: of these, one whole.
        texts: the decimals by their value.
    """

    units: tuple[int, ...]
    texts: tuple[_Texts, ...]

    @classmethod
    def of(cls, places: Iterable[int]) -> "Column":
        """Return a column of numbers, each with its number of decimal places."""
        each = tuple(places)
        return cls(tuple(10**place for place in each), tuple(map(_decimals, each)))

    def wholes(self, values: Iterable[int]) -> list[int]:
        """Return what is before the point of each number."""
        return list(map(floordiv, values, self.units))

    def decimals(self, values: Iterable[int]) -> list[str]:
        """Return the texts of the decimals, with the point."""
        return list(map(getitem, self.texts, map(mod, values, self.units)))


class Fractions(Struct, frozen=True):
    """Quantities that are not all whole numbers.

    Attributes:
        originals, adjusted: how they are written.
        original_factors, adjusted_factors: convert them to the unit of their difference.
        differences: how the difference is written, but without trailing zeros.
    """

    originals: Column
    adjusted: Column
    original_factors: tuple[int, ...]
    adjusted_factors: tuple[int, ...]
    differences: Column


class Sheet(Struct, frozen=True):
    """A column for each number of the positions of a portfolio.

    Attributes:
        parts: of the JSON, `PARTS` for each position; those that differ between portfolios are empty,
            but quantities and values before the trade are 0.
        prices: in units of their last decimal place; the product with a quantity is a value.
        original_values, values: how values before and after the trade are written.
        places: all values after the trade are integers in units of 10 to the power of `-places`.
        factors: convert them to that unit; None if all are 1.
        targets: each different one but 0, in units of 10 to the power of `-target_places`.
        target_of: where the target of each position is in `targets`; one place beyond them if it is 0.
        fractions: None if all quantities are whole numbers.
        buy, sell, untraded: the part `KIND`; of what is not traded, it is the last one.
    """

    parts: list[str]
    prices: tuple[int, ...]
    original_values: Column
    values: Column
    places: int
    factors: tuple[int, ...] | None
    targets: tuple[int, ...]
    target_places: int
    target_of: tuple[int, ...]
    fractions: Fractions | None
    buy: str
    sell: str
    untraded: str


class _Row(Struct, frozen=True):
    """What one position has in common with that of other portfolios.

    Attributes:
        opening: its JSON up to the quantity before the trade.
        band: its JSON from the value after the trade to its share.
        price, target: in units of their last decimal place.
        price_places, target_places: their decimal places.
    """

    opening: str
    band: str
    price: int
    price_places: int
    target: int
    target_places: int


@lru_cache(_REMEMBERED_SHEETS)
def sheet_of(terms: Sequence[PositionTerms], trade_date: str, dialect: Dialect) -> Sheet:
    """Return the sheet of portfolios with these terms."""
    rows = [_row(each, dialect) for each in terms]
    originals, adjusted = [-each.original_exponent for each in terms], [-each.adjusted_exponent for each in terms]
    original_places = [row.price_places + places for row, places in zip(rows, originals, strict=True)]
    value_places = [row.price_places + places for row, places in zip(rows, adjusted, strict=True)]
    places = max(value_places)
    target_places = max(row.target_places for row in rows)
    scaled = [row.target * 10 ** (target_places - row.target_places) for row in rows]
    different = tuple(sorted({each for each in scaled if each}))
    place_of = {target: place for place, target in enumerate(different)} | {0: len(different)}
    kind, size, day = _names(dialect)[-3:]
    return Sheet(
        parts=_parts(rows, original_places, f'{day}"{trade_date}"}}', dialect),
        prices=tuple(row.price for row in rows),
        original_values=Column.of(original_places),
        values=Column.of(value_places),
        places=places,
        factors=None if min(value_places) == places else tuple(10 ** (places - each) for each in value_places),
        targets=different,
        target_places=target_places,
        target_of=tuple(place_of[each] for each in scaled),
        fractions=_fractions(originals, adjusted) if any(originals) or any(adjusted) else None,
        buy=f'{kind}"BUY"{size}',
        sell=f'{kind}"SELL"{size}',
        untraded=f"{kind}null{size}null{day}null}}",
    )


@lru_cache(_REMEMBERED_ROWS)
def _row(terms: PositionTerms, dialect: Dialect) -> _Row:
    security, price, original, _, _, _, target, high, low, actual, *_ = _names(dialect)
    position = terms.position
    opening = f"{{{security[1:]}{_json(position.security_id)}{price}{_json(position.price)}{original}"
    band = f"{target}{_json(position.target)}{high}{_json(position.high_drift)}{low}{_json(position.low_drift)}{actual}"
    return _Row(opening, band, *_integer(position.price), *_integer(position.target))


def _parts(rows: Sequence[_Row], original_places: Sequence[int], end: str, dialect: Dialect) -> list[str]:
    _, _, _, adjusted, original_value, value, _, _, _, _, drift, *_ = _names(dialect)
    parts: list[str] = []
    for row, places in zip(rows, original_places, strict=True):
        parts += (f",{row.opening}", "0", adjusted, "", original_value, "0", _decimals(places)[0], value, "", "")
        parts += (row.band, "", drift, "", "", "", end)
    parts[0] = rows[0].opening
    return parts


@lru_cache
def _names(dialect: Dialect) -> tuple[str, ...]:
    """Return the names of the fields of a position, with what surrounds them."""
    return tuple(f',"{dialect.field_name(field.encode_name)}":' for field in fields(PositionResultDTO))


def _json(value: str | Decimal | None) -> str:
    return encode(value).decode()


def _fractions(originals: Sequence[int], adjusted: Sequence[int]) -> Fractions:
    places = list(map(max, originals, adjusted))
    return Fractions(
        Column.of(originals),
        Column.of(adjusted),
        tuple(10 ** (most - each) for most, each in zip(places, originals, strict=True)),
        tuple(10 ** (most - each) for most, each in zip(places, adjusted, strict=True)),
        Column.of(places),
    )


def _integer(value: Decimal | None) -> tuple[int, int]:
    """Return a number as an integer, and its decimal places."""
    assert value is not None, "packed positions have prices"
    _, _, exponent = value.as_tuple()
    assert isinstance(exponent, int), "packed numbers are finite"
    return int(value.scaleb(-exponent, EXACT)), -exponent


@lru_cache
def _decimals(places: int) -> _Texts:
    if not places:
        return ("",)
    texts = _Decimals(places)
    return [texts[value] for value in range(10**places)] if places <= _LARGEST_TABLE_PLACES else texts
