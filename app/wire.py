"""JSON as it crosses the wire: decimals exact in both directions, request bodies decoded strictly into their types."""

import re
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar, override

import msgspec
from litestar import Request, Response
from litestar.types import Empty, Serializer

from app.dialect import Dialect
from app.errors import ErrorCode, InvalidField, OrderGenerationError, invalid

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
MAXIMUM_DIGITS = 34
"""As many as Decimal128 holds."""


class Number(Decimal):
    """A decimal as the wire has it: a JSON number, in a request also a string of one, digit for digit."""

    @classmethod
    def read(cls, value: object) -> "Number":
        """Take a decoded JSON value exactly, or refuse it.

        Raises:
            ValueError: it is no number, or has more than 34 digits.
        """
        match value:
            case bool():
                raise ValueError("must be a number")
            case str() if len(value) > 2 * MAXIMUM_DIGITS or not NUMBER.fullmatch(value):
                raise ValueError("must be a number, or a string that holds a JSON number")
            case int() | Decimal() | str():
                number = cls(value)
            case _:
                raise ValueError("must be a number")
        _, digits, exponent = number.as_tuple()
        if not isinstance(exponent, int) or len(digits) > MAXIMUM_DIGITS or abs(exponent) > MAXIMUM_DIGITS:
            raise ValueError(f"must be a number of at most {MAXIMUM_DIGITS} digits")
        return number


def plain(value: Decimal) -> Decimal:
    """Prepare a decimal for the encoder, which writes what `str` writes: exponents must not reach the wire."""
    return Number(value) if "E" in str(value) else value


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


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, dec_hook=decode_hook, float_hook=Decimal)


def encode(content: object) -> bytes:
    """Encode an answer's content as JSON."""
    return _ENCODER.encode(content)


def decode(body: bytes, kind: Any, dialect: Dialect) -> Any:
    """Decode a request's body strictly into a type of the standard dialect.

    Raises:
        OrderGenerationError: `VALIDATION_ERROR`, with the field's path and the rule.
    """
    try:
        return _decoder(dialect.type_of(kind)).decode(body)
    except msgspec.ValidationError as error:
        rule, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").removeprefix(".")
        if isinstance(error.__cause__, InvalidField):
            field = f"{field}.{dialect.field_name(error.__cause__.field)}".removeprefix(".")
            rule = error.__cause__.rule
        raise invalid(field or "body", rule) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid("body", f"must be JSON: {error}") from None


class ExactRequest(Request[Any, Any, Any]):
    """A request whose JSON body becomes the handler's `data` without passing through a binary float."""

    @override
    async def json(self) -> Any:
        """Decode the body into the type of the handler's `data`."""
        content_type, _ = self.content_type
        if content_type != "application/json":
            raise OrderGenerationError(
                ErrorCode.UNSUPPORTED_MEDIA_TYPE,
                "The body must be sent as application/json.",
                {"accepted": ["application/json"]},
            )
        definition = self.route_handler.parsed_data_field
        assert definition is not None, "only a handler with a body decodes one"
        return decode(await self.body(), definition.annotation, self.app.state.dialect)


class ExactResponse[T](Response[T]):
    """A response whose decimals are JSON numbers, digit for digit."""

    dialect: ClassVar[Dialect] = Dialect.STANDARD

    @override
    def render(self, content: Any, media_type: str, enc_hook: Serializer = encode_hook) -> bytes:
        """Encode the content; text and bytes are taken as they are."""
        if isinstance(content, bytes):
            return content
        if isinstance(content, str) and not media_type.startswith("application/json"):
            return content.encode()
        if content is None or content is Empty:
            return b""
        return encode(self.dialect.spell(content))


class ExactSnakeCaseResponse[T](ExactResponse[T]):
    """The same in the suite's dialect."""

    dialect = Dialect.GLOBECO
