"""Runs a simulator inside a test's event loop, or as a process of its own."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import uvloop

from integrations.simulator.control import control_application
from integrations.simulator.settings import SimulatorSettings
from integrations.simulator.simulator import Simulator


@asynccontextmanager
async def running_simulator(settings: SimulatorSettings | None = None) -> AsyncIterator[Simulator]:
    """Run a simulator in this event loop for as long as the context lasts.

    Raises:
        OSError: a port is taken, or the address is not this machine's.
    """
    simulator = Simulator(settings or SimulatorSettings())
    await simulator.start(control_application(simulator))
    try:
        yield simulator
    finally:
        await simulator.stop()


def run(settings: SimulatorSettings) -> None:
    """Run a simulator as this process until SIGTERM or SIGINT.

    As soon as every port listens, one line of JSON goes to standard output: `SimulatorUrls`.

    Raises:
        OSError: a port is taken, or the address is not this machine's.
    """
    uvloop.run(_run(settings))


async def _run(settings: SimulatorSettings) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    async with running_simulator(settings) as simulator:
        print(msgspec.json.encode(simulator.urls).decode(), flush=True)
        await stopped.wait()
