"""Runs the simulator: six listening ports in one process, inside a test or as a process of its own."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import uvloop
from aiohttp import web
from msgspec import Struct

from integrations.simulator.calls import CallLog
from integrations.simulator.orders import OrderBook
from integrations.simulator.prices import PriceBoard
from integrations.simulator.services import GlobeCo, Route
from integrations.simulator.settings import Service, SimulatorSettings
from integrations.simulator.world import World

_LARGEST_REQUEST = 16 * 2**20


class SimulatorUrls(Struct, frozen=True):
    """Base URLs, without `/api/v1`."""

    portfolio_accounting: str
    pricing: str
    portfolio: str
    security: str
    order: str
    control: str


class Listener:
    """One listening port with the application behind it."""

    def __init__(self, application: web.Application, host: str, port: int) -> None:
        """Port 0 takes a free one when it starts."""
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0)
        self._host, self._port = host, port

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken, or the address is not this machine's.
        """
        await self._runner.setup()
        bound = _bind(self._host, self._port)
        self._port = bound.getsockname()[1]
        await web.SockSite(self._runner, bound).start()

    async def stop(self) -> None:
        """Close the port and every connection."""
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where a client on this machine reaches it."""
        host = "127.0.0.1" if self._host in ("", "0.0.0.0") else self._host  # noqa: S104 - what was asked for, translated
        return f"http://{host}:{self._port}"


class Simulator:
    """A running simulator; its parts may be read and changed while it runs."""

    def __init__(self, settings: SimulatorSettings) -> None:
        """Build the world; nothing listens yet."""
        self.settings = settings
        self.world = World(settings)
        self.prices = PriceBoard(self.world.price_means, settings.price_spread, settings.seed)
        self.orders = OrderBook()
        self.calls = CallLog()
        globeco = GlobeCo(self.world, self.prices, self.orders)
        ports = [settings.first_port and settings.first_port + step for step in range(len(Service) + 1)]
        self._listeners = {
            service: Listener(self._application(service, globeco.routes(service)), settings.host, port)
            for service, port in zip(Service, ports, strict=False)
        }

    @property
    def urls(self) -> SimulatorUrls:
        """Base URL of each service."""
        at = {service.name.lower(): listener.url for service, listener in self._listeners.items()}
        return SimulatorUrls(**at, control="")

    async def start(self) -> None:
        """Listen on every port.

        Raises:
            OSError: a port is taken, or the address is not this machine's; nothing listens then.
        """
        try:
            for listener in self._listeners.values():
                await listener.start()
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close every port and every connection."""
        for listener in self._listeners.values():
            await listener.stop()

    def _application(self, service: Service, routes: tuple[Route, ...]) -> web.Application:
        application = web.Application(client_max_size=_LARGEST_REQUEST)
        for route in routes:
            application.router.add_route(route.method, route.path, self._endpoint(service, route))
        return application

    def _endpoint(self, service: Service, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        name = f"{route.method} {route.path}"

        async def endpoint(request: web.Request) -> web.StreamResponse:
            self.calls.record(service, name, request)
            answer = await route.answer(request)
            return web.Response(body=answer.body, status=answer.status, content_type=answer.content_type)

        return endpoint


@asynccontextmanager
async def running_simulator(settings: SimulatorSettings | None = None) -> AsyncIterator[Simulator]:
    """Run a simulator in this event loop for as long as the context lasts."""
    simulator = Simulator(settings or SimulatorSettings())
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


def run(settings: SimulatorSettings, *, exit_with_stdin: bool = False) -> None:
    """Run a simulator as this process until SIGTERM or SIGINT, or the end of standard input where that is asked for.

    As soon as every port listens, one line of JSON goes to standard output: `SimulatorUrls`. A parent that passes a
    pipe as standard input and asks for `exit_with_stdin` takes the simulator with it, however it ends.
    """
    uvloop.run(_run(settings, exit_with_stdin=exit_with_stdin))


async def _run(settings: SimulatorSettings, *, exit_with_stdin: bool) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    if exit_with_stdin:
        threading.Thread(target=_watch_stdin, args=(loop, stopped), daemon=True).start()
    async with running_simulator(settings) as simulator:
        print(msgspec.json.encode(simulator.urls).decode(), flush=True)
        await stopped.wait()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    """Read past everything the parent writes; sys.stdin would hold a lock that the interpreter's end trips over."""
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stopped.set)


def _bind(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
