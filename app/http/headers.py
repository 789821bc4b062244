"""Headers that are not one endpoint's business."""

from litestar import Litestar
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import HttpMethod
from litestar.types import Message, Scope

IDEMPOTENCY_KEY = "Idempotency-Key"


async def complete_headers(message: Message, scope: Scope) -> None:
    """Keep what the API answers out of caches and from being taken for another type; say what OPTIONS asks."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders(message)
    headers["X-Content-Type-Options"] = "nosniff"
    if scope["path"].startswith("/api/"):
        headers["Cache-Control"] = "no-store"
    if scope.get("method") == HttpMethod.OPTIONS and "Allow" in headers:
        # Litestar names the methods of only one of a route's handlers.
        headers["Allow"] = ", ".join(sorted(_methods(scope["litestar_app"], scope["path_template"])))


def _methods(app: Litestar, path: str) -> set[str]:
    return {method for route in app.routes if route.path_format == path for method in route.methods}
