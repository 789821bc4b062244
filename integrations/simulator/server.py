"""Runs a simulator inside a test's event loop, or as a process of its own."""

import asyncio
import os
import signal
import threading
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


def run(settings: SimulatorSettings, *, exit_with_stdin: bool = False) -> None:
    """Run a simulator as this process until SIGTERM or SIGINT, or, if requested, the end of standard input.

    As soon as every port listens, one line of JSON goes to standard output: `SimulatorUrls`. A parent that passes a
    pipe as standard input and asks for `exit_with_stdin` takes the simulator with it, however it ends.

    Raises:
        OSError: a port is taken, or the address is not this machine's.
    """
    uvloop.run(_run(settings, exit_with_stdin=exit_with_stdin))


async def _run(settings: SimulatorSettings, *, exit_with_stdin: bool) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    async with running_simulator(settings) as simulator:
        if exit_with_stdin:
            threading.Thread(target=_watch_stdin, args=(loop, stopped), daemon=True).start()
        print(msgspec.json.encode(simulator.urls).decode(), flush=True)
        await stopped.wait()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    """Read past what the parent writes; not through sys.stdin, whose lock would break the end of the interpreter."""
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stopped.set)
