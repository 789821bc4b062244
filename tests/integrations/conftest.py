"""Real HTTP servers that respond as a test wants, and clients pointed at them."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import stamina
from aiohttp import web

from integrations.http.client import ServiceClient, ServiceSettings
from integrations.http.connections import Connections, open_connections
from integrations.http.errors import Cause
from integrations.market_data import MarketData
from tests.integrations.markets import MakeMarketData, Market

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Server:
    """A running server: where it is, and what it was asked."""

    url: str
    requests: list[web.Request] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


@asynccontextmanager
async def serving(handler: Handler, port: int = 0) -> AsyncIterator[Server]:
    """A server on loopback that responds every request with the handler."""
    server = Server("")

    async def response(request: web.Request) -> web.StreamResponse:
        server.requests.append(request)
        return await handler(request)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", response)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


@dataclass
class Notebook:
    """An observer that writes everything down."""

    finished_calls: list[tuple[str, str]] = field(default_factory=list)
    rejections: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    cache_reads: list[tuple[str, bool]] = field(default_factory=list)
    refusals: list[tuple[str, int, str]] = field(default_factory=list)

    @property
    def outcomes(self) -> list[str]:
        return [outcome for _, outcome in self.finished_calls]

    def request_finished(self, service: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.finished_calls.append((service, outcome))

    def response_discarded(self, service: str, reason: str) -> None:
        self.discarded.append(reason)

    def rejected(self, service: str) -> None:
        self.rejections.append(service)

    def retrying(self, service: str, cause: Cause, wait_seconds: float) -> None:
        self.waits.append(wait_seconds)

    def breaker_changed(self, service: str, state: str) -> None:
        self.states.append(state)

    def cache_read(self, cache: str, hit: bool, times: int = 1) -> None:
        self.cache_reads += [(cache, hit)] * times

    def rows_rejected(self, service: str, rows: int, reason: str) -> None:
        self.refusals.append((service, rows, reason))


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def no_waits() -> Iterator[None]:
    """Retries as often as ever, but without the waits between them."""
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.fixture
def closed_port() -> Iterator[str]:
    """The URL of a port that is taken but listens to nobody, so that connecting is refused."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


@pytest.fixture
async def connections() -> AsyncIterator[Connections]:
    async with open_connections() as connections:
        yield connections


type MakeClient = Callable[..., ServiceClient]


@pytest.fixture
def make_client(connections: Connections, notebook: Notebook) -> MakeClient:
    """Makes a client of a server; keywords are settings that differ from the defaults."""

    def make(url: str, name: str = "pricing", **settings: float) -> ServiceClient:
        return ServiceClient(ServiceSettings(name=name, url=url, **settings), connections, notebook)  # type: ignore[arg-type]

    return make


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
async def server(market: Market) -> AsyncIterator[Server]:
    async with serving(market) as server:
        yield server


@pytest.fixture
def market_data(make_client: MakeClient, server: Server) -> MakeMarketData:
    def make(security_ttl_seconds: float = 600, price_ttl_seconds: float = 60) -> MarketData:
        return MarketData(
            make_client(server.url, "security"),
            make_client(server.url, "pricing"),
            security_ttl_seconds=security_ttl_seconds,
            price_ttl_seconds=price_ttl_seconds,
        )

    return make
