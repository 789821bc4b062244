"""Cross-origin requests: which pages of other origins may read the responses. Never with credentials."""

from collections.abc import Collection
from http import HTTPStatus

from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.http import correlation
from app.http.headers import IDEMPOTENCY_KEY

ANY = "*"
METHODS = "DELETE, GET, HEAD, POST, PUT"
EXPOSED = f"{correlation.HEADER}, Link, Location, Retry-After, X-Total-Count"
LONGEST_MEMORY_SECONDS = "600"


class CrossOrigin:
    """ASGI middleware around all routes, unknown ones and failures included.

    A browser's preflight request is handled here. If the origin is not allowed, the response
    merely lacks the permission, as the Fetch standard has it: that is no error of the request.
    """

    def __init__(self, app: ASGIApp, allowed_origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a preflight request, or serve any other with the origin's permission."""
        headers = Headers.from_scope(scope) if scope["type"] == ScopeType.HTTP else Headers()
        origin = headers.get("Origin")
        if scope["type"] != ScopeType.HTTP or origin is None:
            await self._app(scope, receive, send)
        elif scope["method"] == HttpMethod.OPTIONS and "Access-Control-Request-Method" in headers:
            await self._respond_to_preflight(headers, origin, send)
        else:
            await self._app(scope, receive, self._permitting(origin, send))

    def _permission(self, origin: str) -> dict[str, str]:
        if ANY in self._origins:
            return {"Access-Control-Allow-Origin": ANY}
        # Caches must not show one origin's response to another.
        allowed = {"Access-Control-Allow-Origin": origin} if origin in self._origins else {}
        return {"Vary": "Origin", **allowed}

    def _permitting(self, origin: str, send: Send) -> Send:
        async def send_with_permission(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders(message)
                headers.update(self._permission(origin))
                headers["Access-Control-Expose-Headers"] = EXPOSED
            await send(message)

        return send_with_permission

    async def _respond_to_preflight(self, headers: Headers, origin: str, send: Send) -> None:
        requested = headers.get("Access-Control-Request-Headers")
        headers_sent = {
            **self._permission(origin),
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": requested or f"Content-Type, {correlation.HEADER}, {IDEMPOTENCY_KEY}",
            "Access-Control-Max-Age": LONGEST_MEMORY_SECONDS,
        }
        encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers_sent.items()]
        await send({"type": "http.response.start", "status": HTTPStatus.NO_CONTENT, "headers": encoded})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
