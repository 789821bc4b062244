"""Traces of requests, and a form of them without cost while no collector is configured."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

type Headers = Iterable[tuple[bytes, bytes]]
type Attribute = str | int | float | bool


class Span(Protocol):
    """A span while it is open."""

    def note(self, **attributes: Attribute) -> None:
        """Add what has become known of it."""


class RequestSpan(Protocol):
    """A request that is being served."""

    def responded(self, method: str, route: str | None, status: int) -> None:
        """Name the span, now that the route is known, and say how the request ended; None for an unknown route."""


class Tracing(Protocol):
    """Where spans go. Spans of upstream requests and database commands are created automatically."""

    def request(self, headers: Headers) -> AbstractContextManager[RequestSpan]:
        """Open the span of a request, as a part of the caller's trace where its headers name one."""

    def span(self, name: str, **attributes: Attribute) -> AbstractContextManager[Span]:
        """Open a span for as long as the block lasts; an exception that leaves the block marks it as failed."""

    def record(self, name: str, began: float, ended: float, **attributes: Attribute) -> None:
        """Record a finished span, between two moments of `time.monotonic()`, under the current one."""

    def untraced(self) -> AbstractContextManager[None]:
        """Suppress tracing in this block and the tasks started in it, for work that no request caused."""

    def close(self) -> None:
        """Send what is left, for a few seconds at the longest."""


class NoTracing:
    """Tracing without a collector; its one object is every span."""

    def request(self, headers: Headers) -> AbstractContextManager[RequestSpan]:  # noqa: ARG002
        """See `Tracing`."""
        return nullcontext(self)

    def span(self, name: str, **attributes: Attribute) -> AbstractContextManager[Span]:  # noqa: ARG002
        """See `Tracing`."""
        return nullcontext(self)

    def record(self, name: str, began: float, ended: float, **attributes: Attribute) -> None:
        """See `Tracing`."""

    def untraced(self) -> AbstractContextManager[None]:
        """See `Tracing`."""
        return nullcontext()

    def close(self) -> None:
        """See `Tracing`."""

    def note(self, **attributes: Attribute) -> None:
        """See `Span`."""

    def responded(self, method: str, route: str | None, status: int) -> None:
        """See `RequestSpan`."""


NO_TRACING: Final = NoTracing()
