"""One portfolio of a rebalance, read from BSON; needs no database.

PyMongo asks Python for every decimal that it decodes. Positions as `record` writes them have a fixed layout, which one
regular expression recognizes in a third of the time. PyMongo decodes everything else, and whatever deviates.
"""

import re
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Final

from bson import CodecOptions, decode
from bson.raw_bson import RawBSONDocument
from msgspec.structs import replace

from persistence.codec import CODEC_OPTIONS, REMEMBERED, Document, decimal_of, from_document
from persistence.documents import RebalancedPortfolio, RebalancedPosition
from persistence.formats import require_plain
from persistence.rebalances.record import (
    ADJUSTED_QUANTITY,
    DECIMAL,
    HIGH_DRIFT,
    LOW_DRIFT,
    NULL,
    ORIGINAL_QUANTITY,
    POSITIONS,
    PRICE,
    RESTRAINT,
    SECURITY_ID,
    TARGET,
    TEXT,
    TICKER,
)

RAW_OPTIONS: Final = CodecOptions(document_class=RawBSONDocument)
"""Of a collection whose documents stay bytes until `decoded` reads them."""

TEXT_VALUE: Final = b"(.{4})([^\x00]*)\x00"
"""The length and the bytes of a text in a regular expression."""
_LENGTH, _VALUE = b"(.{4})", b"(.{16})"
_HEADS = (ORIGINAL_QUANTITY, ADJUSTED_QUANTITY, TARGET, HIGH_DRIFT, LOW_DRIFT)
_POSITION: Final = re.compile(
    b"\x03([0-9]+)\x00"
    + _LENGTH
    + (TEXT + SECURITY_ID + TEXT_VALUE)
    + (b"(?:" + NULL + PRICE + b"|" + DECIMAL + PRICE + _VALUE + b")")
    + b"".join(head + _VALUE for head in _HEADS)
    + b"".join(b"(?:" + TEXT + name + TEXT_VALUE + b")?" for name in (TICKER, RESTRAINT))
    + b"\x00",
    re.DOTALL,
)
"""One element of the array of positions. Its groups: the index, the length of the document, length and text of the id,
the price if there is one, five decimals, and length and text of the ticker and of the restraint if there are any."""


def decoded(raw: bytes) -> Document:
    """Decode a portfolio's document; its positions are a tuple of `RebalancedPosition` if they have the fixed layout.

    Raises:
        bson.errors.InvalidBSON: it is not BSON.
    """
    start = raw.find(POSITIONS)
    if start > 0:
        array = raw[start + len(POSITIONS) : -1]
        # Texts may contain the name, but then the lengths do not fit.
        if array[:4] == len(array).to_bytes(4, "little") and raw.endswith(b"\x00\x00"):
            positions = positions_of(array)
            if positions is not None:
                # The document without its last element, which are the positions.
                size = (start + 1).to_bytes(4, "little")
                return {**decode(size + raw[4:start] + b"\x00", CODEC_OPTIONS), "positions": positions}
    return decode(raw, CODEC_OPTIONS)


def portfolio_of(document: Document) -> RebalancedPortfolio:
    """Return the portfolio that a decoded document holds, which may have been read without its positions.

    Raises:
        ValueError: the document is not in this service's format.
    """
    positions = document.get("positions", ())
    are_read = isinstance(positions, tuple)
    stored = {**document, **document["_id"], "positions": () if are_read else positions}
    portfolio = from_document(stored, RebalancedPortfolio)
    date.fromisoformat(portfolio.trade_date)
    if portfolio.failure is not None:
        require_plain(portfolio.failure.details)
    return replace(portfolio, positions=positions) if are_read else portfolio


def positions_of(array: bytes) -> tuple[RebalancedPosition, ...] | None:
    """Read an array of positions; None if it does not have the fixed layout."""
    positions: list[RebalancedPosition] = []
    end = 4
    for index, element in enumerate(_POSITION.finditer(array, end)):
        start, (number, length, id_length, security_id, price, *rest) = element.start(), element.groups()
        # The document begins after the type of the element, its index and a zero.
        document = start + len(number) + 2
        if start != end or int(number) != index or int.from_bytes(length, "little") != element.end() - document:
            return None
        end = element.end()
        original, adjusted, target, high, low, ticker_length, ticker, restraint_length, restraint = rest
        try:
            positions.append(
                RebalancedPosition(
                    text_of(id_length, security_id),
                    None if price is None else number_of(price),
                    number_of(original),
                    number_of(adjusted),
                    number_of(target),
                    number_of(high),
                    number_of(low),
                    None if ticker is None else text_of(ticker_length, ticker),
                    None if restraint is None else text_of(restraint_length, restraint),
                )
            )
        except ValueError:
            return None
    return tuple(positions) if end == len(array) - 1 else None


@lru_cache(REMEMBERED)
def text_of(length: bytes, text: bytes) -> str:
    """Decode a text, or raise ValueError if it does not have that length or is not UTF-8."""
    if int.from_bytes(length, "little") != len(text) + 1:
        raise ValueError("a text that is longer than it seems")
    return text.decode()


@lru_cache(REMEMBERED)
def number_of(bid: bytes) -> Decimal:
    """Decode a decimal, or raise ValueError if it is NaN or infinite."""
    value = decimal_of(bid)
    if not isinstance(value, Decimal):
        raise ValueError("a decimal that is not finite")  # noqa: TRY004 - of a document, not of a call
    return value
