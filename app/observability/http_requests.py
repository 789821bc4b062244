"""Every HTTP request, whatever its outcome: counted, timed, traced, and recorded in one line of the log."""

import asyncio
import re
import time
from collections.abc import Iterable
from typing import Final

import structlog
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from app.observability.metrics import Metrics
from app.observability.tracing import NO_TRACING, Tracing

log = structlog.get_logger(__name__)

UNKNOWN_ROUTE: Final = "unknown"
UNKNOWN_METHOD: Final = "OTHER"
_METHODS: Final = frozenset({*HttpMethod, "CONNECT", "TRACE"})
UNTRACED: Final = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Asked all day by machines; a trace of each would bury those of the work."""
_GIVEN_UP: Final = 499
_BROKEN: Final = 500


class RequestObserver:
    """ASGI middleware around everything but the correlation id, which its lines carry.

    Args:
        app: what serves the requests.
        templates: the routes' path templates, for requests that never reach a route.
        metrics: where requests are counted.
        tracing: where their spans go.
    """

    def __init__(self, app: ASGIApp, templates: Iterable[str], metrics: Metrics, tracing: Tracing) -> None:
        self._app = app
        self._templates = {
            re.compile("".join(_pattern(part) for part in re.split(r"(\{[^}]*\})", template))): template
            for template in templates
        }
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, and log, count and trace it."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.http_requests_in_flight.inc()
        tracing = NO_TRACING if scope["path"] in UNTRACED else self._tracing
        with tracing.request(scope["headers"]) as span:
            try:
                await self._app(scope, receive, send_observed)
            except asyncio.CancelledError:
                status = status or _GIVEN_UP
                raise
            except Exception:
                # The response had begun, or could not begin: the server closes the connection, and the log says why.
                status = _BROKEN
                log.exception("response interrupted")
                raise
            finally:
                self._metrics.http_requests_in_flight.dec()
                method = scope["method"] if scope["method"] in _METHODS else UNKNOWN_METHOD
                route = self._route(scope)
                span.responded(method, route, status)
                self._record(method, route or UNKNOWN_ROUTE, status, 1000 * (time.perf_counter() - started))

    def _record(self, method: str, path: str, status: int, milliseconds: float) -> None:
        labels = (method, path, str(status))
        self._metrics.http_requests.labels(*labels).inc()
        self._metrics.http_request_duration.labels(*labels).observe(milliseconds)
        write = log.warning if status >= _BROKEN else log.info
        write("request", method=method, path=path, status=status, milliseconds=round(milliseconds, 3))

    def _route(self, scope: HTTPScope) -> str | None:
        """Return the template of the request's route; None for an unknown path, of which there can be any number."""
        if template := scope.get("path_template"):
            return template
        # Refused before it was routed, such as for its method.
        path = scope["path"]
        return next((template for pattern, template in self._templates.items() if pattern.fullmatch(path)), None)


def _pattern(part: str) -> str:
    return "[^/]+" if part.startswith("{") else re.escape(part)
