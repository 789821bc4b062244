"""One portfolio of a rebalance as BSON, ready to be inserted; needs no database, so any process can write it.

Portfolios are most of what the service stores, and PyMongo asks Python for every decimal it encodes. So they are
written as BSON directly: https://bsonspec.org/spec.html. Only failures and warnings, which few portfolios have, numbers
that are no decimals, and truth values are encoded by PyMongo.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec
from bson import encode
from msgspec import Struct
from msgspec.structs import fields

from persistence.codec import CODEC_OPTIONS, decimal_bytes, repeated_decimal_bytes
from persistence.documents import RebalancedPortfolio, RebalancedPosition, Solve

TEXT, NULL, DECIMAL = b"\x02", b"\x0a", b"\x13"
"""The types of BSON elements that a position has."""
POSITIONS: Final = b"\x04positions\x00"
"""The bytes before the array of positions, which is the last element of the document."""
_NAMES: Final = tuple(each.encode_name.encode() + b"\x00" for each in fields(RebalancedPosition))
SECURITY_ID, PRICE, *_DECIMAL_NAMES, TICKER, RESTRAINT = _NAMES
_HEADS: Final = tuple(DECIMAL + name for name in _DECIMAL_NAMES)
"""The bytes before the 16 bytes of each decimal of a position after its price, in their order."""
ORIGINAL_QUANTITY, ADJUSTED_QUANTITY, TARGET, HIGH_DRIFT, LOW_DRIFT = _HEADS
_REMEMBERED_POSITIONS: Final = 4_096
_PARTS: Final = 5
"""Of the bytes of one position; the second and the fourth are its quantities."""
_ELSEWHERE: Final = ("rebalance_id", "place", "positions")
_ELEMENTS: Final = {
    kind: tuple(
        (each.name, each.encode_name.encode() + b"\x00") for each in fields(kind) if each.name not in _ELSEWHERE
    )
    for kind in (RebalancedPortfolio, Solve)
}
"""The fields of both, and their names in BSON."""


class PortfolioRecord(Struct, frozen=True, array_like=True):
    """A portfolio's document, and what the rebalance keeps of it.

    Attributes:
        place: 0-based place in the order of the rebalance.
        document: BSON.
    """

    place: int
    portfolio_id: str
    document: bytes


class PositionForm:
    """The BSON of arrays of positions that differ only in their quantities."""

    def __init__(self, positions: Sequence[RebalancedPosition]) -> None:
        """Encode everything but the quantities of the positions.

        Raises:
            ValueError: a decimal has more than the 34 digits that can be stored exactly.
        """
        self._parts: list[bytes] = []
        for index, position in enumerate(positions):
            end = _end(position.ticker, position.restraint)
            start = _start(index, position.security_id, len(end), position.price is not None)
            price = b"" if position.price is None else repeated_decimal_bytes(str(position.price))
            band = (position.target, position.high_drift, position.low_drift)
            values = (
                head + repeated_decimal_bytes(str(value))
                for head, value in zip((TARGET, HIGH_DRIFT, LOW_DRIFT), band, strict=True)
            )
            self._parts += (start + price + ORIGINAL_QUANTITY, b"", ADJUSTED_QUANTITY, b"", b"".join(values) + end)

    def array(self, originals: Iterable[str], adjusted: Iterable[str]) -> bytes:
        """Encode the array with these quantities, as `str` writes decimals.

        Raises:
            ValueError: one has more than the 34 digits that can be stored exactly.
        """
        parts = self._parts.copy()
        parts[1::_PARTS] = map(repeated_decimal_bytes, originals)
        parts[3::_PARTS] = map(repeated_decimal_bytes, adjusted)
        return _with_length(b"".join(parts))


def record_of(portfolio: RebalancedPortfolio, array: bytes | None = None) -> PortfolioRecord:
    """Encode a portfolio.

    Args:
        portfolio: the portfolio.
        array: the encoded array of its positions, which are not read then.

    Raises:
        ValueError: a decimal has more than the 34 digits that can be stored exactly.
    """
    if array is None:
        positions = portfolio.positions
        array = PositionForm(positions).array(
            [str(each.original_quantity) for each in positions], [str(each.adjusted_quantity) for each in positions]
        )
    # With the array as its last element.
    elements = (_key(portfolio), _elements(portfolio), POSITIONS, array)
    return PortfolioRecord(portfolio.place, portfolio.portfolio_id, _with_length(b"".join(elements)))


def _key(portfolio: RebalancedPortfolio) -> bytes:
    place = portfolio.place.to_bytes(4, "little", signed=True)
    return b"\x03_id\x00\x29\x00\x00\x00\x07rebalanceId\x00%b\x10place\x00%b\x00" % (
        portfolio.rebalance_id.binary,
        place,
    )


def _elements(value: RebalancedPortfolio | Solve) -> bytes:
    """Encode the fields of a Struct, except those of a portfolio that are written elsewhere."""
    return b"".join(_element(name, getattr(value, field)) for field, name in _ELEMENTS[type(value)])


def _element(name: bytes, value: object) -> bytes:
    if isinstance(value, Decimal):
        return DECIMAL + name + decimal_bytes(str(value))
    if isinstance(value, str):
        return _text(name, value)
    if value is None:
        return NULL + name
    if isinstance(value, Solve):
        return b"\x03" + name + _with_length(_elements(value))
    if not value and isinstance(value, tuple):
        return b"\x04" + name + _with_length(b"")
    # All that few portfolios have, and what has no digits to lose.
    plain = msgspec.to_builtins(value, builtin_types=(Decimal, datetime))
    return encode({name[:-1].decode(): plain}, codec_options=CODEC_OPTIONS)[4:-1]


@lru_cache(_REMEMBERED_POSITIONS)
def _start(index: int, security_id: str, end_bytes: int, priced: bool) -> bytes:
    """Return a position's bytes up to the value of its price, which are the same in every portfolio of a rebalance."""
    identifier = _text(SECURITY_ID, security_id)
    price = DECIMAL + PRICE if priced else NULL + PRICE
    values = sum(len(head) + 16 for head in _HEADS) + (16 if priced else 0)
    length = 4 + len(identifier) + len(price) + values + end_bytes
    return b"\x03%d\x00%b%b%b" % (index, length.to_bytes(4, "little"), identifier, price)


@lru_cache(_REMEMBERED_POSITIONS)
def _end(ticker: str | None, restraint: str | None) -> bytes:
    """Return a position's bytes after its last decimal: the texts it has, and the end of the document."""
    texts = b"" if ticker is None else _text(TICKER, ticker)
    return texts + (b"" if restraint is None else _text(RESTRAINT, restraint)) + b"\x00"


def _text(name: bytes, value: str) -> bytes:
    text = value.encode()
    return b"%b%b%b%b\x00" % (TEXT, name, (len(text) + 1).to_bytes(4, "little"), text)


def _with_length(elements: bytes) -> bytes:
    """Encode a document, or an array, from its elements: first its length, itself included, and a zero at the end."""
    return (len(elements) + 5).to_bytes(4, "little") + elements + b"\x00"
