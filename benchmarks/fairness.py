"""What a very large request costs everybody else.

    ./run bench fairness

While one client repeats a rebalance of 5,000 portfolios, others rebalance single portfolios, read a model and ask for
the service's health, each at its own steady pace. Quiet and loaded turns alternate; a call that waits does not keep the
next one from being made, so that the tail is what callers would see. A loaded turn has at least one large response.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import aiohttp
import click
import uvloop

from app.commands.stack import Stack
from benchmarks.clients import Call, Turn, client_session, drained, pace, summed_up
from benchmarks.models import Size, create_model, rebalance_url, single_rebalance_url
from benchmarks.stack import benchmark_stack
from benchmarks.tables import MARKDOWN_OPTION, milliseconds, progress, ratio, show, table

SINGLE = Size(1, 50)
CONNECTIONS = 100
WARM_UP_SECONDS = 2.0
HEAD_START_SECONDS = 1.0
"""Until the large request is in full swing."""

type Turns = dict[str, list[Turn]]


@click.command()
@click.option("--portfolios", default=5000, show_default=True, help="Portfolios of the large request.")
@click.option(
    "--seconds",
    default=15.0,
    show_default=True,
    help="Seconds of a turn; a loaded turn lasts until a large request has completed.",
)
@click.option("--turns", default=3, show_default=True, help="Number of quiet turns, and of loaded turns.")
@MARKDOWN_OPTION
def main(*, portfolios: int, seconds: float, turns: int, markdown: bool) -> None:
    """Compare latencies beside a very large request with those without one."""
    with benchmark_stack() as stack:
        quiet, loaded, larges = uvloop.run(_measure(stack, Size(portfolios, SINGLE.positions), seconds, turns))
    headings = (
        "median, loaded : quiet",
        "p99, loaded : quiet",
        "median, quiet",
        "loaded",
        "p99, quiet",
        "loaded",
        "longest",
    )
    results = table(f"Latencies beside a rebalance of {portfolios:,}, ms", "call", *headings, "calls", "failed")
    for name in quiet:
        before, beside = summed_up(quiet[name]), summed_up(loaded[name])
        cells = (before.median, beside.median, before.p99, beside.p99, beside.longest)
        results.add_row(
            name,
            ratio(beside.median / before.median),
            ratio(beside.p99 / before.p99),
            *(milliseconds(each) for each in cells),
            str(beside.completed),
            str(before.failed + beside.failed),
        )
    show(results, f"{larges} large requests completed meanwhile.", markdown=markdown)


async def _measure(stack: Stack, size: Size, seconds: float, turns: int) -> tuple[Turns, Turns, int]:
    rebalance = Call("POST", rebalance_url(stack, create_model(stack, size)))
    single = create_model(stack, SINGLE)
    paced = {
        "single rebalance": (Call("POST", single_rebalance_url(stack, single)), 0.1),
        "model": (Call("GET", f"{stack.service_url}/api/v1/model/{single}"), 0.1),
        "/health/live": (Call("GET", f"{stack.service_url}/health/live"), 0.1),
        "/health/ready": (Call("GET", f"{stack.service_url}/health/ready"), 0.1),
    }
    quiet: Turns = {name: [] for name in paced}
    loaded: Turns = {name: [] for name in paced}
    larges = 0
    async with client_session(CONNECTIONS) as session:
        await _turn(session, paced, _after(WARM_UP_SECONDS))
        for turn in range(turns):
            with progress.status(f"turn {turn + 1} of {turns}"):
                _add(quiet, await _turn(session, paced, _after(seconds)))
                large = Large(session, rebalance)
                await asyncio.sleep(HEAD_START_SECONDS)
                long_enough = _after(seconds)
                _add(loaded, await _turn(session, paced, lambda: long_enough() and large.completed > 0))  # noqa: B023
                larges += await large.stop()
    return quiet, loaded, larges


class Large:
    """The client that repeats a large request until it is stopped."""

    def __init__(self, session: aiohttp.ClientSession, call: Call) -> None:
        self.completed = 0
        self._stopping = False
        self._repeating = asyncio.create_task(self._repeat(session, call))

    async def stop(self) -> int:
        """Wait for the present request to end; return the number of completed ones."""
        self._stopping = True
        await self._repeating
        return self.completed

    async def _repeat(self, session: aiohttp.ClientSession, call: Call) -> None:
        while not self._stopping:
            await drained(session, call)
            self.completed += 1


async def _turn(
    session: aiohttp.ClientSession, paced: Mapping[str, tuple[Call, float]], ended: Callable[[], bool]
) -> list[Turn]:
    return await asyncio.gather(*(pace(session, call, every, ended) for call, every in paced.values()))


def _after(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until


def _add(turns: Turns, more: list[Turn]) -> None:
    for each, turn in zip(turns.values(), more, strict=True):
        each.append(turn)
