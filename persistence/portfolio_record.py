"""One portfolio of a rebalance as BSON, ready to be inserted; needs no database, so any process can write it.

Portfolios are most of what the service stores, and PyMongo asks Python for every decimal it encodes. So positions are
written as BSON directly: https://bsonspec.org/spec.html. Everything else about a portfolio is encoded as usual.
"""

from collections.abc import Sequence
from typing import Final

from bson import encode
from msgspec import Struct
from msgspec.structs import fields, replace

from persistence.codec import (
    CODEC_OPTIONS,
    Document,
    decimal_bytes,
    from_document,
    repeated_decimal_bytes,
    to_document,
)
from persistence.documents import RebalancedPortfolio, RebalancedPosition

_DECIMALS: Final = ("price", "original_quantity", "adjusted_quantity", "target", "high_drift", "low_drift")
_NAMES: Final = {field.name: field.encode_name.encode() for field in fields(RebalancedPosition)}
_POSITION: Final = b"\x02%b\x00%%b%%b\x00" % _NAMES["security_id"] + b"".join(
    b"\x13%b\x00%%b" % _NAMES[each] for each in _DECIMALS
)
"""Length and text of the security's id, then 16 bytes for each decimal."""


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
    return _with_length(b"".join(b"\x03%d\x00%b" % (index, _position(each)) for index, each in enumerate(positions)))


def _position(position: RebalancedPosition) -> bytes:
    security_id = position.security_id.encode()
    return _with_length(
        _POSITION
        % (
            (len(security_id) + 1).to_bytes(4, "little"),
            security_id,
            repeated_decimal_bytes(str(position.price)),
            decimal_bytes(str(position.original_quantity)),
            decimal_bytes(str(position.adjusted_quantity)),
            repeated_decimal_bytes(str(position.target)),
            repeated_decimal_bytes(str(position.high_drift)),
            repeated_decimal_bytes(str(position.low_drift)),
        )
    )


def _with_length(elements: bytes) -> bytes:
    """Make a document, or an array, of its elements: its length, itself included, comes first, and a zero ends it."""
    return (len(elements) + 5).to_bytes(4, "little") + elements + b"\x00"
