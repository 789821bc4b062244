"""One simulated world with its five services, each listening on a port of its own."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from integrations.simulator.calls import CallLog
from integrations.simulator.faults.board import FaultBoard
from integrations.simulator.faults.delivery import deliver, deliver_faulty
from integrations.simulator.faults.kinds import Fault, Refuse
from integrations.simulator.orders import OrderBook
from integrations.simulator.prices import PriceBoard
from integrations.simulator.reply import Route
from integrations.simulator.services import GlobeCo
from integrations.simulator.settings import Service, SimulatorSettings, SimulatorUrls
from integrations.simulator.world import World

_LARGEST_REQUEST = 16 * 2**20
_PORT_FREE_AGAIN_SECONDS = 2.0


class Simulator:
    """A simulated world; its parts may be read and changed while it runs.

    Attributes:
        world: securities and portfolios.
        prices: mean prices and their draw.
        orders: the orders that were accepted.
        calls: counts of the calls that arrived.
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        """Build the world; nothing listens yet."""
        self.settings = settings
        self.world = World(settings)
        self.prices = PriceBoard(self.world.price_means, settings.price_spread, settings.seed)
        self.orders = OrderBook()
        self.calls = CallLog()
        self._faults = FaultBoard(settings.seed)
        globeco = GlobeCo(self.world, self.prices, self.orders)
        self._listeners = {
            service: _Listener(self._application(service, globeco.routes(service)), settings.host, self._port(step))
            for step, service in enumerate(Service)
        }
        self._control: _Listener | None = None

    async def start(self, control: web.Application) -> None:
        """Listen on every port, with this application on the last one.

        Raises:
            OSError: a port is taken, or the address is not this machine's; nothing listens then.
        """
        self._control = _Listener(control, self.settings.host, self._port(len(Service)))
        try:
            for listener in (*self._listeners.values(), self._control):
                await listener.start()
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close every port and every connection."""
        for listener in (*self._listeners.values(), self._control):
            if listener is not None:
                await listener.stop()

    @property
    def urls(self) -> SimulatorUrls:
        """Base URL of each service, and of the control API, once they listen."""
        if self._control is None:
            raise RuntimeError("the simulator has not been started")
        return SimulatorUrls(
            portfolio_accounting=self._listeners[Service.PORTFOLIO_ACCOUNTING].url,
            pricing=self._listeners[Service.PRICING].url,
            portfolio=self._listeners[Service.PORTFOLIO].url,
            security=self._listeners[Service.SECURITY].url,
            order=self._listeners[Service.ORDER].url,
            control=self._control.url,
        )

    async def inject(self, service: Service, *faults: Fault) -> None:
        """Replace a service's faults by these; calls that hang already go on hanging."""
        self._faults.put(service, faults)
        listener = self._listeners[service]
        if any(isinstance(fault, Refuse) for fault in faults):
            await listener.refuse()
        else:
            await listener.accept()

    async def heal(self, service: Service | None = None) -> None:
        """Remove the faults of one service, or of all."""
        for healed in Service if service is None else (service,):
            await self.inject(healed)

    def faults(self, service: Service) -> tuple[Fault, ...]:
        """Return a service's faults as they were injected."""
        return self._faults.given(service)

    def _port(self, step: int) -> int:
        return self.settings.first_port and self.settings.first_port + step

    def _application(self, service: Service, routes: tuple[Route, ...]) -> web.Application:
        application = web.Application(client_max_size=_LARGEST_REQUEST)
        for route in routes:
            application.router.add_route(route.method, route.path, self._endpoint(service, route))
        return application

    def _endpoint(self, service: Service, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        name = f"{route.method} {route.path}"

        async def endpoint(request: web.Request) -> web.StreamResponse:
            self.calls.record(service, name, request)
            struck = self._faults.strike(service, name)
            if struck:
                return await deliver_faulty(request, route, struck)
            return deliver(await route.reply(request))

        return endpoint


class _Listener:
    """One listening port, which can be closed and opened again, with the application behind it."""

    def __init__(self, application: web.Application, host: str, port: int) -> None:
        # Hanging calls end by cancellation when their connection is lost.
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        self._host, self._port = host, port
        self._site: web.SockSite | None = None
        self._reserved: socket.socket | None = None

    async def start(self) -> None:
        await self._runner.setup()
        self._reserved = _bind(self._host, self._port)
        self._port = self._reserved.getsockname()[1]
        await self.accept()

    async def stop(self) -> None:
        self._sever()
        await self._runner.cleanup()
        if self._reserved is not None:
            self._reserved.close()

    async def accept(self) -> None:
        """Listen, if it does not yet."""
        if self._reserved is not None:
            self._site = web.SockSite(self._runner, self._reserved)
            self._reserved = None
            await self._site.start()

    async def refuse(self) -> None:
        """Stop listening and abort every connection; the port stays bound, so that no other process can bind it."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
            self._sever()
            self._reserved = await self._bind_again()

    @property
    def url(self) -> str:
        """Where a client on this machine reaches it."""
        host = "127.0.0.1" if self._host in ("", "0.0.0.0") else self._host  # noqa: S104 - what was asked for, translated
        return f"http://{host}:{self._port}"

    def _sever(self) -> None:
        server = self._runner.server
        for connection in [] if server is None else server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def _bind_again(self) -> socket.socket:
        """Bind the port that was just closed; the event loop lets go of it a little later."""
        async with asyncio.timeout(_PORT_FREE_AGAIN_SECONDS):
            while True:
                try:
                    return _bind(self._host, self._port)
                except OSError:
                    await asyncio.sleep(0.001)


def _bind(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
