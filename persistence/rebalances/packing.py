"""A portfolio's document read without decoding each number; needs no database.

The portfolios of one rebalance have the same securities, prices, targets and bands: of each position only the
coefficients of two quantities differ. So a position is divided into its terms, which are decoded once and remembered,
and those coefficients. The array of a portfolio whose terms are those of an earlier one is compared with it in a few
steps. Only what the service itself writes for most portfolios can be read like this; `reader` decodes everything else.
"""

import re
import struct
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from typing import Final, cast

from msgspec import Struct

from persistence.rebalances.packed import PackedPortfolio, PositionTerms
from persistence.rebalances.reader import TEXT_VALUE, number_of, positions_of, text_of
from persistence.rebalances.record import (
    ADJUSTED_QUANTITY,
    DECIMAL,
    HIGH_DRIFT,
    LOW_DRIFT,
    ORIGINAL_QUANTITY,
    POSITIONS,
    PRICE,
    RESTRAINT,
    SECURITY_ID,
    TARGET,
    TEXT,
    TICKER,
)

_SMALLEST_EXPONENT: Final = -18
"""Of packed prices and quantities; what the service accepts has at most 18 decimal places."""
_REMEMBERED_TERMS: Final = 8_192
_REMEMBERED_LAYOUTS: Final = 64
_BEGINNING_BYTES: Final = 52
"""Up to the end of the first security's id, which distinguishes layouts of the same length."""


# The bytes of decimals of at most 34 digits, 0 to 34 of them decimals.
_EVEN: Final = re.escape(bytes(range(0, 0x42, 2)))
_UNSIGNED: Final = b"(?:.{14}(?:[\xfc\xfe]\x2f|[" + _EVEN + b"]\x30))"
_SIGNED: Final = b"(?:.{14}(?:[\xfc\xfe][\x2f\xaf]|[" + _EVEN + b"][\x30\xb0]))"
_PORTFOLIO: Final = re.compile(
    b"(.{4})\x03_id\x00\\\x29\x00\x00\x00\x07rebalanceId\x00.{12}\x10place\x00(.{4})\x00"
    + (b"\x02portfolioId\x00" + TEXT_VALUE)
    + (b"(?:\x0aportfolioName\x00|\x02portfolioName\x00" + TEXT_VALUE + b")")
    + b"\x02status\x00\x0a\x00\x00\x00COMPLETED\x00\x0afailure\x00"
    + (b"\x13marketValue\x00(" + _UNSIGNED + b")")
    + b"".join(b"\x13%b\x00(%b)" % (name, _SIGNED) for name in (b"cashBefore", b"cashAfter"))
    + b"\x02tradeDate\x00\x0b\x00\x00\x00([0-9-]{10})\x00"
    + (b"\x03solve\x00(.{4}\x02path\x00" + TEXT_VALUE)
    + (b"\x13gap\x00" + _SIGNED + b"\x08tieProven\x00[\x00\x01]\x01seconds\x00.{8}")
    + b"".join(b"\x13%b\x00%b" % (name, _SIGNED) for name in (b"objective", b"bound", b"outside"))
    + b"\x00)"
    + b"".join(b"\x13%b\x00%b" % (each, _SIGNED) for each in (b"driftBefore", b"driftAfter", b"turnover", b"fees"))
    + b"\x04warnings\x00\x05\x00\x00\x00\x00"
    + POSITIONS,
    re.DOTALL,
)
"""The document of a completed portfolio, up to the array of its positions."""

_COEFFICIENT, _EXPONENT = b"(.{8})", b".{8}"
_POSITION: Final = re.compile(
    b"(\x03[0-9]+\x00.{4})"
    + (b"(" + TEXT + SECURITY_ID + b".{4}[^\x00]*\x00" + DECIMAL + PRICE + b".{16}" + ORIGINAL_QUANTITY + b")")
    + (_COEFFICIENT + b"(" + _EXPONENT + ADJUSTED_QUANTITY + b")" + _COEFFICIENT)
    + (b"(" + _EXPONENT + b"".join(head + b".{16}" for head in (TARGET, HIGH_DRIFT, LOW_DRIFT)))
    + b"".join(b"(?:" + TEXT + name + b".{4}[^\x00]*\x00)?" for name in (TICKER, RESTRAINT))
    + b"\x00)",
    re.DOTALL,
)
"""One element of the array: its head, and its document without the coefficients, which are between the other parts."""


def packed(raw: bytes) -> PackedPortfolio | None:
    """Read a portfolio's document; None if it needs to be decoded as a whole."""
    found = _PORTFOLIO.match(raw)
    if found is None:
        return None
    length, place, id_length, portfolio_id, name_length, name, value, before, after, day, solve, *path = found.groups()
    array = raw[found.end() : -1]
    if not (
        _is_length(length, raw)
        and _is_length(array[:4], array)
        and _is_length(solve[:4], solve)
        and raw.endswith(b"\x00\x00")
        and _is_day(day)
    ):
        return None
    read = _positions(array)
    market_value = number_of(value)
    if read is None or not market_value:
        return None
    try:
        return PackedPortfolio(
            int.from_bytes(place, "little", signed=True),
            text_of(id_length, portfolio_id),
            None if name is None else text_of(name_length, name),
            market_value,
            number_of(before),
            number_of(after),
            day.decode(),
            text_of(*path),
            *read,
        )
    except ValueError:
        return None


type _Read = tuple[tuple[PositionTerms, ...], tuple[int, ...], tuple[int, ...]]
"""Terms, original and adjusted coefficients."""


class _Layout(Struct, frozen=True):
    """How the bytes of an array divide into coefficients and all between them, which belongs to these terms."""

    division: struct.Struct
    between: tuple[bytes, ...]
    terms: tuple[PositionTerms, ...]

    def read(self, array: bytes) -> _Read | None:
        """Read an array of the same length; None if its positions have other terms."""
        parts = self.division.unpack(array)
        return (self.terms, parts[1::4], parts[3::4]) if parts[::2] == self.between else None


class _Place:
    """Keeps the layout of arrays that begin alike, as soon as two of them in a row had the same terms."""

    def __init__(self) -> None:
        self.layout: _Layout | None = None
        self.last: tuple[PositionTerms, ...] | None = None


@lru_cache(_REMEMBERED_LAYOUTS)
def _place(length: int, beginning: bytes) -> _Place:  # noqa: ARG001 - the arguments are the key
    return _Place()


def _positions(array: bytes) -> _Read | None:
    place = _place(len(array), array[:_BEGINNING_BYTES])
    if place.layout is not None and (read := place.layout.read(array)) is not None:
        return read
    elements = _POSITION.findall(array, 4)
    if not elements or b"".join(chain.from_iterable(elements)) != array[4:-1]:
        return None
    terms: list[PositionTerms] = []
    for index, (head, start, original, middle, adjusted, end) in enumerate(elements):
        size = 4 + len(start) + len(original) + len(middle) + len(adjusted) + len(end)
        one = _terms(start, middle, end)
        if one is None or head != _head(index, size):
            return None
        terms.append(one)
    same = tuple(terms)
    if place.last == same:
        place.layout = _layout(array, elements, same)
    place.last = same
    return same, tuple(_coefficient(each[2]) for each in elements), tuple(_coefficient(each[4]) for each in elements)


def _layout(array: bytes, elements: Sequence[tuple[bytes, ...]], terms: tuple[PositionTerms, ...]) -> _Layout:
    between: list[bytes] = []
    rest = array[:4]
    for head, start, _, middle, _, end in elements:
        between += (rest + head + start, middle)
        rest = end
    between.append(rest + array[-1:])
    division = struct.Struct("<" + "Q".join(f"{len(each)}s" for each in between))
    return _Layout(division, tuple(between), terms)


@lru_cache(_REMEMBERED_TERMS)
def _terms(start: bytes, middle: bytes, end: bytes) -> PositionTerms | None:
    """Decode a position without its coefficients; None if it cannot be packed."""
    document = start + bytes(8) + middle + bytes(8) + end
    element = _head(0, 4 + len(document)) + document
    read = positions_of((5 + len(element)).to_bytes(4, "little") + element + b"\x00")
    if read is None:
        return None
    [position] = read
    price, quantities = position.price, (position.original_quantity, position.adjusted_quantity)
    if price is None or price <= 0 or not _is_plain(price) or position.target.is_signed():
        return None
    # The higher half of a coefficient belongs to the terms, and has to be 0.
    if any(map(bool, quantities)) or not all(map(_is_plain, quantities)):
        return None
    original, adjusted = map(_exponent, quantities)
    return PositionTerms(position, original, adjusted)


def _is_plain(value: Decimal) -> bool:
    return not value.is_signed() and _SMALLEST_EXPONENT <= _exponent(value) <= 0


def _exponent(value: Decimal) -> int:
    return cast("int", value.as_tuple().exponent)


@lru_cache(_REMEMBERED_TERMS)
def _head(index: int, size: int) -> bytes:
    """Return the bytes before the content of an element, a document of that size."""
    return b"\x03%d\x00%b" % (index, size.to_bytes(4, "little"))


def _coefficient(low: bytes) -> int:
    return int.from_bytes(low, "little")


def _is_length(prefix: bytes, content: bytes) -> bool:
    return int.from_bytes(prefix, "little") == len(content)


@lru_cache
def _is_day(text: bytes) -> bool:
    try:
        date.fromisoformat(text.decode())
    except ValueError:
        return False
    return True
