"""A small load balancer: takes turns among the instances it has, and retries nothing, so that a loss shows."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from aiohttp import web


class Balancer:
    """Instances can be added and removed while it runs; a removed one gets no new request."""

    def __init__(self) -> None:
        self.url = ""
        self._instances: list[str] = []
        self._turn = 0

    def add(self, url: str) -> None:
        self._instances = [*self._instances, url]

    def remove(self, url: str) -> None:
        self._instances = [each for each in self._instances if each != url]

    def _next(self) -> str:
        self._turn += 1
        return self._instances[self._turn % len(self._instances)]

    async def serve(self, started: threading.Event, stopped: asyncio.Event) -> None:
        async with aiohttp.ClientSession(auto_decompress=False) as session:

            async def forward(request: web.Request) -> web.Response:
                try:
                    async with session.request(
                        request.method, self._next() + request.path_qs, data=await request.read()
                    ) as response:
                        return web.Response(body=await response.read(), status=response.status)
                except aiohttp.ClientError:
                    return web.Response(status=502)

            application = web.Application()
            application.router.add_route("*", "/{path:.*}", forward)
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}"
            started.set()
            await stopped.wait()
            await runner.cleanup()


@contextmanager
def running_balancer() -> Iterator[Balancer]:
    """Run it in a thread of its own."""
    balancer = Balancer()
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(balancer.serve(started, stopped)))
    thread.start()
    try:
        assert started.wait(100)
        yield balancer
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()
