"""What a simulated service replies before any fault changes it, and the routes that produce it."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from msgspec import Struct

from integrations.simulator.faults.kinds import CallFault

JSON = "application/json"


class Reply(Struct, frozen=True):
    """A reply before any fault changes it."""

    body: bytes
    status: int = 200
    content_type: str = JSON


class Route(Struct, frozen=True):
    """One call of one service.

    Attributes:
        path: an aiohttp route template.
        reply: carries out the call.
        reply_under: carries out the call under a fault that changes what the service does, not only how its reply is
            delivered; None if there is no such fault for this call.
    """

    method: str
    path: str
    reply: Callable[[web.Request], Awaitable[Reply]]
    reply_under: Callable[[web.Request, CallFault], Awaitable[Reply]] | None = None


class Pagination(Struct, frozen=True, rename="camel"):
    """The pagination of Spring's pages, as the Portfolio and the Order Service show it."""

    total_elements: int
    total_pages: int
    current_page: int
    page_size: int
    has_next: bool
    has_previous: bool


def pagination(total: int, limit: int, offset: int) -> Pagination:
    """Return the pagination of one page of a list of `total` rows."""
    return Pagination(total, -(-total // limit), offset // limit, limit, offset + limit < total, offset > 0)
