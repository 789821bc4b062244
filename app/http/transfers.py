"""Transfers between clients and the application: limited in time, and bounded in total.

What a client leaves unfinished or unread is held in memory. Bodies that are still arriving, and responses that are not
yet sent, are counted; above the bound further requests are rejected with `OVERLOADED`, except those of probes.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast
from urllib.parse import urlsplit

from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send

from app.errors.codes import ErrorCode, OrderGenerationError
from app.http.connections import Connections

WAITING_BYTES = 32 * 1024 * 1024
"""Of all request bodies that are arriving or in use."""
UNREAD_BYTES = 64 * 1024 * 1024
"""Of all responses that are being sent."""
STREAM_BYTES = 1024 * 1024
"""What one streamed response holds: a block, the part that is read ahead, and documents of the database."""
STREAMED_BLOCK_BYTES = 160 * 1024
"""A block of a streamed response up to this size is sent as it is."""
BLOCK_BYTES = 64 * 1024
"""What is sent at a time of other responses; the server holds several blocks that are not read, which are not counted.
Responses up to this size are not counted either."""
RETRY_AFTER_SECONDS = 5
ALWAYS_SERVED: Final = ("/health/", "/metrics", "/version")

type ErrorResponse = Callable[[OrderGenerationError], tuple[int, list[tuple[bytes, bytes]], bytes]]
"""Builds status, headers and body for an error."""


class _Total:
    """Bytes in use, up to a bound."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.used = 0

    @property
    def exceeded(self) -> bool:
        """Whether more is in use than the bound."""
        return self.used > self.bound


class Transfers:
    """ASGI middleware around the application.

    Args:
        app: what serves the requests.
        connections: records which connections are in use.
        request_seconds: longest wait for the next bytes of a body.
        error_response: builds the response to a request that is not passed on.
    """

    def __init__(
        self, app: ASGIApp, connections: Connections, request_seconds: float, error_response: ErrorResponse
    ) -> None:
        self._app = app
        self._connections = connections
        self._request_seconds = request_seconds
        self._error_response = error_response
        self._waiting = _Total(WAITING_BYTES)
        self._unread = _Total(UNREAD_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within the limits."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        with self._connections.serving(scope):
            rejection = self._rejection(scope)
            if rejection is not None:
                status, headers, body = self._error_response(rejection)
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body, "more_body": False})
                return
            transfer = _Transfer(scope, receive, send, self._waiting, self._unread, self._request_seconds)
            try:
                await self._app(scope, transfer.receive, transfer.send)
            finally:
                transfer.release()

    def _rejection(self, scope: HTTPScope) -> OrderGenerationError | None:
        """Return why a request is not passed on; None if it is."""
        if not all(_is_host(value) for name, value in scope["headers"] if name == b"host"):
            return OrderGenerationError(
                ErrorCode.VALIDATION_ERROR,
                "The header Host is malformed.",
                {"errors": [{"field": "Host", "rule": "must be a host, which a port may follow"}]},
                CLOSE,
            )
        if self._unread.exceeded and not scope["path"].startswith(ALWAYS_SERVED):
            return _overloaded("Too many responses are waiting to be read")
        return None


class _Transfer:
    """The transfer of one request and its response."""

    def __init__(
        self, scope: HTTPScope, receive: Receive, send: Send, waiting: _Total, unread: _Total, request_seconds: float
    ) -> None:
        self._receive = receive
        self._send = send
        self._waiting = waiting
        self._unread = unread
        self._request_seconds = request_seconds
        self._waiting_bytes = 0
        self._unread_bytes = 0
        self._blocks = 0
        # Nothing is awaited once the body is complete or the response has begun: the service may compute for long.
        self._arriving = _has_body(scope)

    async def receive(self) -> HTTPReceiveMessage:
        """Return the next part of the body.

        Raises:
            OrderGenerationError: it does not arrive in time or not at all, or too much is in memory.
        """
        if not self._arriving:
            return cast("HTTPReceiveMessage", await self._receive())
        try:
            async with asyncio.timeout(self._request_seconds):
                message = await self._receive()
        except TimeoutError:
            self._arriving = False
            raise request_timeout(self._request_seconds) from None
        if message["type"] != "http.request":
            self._arriving = False
            raise OrderGenerationError(
                ErrorCode.VALIDATION_ERROR,
                "The body is malformed or incomplete.",
                {"errors": [{"field": "body", "rule": "must be complete, as its length or its chunks announce it"}]},
                CLOSE,
            )
        self._arriving = message["more_body"]
        self._waiting.used += len(message["body"])
        self._waiting_bytes += len(message["body"])
        if self._waiting.exceeded:
            self._arriving = False
            raise _overloaded("Too many request bodies are in memory")
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the response, in blocks: the server accepts each when the client has read enough."""
        self._arriving = False
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        self._blocks += 1
        more, body = message["more_body"], memoryview(message["body"])
        if len(body) <= (STREAMED_BLOCK_BYTES if more else BLOCK_BYTES):
            if more and self._blocks > 1 and not self._unread_bytes:
                self._hold(STREAM_BYTES)
            await self._send(message)
            return
        held = len(body)
        self._hold(held)
        disconnected = asyncio.ensure_future(self._disconnected()) if not more else None
        try:
            for start in range(0, len(body), BLOCK_BYTES):
                block = bytes(body[start : start + BLOCK_BYTES])
                last = start + BLOCK_BYTES >= len(body)
                await self._send({"type": "http.response.body", "body": block, "more_body": more or not last})
                self._hold(-len(block))
                if disconnected is not None and disconnected.done():
                    break
        finally:
            if disconnected is not None:
                disconnected.cancel()
                with suppress(asyncio.CancelledError):
                    await disconnected

    def release(self) -> None:
        """Release what the transfer holds."""
        self._waiting.used -= self._waiting_bytes
        self._hold(-self._unread_bytes)

    def _hold(self, amount: int) -> None:
        self._unread.used += amount
        self._unread_bytes += amount

    async def _disconnected(self) -> None:
        """Return when the client closes the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


CLOSE: Final = {"Connection": "close"}
"""The rest of the body is not read, so that nothing else can follow on the connection."""


def _is_host(value: bytes) -> bool:
    """Return whether a header's value is a host with or without a port; Litestar raises ValueError for many others."""
    try:
        parts = urlsplit(b"//" + value)
        return not any(parts[2:]) and b"@" not in value and (parts.port or 0) >= 0
    except ValueError:
        return False


def _has_body(scope: HTTPScope) -> bool:
    headers = Headers.from_scope(scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def request_timeout(seconds: float) -> OrderGenerationError:
    """Return the error for a request that does not arrive in time."""
    return OrderGenerationError(
        ErrorCode.REQUEST_TIMEOUT,
        f"The request did not arrive completely: nothing was received for {seconds:g} seconds.",
        {"timeoutSeconds": seconds},
        CLOSE,
    )


def _overloaded(reason: str) -> OrderGenerationError:
    return OrderGenerationError(
        ErrorCode.OVERLOADED,
        f"{reason}; try again shortly.",
        {"retryAfterSeconds": RETRY_AFTER_SECONDS},
        {"Retry-After": str(RETRY_AFTER_SECONDS), **CLOSE},
    )
