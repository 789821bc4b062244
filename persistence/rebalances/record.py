"""One portfolio of a rebalance as BSON, ready to be inserted; needs no database, so any process can write it.

Portfolios are most of what the service stores, and PyMongo asks Python for every decimal it encodes. So positions are
written as BSON directly: https://bsonspec.org/spec.html. Everything else about a portfolio is encoded as usual.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from bson import encode
from msgspec import Struct
from msgspec.structs import fields, replace

from persistence.codec import (
    CODEC_OPTIONS,
    repeated_decimal_bytes,
    to_document,
)
from persistence.documents import RebalancedPortfolio, RebalancedPosition

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


class PortfolioRecord(Struct, frozen=True, array_like=True):
    """A portfolio's document, and what the rebalance keeps of it.

    Attributes:
        place: 0-based place in the order of the rebalance.
        document: BSON.
    """

    place: int
    portfolio_id: str
    document: bytes


def record_of(portfolio: RebalancedPortfolio) -> PortfolioRecord:
    """Encode a portfolio.

    Raises:
        ValueError: a decimal has more than the 34 digits that can be stored exactly.
    """
    document = to_document(replace(portfolio, positions=()))
    key = {"rebalanceId": document.pop("rebalanceId"), "place": document.pop("place")}
    del document["positions"]
    start = encode({"_id": key, **document}, codec_options=CODEC_OPTIONS)
    # Without its length and its end, with the array as its last element.
    body = start[4:-1] + POSITIONS + _array(portfolio.positions)
    return PortfolioRecord(portfolio.place, portfolio.portfolio_id, _with_length(body))


def _array(positions: Sequence[RebalancedPosition]) -> bytes:
    elements: list[bytes] = []
    for index, position in enumerate(positions):
        end = _end(position.ticker, position.restraint)
        elements += (
            _start(index, position.security_id, len(end), position.price is not None),
            b"" if position.price is None else repeated_decimal_bytes(str(position.price)),
            ORIGINAL_QUANTITY,
            repeated_decimal_bytes(str(position.original_quantity)),
            ADJUSTED_QUANTITY,
            repeated_decimal_bytes(str(position.adjusted_quantity)),
            TARGET,
            repeated_decimal_bytes(str(position.target)),
            HIGH_DRIFT,
            repeated_decimal_bytes(str(position.high_drift)),
            LOW_DRIFT,
            repeated_decimal_bytes(str(position.low_drift)),
            end,
        )
    return _with_length(b"".join(elements))


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
