"""The correlation id of a request: the caller's or a new one, passed on to responses, upstreams and log lines."""

import re
from contextvars import ContextVar
from uuid import uuid4

from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars, get_contextvars

from integrations import forwarded_headers

HEADER = "X-Correlation-ID"
TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
TRACE_STATE = re.compile(r"[\x20-\x7e]{1,512}")
_WELL_FORMED = re.compile(r"[0-9A-Za-z._:-]{1,128}")
_current: ContextVar[str] = ContextVar("correlation_id", default="")


def correlation_id() -> str:
    """Return the current request's id; empty outside a request."""
    return _current.get()


def begin_correlation() -> str:
    """Generate an id for a request that has none, in the current context."""
    _current.set(uuid4().hex)
    return _current.get()


def trace_id() -> str:
    """Return the current request's id for an error: its trace id if it is traced, else its correlation id."""
    traced: str | None = get_contextvars().get("trace_id")
    return traced or correlation_id()


def _caller_s_trace(headers: Headers) -> dict[str, str]:
    """Return the headers that continue a caller's trace if this service adds no spans of its own."""
    trace, state = headers.get("traceparent", ""), headers.get("tracestate", "")
    if not TRACE.fullmatch(trace):
        return {}
    return {"traceparent": trace, **({"tracestate": state} if TRACE_STATE.fullmatch(state) else {})}


class Correlation:
    """ASGI middleware around the whole application, unknown routes and failures included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request under its id."""
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        headers = Headers.from_scope(scope)
        sent = headers.get(HEADER, "")
        current = sent if _WELL_FORMED.fullmatch(sent) else uuid4().hex

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableScopeHeaders(message)[HEADER] = current
            await send(message)

        id_token = _current.set(current)
        headers_token = forwarded_headers.set({HEADER: current, **_caller_s_trace(headers)})
        try:
            with bound_contextvars(correlation_id=current):
                await self.app(scope, receive, send_with_id)
        finally:
            forwarded_headers.reset(headers_token)
            _current.reset(id_token)
