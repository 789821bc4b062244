"""The whole service against its floor, end to end: real MongoDB, simulator in its own process, both on this machine.

    ./run bench end_to_end

Service and floor take turns, so that whatever else the machine does meets both; medians are compared. The floor is the
bare handler of `benchmarks.floor`.
"""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import click
import httpx
import uvloop
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from msgspec import Struct
from pymongo import MongoClient
from rich import box
from rich.console import Console
from rich.table import Table

from app.commands.stack import Stack, free_port, running_stack
from benchmarks.models import WORLD, create_model

CLIENTS = 32
DATABASE_NAME = "order_generation"


class Scenario(Struct, frozen=True):
    """A model of some portfolios, each with so many positions, and how often it is rebalanced."""

    portfolios: int
    positions: int
    rounds: int

    @property
    def name(self) -> str:
        return f"{self.portfolios:,} x {self.positions}"


class Measured(Struct, frozen=True):
    """Portfolios or requests a second, by the service and by the floor, as medians of interleaved turns."""

    what: str
    service: float
    floor: float
    failures: int


LARGE = (Scenario(100, 50, 30), Scenario(100, 10, 30), Scenario(1000, 50, 5), Scenario(1000, 10, 5))
SINGLE = Scenario(1, 50, 4)
TURN_SECONDS = 3.0


@click.command()
@click.option("--only", default="", help="Measure only what has this in its name.")
def main(only: str) -> None:
    """Measure and print the table."""
    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("a second")
    for heading in ("floor : service", "service", "floor", "failures"):
        table.add_column(heading, justify="right")
    with (
        tempfile.TemporaryDirectory() as directory,
        console.status("Starting") as status,
        running_stack(log=Path(directory) / "service.log", settings={"LOG_LEVEL": "WARNING"}) as stack,
    ):
        bench = Bench(stack, Path(directory))
        work = [(scenario, bench.large_request) for scenario in LARGE]
        work += [(SINGLE, bench.small_requests), (SINGLE, bench.model_reads)]
        for scenario, measure in work:
            if only not in f"{measure.__name__} {scenario.name}":
                continue
            status.update(f"{measure.__name__} {scenario.name}".replace("_", " "))
            result = measure(scenario)
            table.add_row(
                result.what,
                f"{result.floor / result.service:.2f}",
                f"{result.service:,.0f}",
                f"{result.floor:,.0f}",
                str(result.failures),
            )
    console.print(table)


class Bench:
    """Drives one stack, and a floor server for each scenario."""

    def __init__(self, stack: Stack, directory: Path) -> None:
        self.stack = stack
        self.directory = directory

    def large_request(self, scenario: Scenario) -> Measured:
        """One client that rebalances the whole model again and again."""
        model_id = create_model(self.stack, scenario.portfolios, scenario.positions)
        service = ("POST", f"{self.stack.service_url}/api/v1/model/{model_id}/rebalance")
        with self._floor(service[1]) as floor_url:
            floor = ("POST", f"{floor_url}/rebalance")
            service_seconds, floor_seconds = uvloop.run(_take_turns(scenario.rounds, service, floor))
        portfolios = scenario.portfolios
        return Measured(
            f"portfolios, {scenario.name}", portfolios / service_seconds, portfolios / floor_seconds, failures=0
        )

    def small_requests(self, scenario: Scenario) -> Measured:
        """Many clients that each rebalance a single portfolio again and again."""
        model_id = create_model(self.stack, scenario.portfolios, scenario.positions)
        portfolio_id = WORLD.portfolio_ids(0, 1)[0]
        service = ("POST", f"{self.stack.service_url}/api/v1/portfolio/{portfolio_id}/rebalance?modelId={model_id}")
        with self._floor(service[1]) as floor_url:
            floor = ("POST", f"{floor_url}/rebalance")
            return Measured("single rebalances", *uvloop.run(_compete(scenario.rounds, service, floor)))

    def model_reads(self, scenario: Scenario) -> Measured:
        """Many clients that read one model again and again."""
        model_id = create_model(self.stack, scenario.portfolios, scenario.positions)
        service = ("GET", f"{self.stack.service_url}/api/v1/model/{model_id}")
        with self._floor(f"{self.stack.service_url}/api/v1/model/{model_id}/rebalance") as floor_url:
            floor = ("GET", f"{floor_url}/model/{model_id}")
            return Measured("model reads", *uvloop.run(_compete(scenario.rounds, service, floor)))

    @contextmanager
    def _floor(self, rebalance_url: str) -> Iterator[str]:
        """Record one rebalance of the service, and run the floor server that repeats it."""
        answer = httpx.post(rebalance_url, timeout=120).raise_for_status()
        content = answer.json()
        rebalance_id = (content[0] if isinstance(content, list) else content)["rebalanceId"]
        with MongoClient[RawBSONDocument](self.stack.mongodb_url, document_class=RawBSONDocument) as client:
            documents = client[DATABASE_NAME]["rebalance_portfolios"].find({"_id.rebalanceId": ObjectId(rebalance_id)})
            (self.directory / "documents.bson").write_bytes(b"".join(each.raw for each in documents))
        (self.directory / "answer.json").write_bytes(answer.content)
        port = free_port()
        options = ["--interface", "asgi", "--factory", "--workers", "1", "--loop", "uvloop", "--no-ws", "--no-log"]
        server = subprocess.Popen(
            [sys.executable, "-m", "granian", *options, "--port", str(port), "benchmarks.floor:create_app"],
            env={
                **os.environ,
                "FLOOR_RECORDING": str(self.directory),
                "MONGODB_URL": self.stack.mongodb_url,
                "PORTFOLIO_ACCOUNTING_SERVICE_URL": self.stack.simulator.portfolio_accounting,
            },
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _await_listening(port)
            yield url
        finally:
            server.terminate()
            server.wait()


async def _take_turns(rounds: int, *calls: tuple[str, str]) -> tuple[float, float]:
    """Make two calls in turn, round after round; give each one's median seconds."""
    seconds: tuple[list[float], list[float]] = ([], [])
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(300)) as client:
        for turn in range(rounds + 1):
            for place, (method, url) in enumerate(calls):
                started = time.perf_counter()
                async with client.request(method, url) as response:
                    await response.read()
                    response.raise_for_status()
                if turn:  # the first warms up
                    seconds[place].append(time.perf_counter() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


async def _compete(rounds: int, *calls: tuple[str, str]) -> tuple[float, float, int]:
    """Let many clients make two calls for a while, in turns; give the median rates, and how many failed."""
    rates: tuple[list[float], list[float]] = ([], [])
    failures = 0
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(connector=connector) as session:
        for turn in range(rounds + 1):
            for place, (method, url) in enumerate(calls):
                done, failed = await _storm(session, method, url)
                if turn:
                    rates[place].append(done / TURN_SECONDS)
                    failures += failed
    return statistics.median(rates[0]), statistics.median(rates[1]), failures


async def _storm(session: aiohttp.ClientSession, method: str, url: str) -> tuple[int, int]:
    until = time.perf_counter() + TURN_SECONDS
    done = failed = 0

    async def client() -> None:
        nonlocal done, failed
        while time.perf_counter() < until:
            async with session.request(method, url) as response:
                await response.read()
                if response.ok:
                    done += 1
                else:
                    failed += 1

    async with asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(client())
    return done, failed


def _await_listening(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the floor did not start")


if __name__ == "__main__":
    main()
