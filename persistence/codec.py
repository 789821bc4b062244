"""Between the service's values and BSON: the one place that knows Decimal128 and how a Struct becomes a document."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final, cast

import msgspec
from bson import CodecOptions, Decimal128, ObjectId
from bson.codec_options import TypeCodec, TypeRegistry

type Document = dict[str, Any]
"""A document as PyMongo takes and gives it; it does not leave this package."""


class _DecimalCodec(TypeCodec):
    """Decimal <-> Decimal128, wherever in a document; exact or an error, trailing zeros included."""

    python_type = Decimal
    bson_type = Decimal128

    def transform_python(self, value: Decimal) -> Decimal128:
        return Decimal128(value)

    def transform_bson(self, value: Decimal128) -> Decimal:
        return value.to_decimal()


CODEC_OPTIONS: Final[CodecOptions[Document]] = CodecOptions(
    tz_aware=True, type_registry=TypeRegistry([_DecimalCodec()])
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
