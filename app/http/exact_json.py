"""JSON with exact decimals in both directions, request bodies decoded strictly into their types; no web framework."""

import logging
import re
from contextlib import suppress
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from app.errors.codes import InvalidField, all_invalid, invalid
from app.http.dialect import Dialect
from app.http.faults import find_faults
from app.http.json_text import NotJson, has_repeated_keys, has_too_many_values

# Not structlog, which solver processes would load; the service writes the lines of both in the same form.
log = logging.getLogger(__name__)

MAXIMUM_DIGITS = 34
"""As many as Decimal128 holds."""

NUMBER_PATTERN = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_NUMBER = re.compile(NUMBER_PATTERN[1:-1])
_LONGEST = 2 * MAXIMUM_DIGITS


class Number(Decimal):
    """A decimal as the wire has it: a JSON number, in a request also a string of one, digit for digit."""

    __slots__ = ()

    @classmethod
    def read(cls, value: object) -> "Number":
        """Convert a decoded JSON value exactly, or reject it.

        Args:
            value: an int, or the text of a number, whether it was a literal or a string.

        Raises:
            ValueError: it is no number, or has more digits than can be stored.
        """
        text = str(value) if isinstance(value, int | str) else ""
        # The length first: nothing that is refused may take long to read.
        if len(text) <= _LONGEST:
            written = _NUMBER.fullmatch(text)
            if written is None:
                raise ValueError("must be a number, or a string that holds one")
            if len(text) <= MAXIMUM_DIGITS and written[3] is None:
                return cls._without_negative_zero(text)
            with suppress(ArithmeticError):
                number = cls._without_negative_zero(text)
                _, digits, exponent = number.as_tuple()
                if isinstance(exponent, int) and len(digits) <= MAXIMUM_DIGITS and abs(exponent) <= MAXIMUM_DIGITS:
                    return number
        raise ValueError(f"must be a number of at most {MAXIMUM_DIGITS} digits and {MAXIMUM_DIGITS} decimals")

    @classmethod
    def _without_negative_zero(cls, text: str) -> "Number":
        number = cls(text)
        return number or cls(number.copy_abs())


def decode_hook(kind: type, value: object) -> object:
    """Decode the types that msgspec does not know."""
    if kind is Number:
        return Number.read(value)
    raise NotImplementedError


def encode_hook(value: object) -> object:
    """Encode the types that msgspec does not know."""
    if isinstance(value, Decimal):
        return msgspec.Raw(format(value, "f").encode())
    raise NotImplementedError


_ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=encode_hook)
_EXPONENT = re.compile(rb"E[-+]")
_TEXT_OR_NUMBER_WITH_EXPONENT = re.compile(rb'"(?:[^"\\]|\\.)*"|[-.0-9]+E[-+][0-9]+')


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    # Literals stay text until `Number` reads them.
    return msgspec.json.Decoder(kind, dec_hook=decode_hook, float_hook=str)


def encode(content: object) -> bytes:
    """Encode a response's content as JSON, its decimals without exponents."""
    encoded = _ENCODER.encode(content)
    # The encoder writes decimals as `str` does. To look at each before would take longer than all else, and few are so
    # large or so small that they have an exponent.
    if _EXPONENT.search(encoded):
        encoded = _TEXT_OR_NUMBER_WITH_EXPONENT.sub(_without_exponent, encoded)
    return encoded


def _without_exponent(found: re.Match[bytes]) -> bytes:
    """Write a number out; a text may look like one inside, and stays what it is."""
    return found[0] if found[0].startswith(b'"') else format(Decimal(found[0].decode()), "f").encode()


def decode(body: bytes, kind: Any, dialect: Dialect) -> Any:
    """Decode a request's body strictly into a type of the standard dialect.

    Raises:
        OrderGenerationError: `VALIDATION_ERROR`, with the path of each field that is wrong and its rule.
    """
    if has_too_many_values(body):
        raise invalid("body", "has more values than any valid body of its length")
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError, NotJson):
        decoded = dialect.understand(_decoder(dialect.type_of(kind)).decode(body), kind)
        if not has_repeated_keys(body):
            return decoded
    try:
        faults = find_faults(body, kind, dialect, decode_hook, lambda part, of: _decoder(of).decode(part))
    except NotJson as error:
        raise invalid("body", str(error)) from None
    except Exception:
        # The decoder has rejected the body, so this is a defect, and still the caller's error.
        log.exception("faults of a body could not be listed")
        faults = []
    # What the decoder rejects and the reader accepts is a defect of one of them; the caller learns as much as is known.
    raise all_invalid(faults or [InvalidField("body", "does not have the form that the API document describes")])
