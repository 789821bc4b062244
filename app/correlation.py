"""The correlation id of a request: taken from the caller or made, carried to every answer, neighbour and log line."""

import re
from contextvars import ContextVar
from uuid import uuid4

from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from integrations.client import forwarded_headers

HEADER = "X-Correlation-ID"
PATTERN = r"^[0-9A-Za-z._:-]{1,128}$"
_WELL_FORMED = re.compile(PATTERN[1:-1])
_current: ContextVar[str] = ContextVar("correlation_id", default="")


def correlation_id() -> str:
    """Give the current request's id; empty outside a request."""
    return _current.get()


class Correlation:
    """ASGI middleware around the whole application, unknown routes and failures included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request under its id."""
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        sent = Headers.from_scope(scope).get(HEADER, "")
        current = sent if _WELL_FORMED.fullmatch(sent) else uuid4().hex

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableScopeHeaders(message)[HEADER] = current
            await send(message)

        id_token = _current.set(current)
        headers_token = forwarded_headers.set({HEADER: current})
        try:
            with bound_contextvars(correlation_id=current):
                await self.app(scope, receive, send_with_id)
        finally:
            forwarded_headers.reset(headers_token)
            _current.reset(id_token)
