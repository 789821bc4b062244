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
    Document,
    from_document,
    repeated_decimal_bytes,
    to_document,
)
from persistence.documents import RebalancedPortfolio, RebalancedPosition

_DECIMALS: Final = tuple(b"\x13%b\x00" % each.encode_name.encode() for each in fields(RebalancedPosition)[1:])
"""What stands before the 16 bytes of each decimal of a position, in their order; its identifier is before them all."""
_PRICE, _ORIGINAL_QUANTITY, _ADJUSTED_QUANTITY, _TARGET, _HIGH_DRIFT, _LOW_DRIFT = _DECIMALS
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
    body = b"%b\x04positions\x00%b" % (start[4:-1], _array(portfolio.positions))
    return PortfolioRecord(portfolio.place, portfolio.portfolio_id, _with_length(body))


def portfolio_of(document: Document) -> RebalancedPortfolio:
    """Make a portfolio of its document, which may have been read without its positions."""
    return from_document({"positions": (), **document, **document["_id"]}, RebalancedPortfolio)


def _array(positions: Sequence[RebalancedPosition]) -> bytes:
    elements: list[bytes] = []
    for index, position in enumerate(positions):
        elements += (
            _start(index, position.security_id),
            repeated_decimal_bytes(str(position.price)),
            _ORIGINAL_QUANTITY,
            repeated_decimal_bytes(str(position.original_quantity)),
            _ADJUSTED_QUANTITY,
            repeated_decimal_bytes(str(position.adjusted_quantity)),
            _TARGET,
            repeated_decimal_bytes(str(position.target)),
            _HIGH_DRIFT,
            repeated_decimal_bytes(str(position.high_drift)),
            _LOW_DRIFT,
            repeated_decimal_bytes(str(position.low_drift)),
            b"\x00",
        )
    return _with_length(b"".join(elements))


@lru_cache(_REMEMBERED_POSITIONS)
def _start(index: int, security_id: str) -> bytes:
    """A position as far as it is the same in every portfolio of a rebalance: up to the price."""
    text = security_id.encode()
    identifier = b"\x02securityId\x00%b%b\x00" % ((len(text) + 1).to_bytes(4, "little"), text)
    length = 4 + len(identifier) + sum(len(name) + 16 for name in _DECIMALS) + 1
    return b"\x03%d\x00%b%b%b" % (index, length.to_bytes(4, "little"), identifier, _PRICE)


def _with_length(elements: bytes) -> bytes:
    """Make a document, or an array, of its elements: its length, itself included, comes first, and a zero ends it."""
    return (len(elements) + 5).to_bytes(4, "little") + elements + b"\x00"
