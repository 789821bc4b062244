"""Counts of the calls that reached each route, and what the last of them carried."""

import asyncio
import time
from collections import Counter, deque

from aiohttp import web
from msgspec import Struct

from integrations.simulator.settings import Service

_KEPT = 200


class Call(Struct, frozen=True, rename="camel"):
    """One call that arrived, whatever became of it.

    Attributes:
        target: path and query as sent.
        seconds: when it arrived, on the simulator's monotonic clock; only differences mean anything.
    """

    service: Service
    route: str
    target: str
    correlation_id: str | None
    traceparent: str | None
    seconds: float


class RouteCalls(Struct, frozen=True):
    """How many calls a route had; a route is `METHOD /template`."""

    service: Service
    route: str
    count: int


class CallReport(Struct, frozen=True):
    """All counts, and the last calls, oldest first."""

    total: int
    routes: tuple[RouteCalls, ...]
    last: tuple[Call, ...]


class CallLog:
    """Counts calls since the start or the last reset."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._counts: Counter[tuple[Service, str]] = Counter()
        self._last: deque[Call] = deque(maxlen=_KEPT)
        self._arrival = asyncio.Event()

    def record(self, service: Service, route: str, request: web.Request) -> None:
        """Count a call."""
        self._counts[service, route] += 1
        headers = request.headers
        self._last.append(
            Call(
                service,
                route,
                request.raw_path,
                headers.get("X-Correlation-ID"),
                headers.get("traceparent"),
                time.monotonic(),
            )
        )
        self._arrival.set()

    async def wait_for(self, count: int, service: Service | None = None) -> None:
        """Wait until a service, or all of them together, had this many calls since the last reset."""
        while self.count(service) < count:
            self._arrival.clear()
            await self._arrival.wait()

    def count(self, service: Service | None = None, route: str | None = None) -> int:
        """Count the calls of one route, of one service, or of all; a route is written `GET /api/v1/prices`."""
        return sum(
            count for (called, at), count in self._counts.items() if service in (None, called) and route in (None, at)
        )

    def last(self, service: Service | None = None) -> list[Call]:
        """Return the last calls, at most 200 over all services, oldest first."""
        return [call for call in self._last if service in (None, call.service)]

    def report(self) -> CallReport:
        """Everything that is known."""
        routes = tuple(RouteCalls(service, route, count) for (service, route), count in self._counts.items())
        return CallReport(self._counts.total(), routes, tuple(self._last))

    def reset(self) -> None:
        """Begin at zero again."""
        self._counts.clear()
        self._last.clear()
