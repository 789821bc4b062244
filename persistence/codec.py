"""Conversion between the service's values and BSON: the only place that knows Decimal128 and the form of documents."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, cast

import msgspec
from bson import CodecOptions, Decimal128, ObjectId
from bson.codec_options import DatetimeConversion, TypeCodec, TypeRegistry

type Document = dict[str, Any]
"""A document as PyMongo accepts and returns it; it does not leave this package."""


REMEMBERED: Final = 16_384
"""How many conversions of each kind are cached: prices and targets repeat within and across rebalances.

PyMongo's conversions, in Python, cost more than all else that is done to a document. A text and a BID each stand for
one value to the last trailing zero.
"""

# Decimal128 as IEEE 754-2008 has it, in its binary encoding.
_DIGITS: Final = 34
_COEFFICIENT_BITS: Final = 113
_EXPONENT_BIAS: Final = 6176
_SIGN_BIT: Final = 127
_LARGEST_BITS: Final = (1 << _COEFFICIENT_BITS) - 1
_LARGEST_EXPONENT: Final = (1 << _SIGN_BIT - _COEFFICIENT_BITS) - 1
_FEWEST_SPECIAL: Final = 0b11 << _SIGN_BIT - _COEFFICIENT_BITS - 2
"""Exponents from here on mean another encoding, infinity or NaN."""
_DIGITS_LIMIT: Final = 10**_DIGITS


class _DecimalCodec(TypeCodec):
    """Decimal <-> Decimal128, wherever in a document; exact or an error, trailing zeros included."""

    python_type = Decimal
    bson_type = Decimal128

    def transform_python(self, value: Decimal) -> Decimal128:
        return Decimal128.from_bid(repeated_decimal_bytes(str(value)))

    def transform_bson(self, value: Decimal128) -> Decimal | Decimal128:
        return decimal_of(value.bid)


def decimal_bytes(text: str) -> bytes:
    """Return the 16 bytes of a Decimal128, exact to the last trailing zero.

    Args:
        text: a decimal as `str` writes it.

    Raises:
        ValueError: it has more digits than the 34 that can be stored exactly.
    """
    whole, _, decimals = text.partition(".")
    digits = whole + decimals
    if len(digits) <= _DIGITS and digits.isdecimal():
        return (int(digits) | (_EXPONENT_BIAS - len(decimals)) << _COEFFICIENT_BITS).to_bytes(16, "little")
    # Signed, or with an exponent.
    try:
        return Decimal128(text).bid
    except ArithmeticError as error:
        raise ValueError(f"{text} has more digits than the {_DIGITS} that can be stored exactly") from error


repeated_decimal_bytes = lru_cache(REMEMBERED)(decimal_bytes)
"""`decimal_bytes` of a text that is likely to come again."""


@lru_cache(REMEMBERED)
def decimal_of(bid: bytes) -> Decimal | Decimal128:
    """Return the value of a Decimal128's 16 bytes; NaN and infinity stay Decimal128, which no Struct accepts."""
    bits = int.from_bytes(bid, "little")
    coefficient, exponent = bits & _LARGEST_BITS, bits >> _COEFFICIENT_BITS & _LARGEST_EXPONENT
    if exponent < _FEWEST_SPECIAL and coefficient < _DIGITS_LIMIT:
        return Decimal(f"{'-' if bits >> _SIGN_BIT else ''}{coefficient}E{exponent - _EXPONENT_BIAS}")
    stored = Decimal128.from_bid(bid)
    value = stored.to_decimal()
    return value if value.is_finite() else stored


# A foreign document must not keep a whole batch from being decoded: a date that Python cannot represent becomes a type
# that no Struct accepts, and text that is not UTF-8 is decoded with replacement characters.
CODEC_OPTIONS: Final[CodecOptions[Document]] = CodecOptions(
    tz_aware=True,
    tzinfo=UTC,
    type_registry=TypeRegistry([_DecimalCodec()]),
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)


def to_document(value: msgspec.Struct) -> Document:
    """Return the document that holds a Struct, under the Struct's encoded field names."""
    return cast("Document", msgspec.to_builtins(value, builtin_types=(Decimal, datetime, ObjectId)))


def from_document[T](document: Document, kind: type[T]) -> T:
    """Return the Struct that a document holds; fields that the Struct does not have are ignored.

    Types are exact: a double or a text does not pass for a Decimal, nor a text for a date.

    Raises:
        msgspec.ValidationError: the document is not in this service's format.
    """
    return msgspec.convert(document, kind, dec_hook=_exact_type, builtin_types=(Decimal, datetime))


def _exact_type(kind: type, value: object) -> object:
    """Accept what PyMongo has decoded to the type already, such as an ObjectId."""
    if isinstance(value, kind):
        return value
    raise ValueError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")
