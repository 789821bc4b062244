"""Requests and responses as the framework sees them: bodies decoded and encoded by `exact_json`."""

from typing import Any, ClassVar, Final, override

from anyio import CapacityLimiter, to_thread
from litestar import Request, Response
from litestar.types import Empty, Serializer

from app.errors.codes import ErrorCode, OrderGenerationError
from app.http.dialect import Dialect
from app.http.exact_json import decode, encode, encode_hook

LARGE_BODY_BYTES = 256 * 1024
"""What takes longer to decode than other requests should wait."""
HUGE_BODY_BYTES = 1_000_000
"""What takes so much memory to decode that it is done one at a time."""
_ONE_AT_A_TIME: Final = CapacityLimiter(1)


class ExactRequest(Request[Any, Any, Any]):
    """A request whose JSON body becomes the handler's `data` without passing through a binary float."""

    @override
    async def json(self) -> Any:
        """Decode the body into the type of the handler's `data`."""
        definition = self.route_handler.parsed_data_field
        assert definition is not None, "only a handler with a body decodes one"
        if definition.is_optional and not await self.body():
            return None
        content_type, _ = self.content_type
        if content_type != "application/json":
            raise OrderGenerationError(
                ErrorCode.UNSUPPORTED_MEDIA_TYPE,
                "The body must be sent as application/json.",
                {"accepted": ["application/json"]},
            )
        dialect: Dialect = self.app.state.dialect
        kind = definition.annotation
        if definition.is_optional:
            # The body may be absent, but one that is sent is an object.
            (kind,) = (each.annotation for each in definition.inner_types if not each.is_none_type)
        body = await self.body()
        if len(body) > LARGE_BODY_BYTES:
            limiter = _ONE_AT_A_TIME if len(body) > HUGE_BODY_BYTES else None
            return await to_thread.run_sync(decode, body, kind, dialect, limiter=limiter)
        return decode(body, kind, dialect)


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
