"""Headers that are not one endpoint's business."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from litestar import Litestar, Request
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import HttpMethod
from litestar.types import Message, Scope

IDEMPOTENCY_KEY = "Idempotency-Key"


SECURITY: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    # No other site may show a page of this service in a frame and have its buttons clicked.
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Of every response, unless a handler has set another value."""
ADDED = "added_headers"


def add_headers(request: Request[Any, Any, Any], headers: Mapping[str, str]) -> None:
    """Add headers to the response to a request, whatever kind of response its handler returns."""
    request.scope["state"].setdefault(ADDED, {}).update(headers)


def add_page_headers(request: Request[Any, Any, Any], total: int, offset: int, limit: int | None) -> None:
    """Add the headers of a list: how many elements there are in total, and where the next and previous pages are.

    Args:
        request: whose path and query the links repeat.
        total: elements of all pages.
        offset: of this page.
        limit: elements of a page; None if this is the rest of the list.
    """
    links = []
    if limit:
        if offset + limit < total:
            links.append(_link(request, offset + limit, limit, "next"))
        if offset > 0:
            links.append(_link(request, max(0, min(offset, total) - limit), limit, "prev"))
    add_headers(request, {"X-Total-Count": str(total), **({"Link": ", ".join(links)} if links else {})})


def _link(request: Request[Any, Any, Any], offset: int, limit: int, relation: str) -> str:
    query = {**dict(request.query_params.multi_items()), "offset": offset, "limit": limit}
    return f'<{request.scope["path"]}?{urlencode(query)}>; rel="{relation}"'


async def complete_headers(message: Message, scope: Scope) -> None:
    """Add headers that forbid caching and content sniffing of API responses, and respond to OPTIONS."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders(message)
    for name, value in SECURITY.items():
        headers.setdefault(name, value)
    if scope["path"].startswith("/api/"):
        headers["Cache-Control"] = "no-store"
    headers.update(scope["state"].pop(ADDED, {}))
    if "Allow" in headers:
        allowed = set(headers["Allow"].split(", "))
        if scope.get("method") == HttpMethod.OPTIONS:
            # Litestar names the methods of only one of a route's handlers.
            allowed = _methods(scope["litestar_app"], scope["path_template"])
        headers["Allow"] = ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))


def _methods(app: Litestar, path: str) -> set[str]:
    return {method for route in app.routes if route.path_format == path for method in route.methods}
