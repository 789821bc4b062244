"""The simulator as a process of its own: it says where it listens, and it ends when it should."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import aiohttp
import msgspec
import psutil
import pytest

from integrations.simulator import SimulatorSettings, SimulatorUrls, running_simulator


@contextmanager
def simulator_process(*options: str) -> Iterator[tuple[subprocess.Popen[bytes], SimulatorUrls]]:
    """Run `order-generation simulator` with a million portfolios."""
    command = [sys.executable, "-m", "app.cli", "simulator", "--portfolios", "1000000", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process, msgspec.json.decode(process.stdout.readline(), type=SimulatorUrls)
        finally:
            process.kill()


async def test_the_first_line_says_where_everything_listens() -> None:
    """The URLs on standard output are reachable at once."""
    with simulator_process() as (_, urls):
        for url in (f"{urls.pricing}/api/v1/prices", f"{urls.portfolio}/api/v2/portfolios", f"{urls.control}/control"):
            async with aiohttp.request("GET", url) as response:
                assert response.status == 200


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(name: signal.Signals) -> None:
    """Termination and interrupt end it with exit code 0."""
    with simulator_process() as (process, _):
        process.send_signal(name)
        assert process.wait(60) == 0


def test_the_end_of_standard_input_ends_it_where_that_is_asked_for() -> None:
    """A parent's death ends the simulator."""
    with simulator_process("--exit-with-stdin") as (process, _):
        assert process.stdin is not None
        process.stdin.write(b"anything\n")
        process.stdin.close()
        assert process.wait(60) == 0


async def test_the_end_of_standard_input_is_nothing_to_it_otherwise() -> None:
    """Without the option it goes on serving."""
    with simulator_process() as (process, urls):
        assert process.stdin is not None
        process.stdin.close()
        async with aiohttp.request("GET", f"{urls.security}/api/v1/securities") as response:
            assert response.status == 200
        assert process.poll() is None


async def test_memory_does_not_grow_with_the_portfolios_that_are_asked_for() -> None:
    """Portfolios are computed, not stored."""
    with simulator_process() as (process, urls):
        at_start = psutil.Process(process.pid).memory_info().rss
        async with aiohttp.ClientSession() as http:
            url = f"{urls.portfolio}/api/v2/portfolios"
            for offset in range(0, 40_000, 1000):
                async with http.get(url, params={"limit": 1000, "offset": offset}) as response:
                    page = (await response.json())["portfolios"]
                balances = f"{urls.portfolio_accounting}/api/v1/balances"
                async with http.get(balances, params={"portfolio_id": page[-1]["portfolioId"]}) as response:
                    assert len((await response.json())["balances"]) == 1
        assert psutil.Process(process.pid).memory_info().rss - at_start < 30_000_000


def six_free_ports() -> int:
    """The first of six free ports in a row, below those that the system gives to everybody's connections."""
    for first in range(20_000 + os.getpid() % 1000 * 6, 32_000, 6):
        with ExitStack() as stack:
            try:
                for port in range(first, first + 6):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
    pytest.fail("there are no six free ports in a row")


async def test_fixed_ports_follow_each_other() -> None:
    """Five services and the control API have consecutive ports."""
    first_port = six_free_ports()
    async with running_simulator(SimulatorSettings(portfolios=1, first_port=first_port)) as simulator:
        urls = msgspec.structs.astuple(simulator.urls)
        assert [int(url.rpartition(":")[2]) for url in urls] == list(range(first_port, first_port + 6))


async def test_a_taken_port_is_an_error_and_leaves_nothing_listening() -> None:
    """Ports opened before the taken one are closed again."""
    first_port = six_free_ports()
    with socket.create_server(("127.0.0.1", first_port + 4)), pytest.raises(OSError, match="in use"):
        async with running_simulator(SimulatorSettings(portfolios=1, first_port=first_port)):
            pytest.fail("listens on a port that is taken")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", first_port)
