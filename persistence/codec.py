"""Between the service's values and BSON: the one place that knows Decimal128 and how a Struct becomes a document."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, cast

import msgspec
from bson import CodecOptions, Decimal128, ObjectId
from bson.codec_options import TypeCodec, TypeRegistry

type Document = dict[str, Any]
"""A document as PyMongo takes and gives it; it does not leave this package."""


# Prices, targets and share counts repeat within and across rebalances, and PyMongo's conversions, in Python, cost more
# than all else that is done to a document. A text and a BID each stand for one value to the last trailing zero.
_REMEMBERED: Final = 16_384


class _DecimalCodec(TypeCodec):
    """Decimal <-> Decimal128, wherever in a document; exact or an error, trailing zeros included."""

    python_type = Decimal
    bson_type = Decimal128

    def transform_python(self, value: Decimal) -> Decimal128:
        return _decimal128(str(value))

    def transform_bson(self, value: Decimal128) -> Decimal:
        return _decimal(value.bid)


@lru_cache(_REMEMBERED)
def _decimal128(text: str) -> Decimal128:
    try:
        return Decimal128(text)
    except ArithmeticError as error:
        raise ValueError(f"{text} has more digits than the 34 that can be stored exactly") from error


@lru_cache(_REMEMBERED)
def _decimal(bid: bytes) -> Decimal:
    return Decimal128.from_bid(bid).to_decimal()


CODEC_OPTIONS: Final[CodecOptions[Document]] = CodecOptions(
    tz_aware=True, tzinfo=UTC, type_registry=TypeRegistry([_DecimalCodec()])
)


def to_document(value: msgspec.Struct) -> Document:
    """The document that holds a Struct, under the Struct's encoded field names."""
    return cast("Document", msgspec.to_builtins(value, builtin_types=(Decimal, datetime, ObjectId)))


def from_document[T](document: Document, kind: type[T]) -> T:
    """The Struct that a document holds; fields the Struct does not have are left out.

    Raises:
        msgspec.ValidationError: the document was not written by this package.
    """
    return msgspec.convert(document, kind, dec_hook=_as_is)


def _as_is(_kind: type, value: object) -> object:
    """PyMongo has decoded ObjectIds already."""
    return value
