"""What a portfolio costs in requests of ten to five thousand, and the memory that such a request takes.

    ./run bench scale

First one request after the other: the sizes take turns with each other and with the floor of `benchmarks.floor`, so
that whatever else the machine does meets them all. Memory is the peak of the first turn, in which the sizes come in
rising order; positions beyond the hundred that a model can have are held outside it. Then so many requests at once that
the machine is busy whatever their size: what they cost when none of them waits alone for the disk.
"""

import random
import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack

import click
import uvloop
from msgspec import Struct, field
from rich.table import Table

from app.commands.stack import Stack
from benchmarks.clients import Call, client_session, storm, timed
from benchmarks.models import Size, create_model, hold_outside_model, rebalance_url
from benchmarks.processes import Peak, cpu_seconds, parts, peak_memory
from benchmarks.recorded_floor import running_floor
from benchmarks.stack import another_service, benchmark_stack
from benchmarks.tables import MARKDOWN_OPTION, milliseconds, progress, ratio, show, table

PORTFOLIOS = (10, 100, 1000, 5000)
MANY_POSITIONS = Size(100, 500)
TURN_PORTFOLIOS = 200
"""Small requests are repeated within a turn until they have had so many portfolios."""
AT_ONCE = 200
"""Portfolios in the requests that are made at once, at least one request."""
NO_FLOOR = "-"


class Measured(Struct):
    """One size: seconds of each request and of the floor's, bytes of a response, and the peak of memory in turn 0."""

    seconds: list[float]
    floor: list[float]
    response: int = 0
    peak: Peak = field(default_factory=Peak)


class Busy(Struct, frozen=True):
    """One size on a busy machine: seconds for a portfolio, and processor seconds of the whole stack."""

    seconds: float
    cpu: float


@click.command()
@click.option("--positions", default=50, show_default=True, help="Positions of each portfolio, at most 100.")
@click.option("--turns", default=5, show_default=True, help="Turns of each size.")
@MARKDOWN_OPTION
def main(*, positions: int, turns: int, markdown: bool) -> None:
    """Describe how the cost of a portfolio grows with the number of portfolios of a request."""
    sizes = [Size(portfolios, positions) for portfolios in PORTFOLIOS]
    with benchmark_stack() as stack, ExitStack() as floors:
        models = {size: create_model(stack, size) for size in sizes}
        calls = {size: Call("POST", rebalance_url(stack, models[size])) for size in sizes}
        floor = {
            size: Call("POST", f"{floors.enter_context(running_floor(stack, models[size]))}/rebalance")
            for size in sizes
        }
        # A service of its own: it has read no prices yet, and its memory has not grown with other requests.
        with another_service(stack) as other:
            fresh = {size: Call("POST", rebalance_url(other, models[size])) for size in sizes}
            alone = uvloop.run(_one_after_the_other(other, fresh, floor, turns))
        busy = uvloop.run(_at_once(stack, calls, turns))
        hold_outside_model(stack, MANY_POSITIONS)
        with another_service(stack) as other:
            many = Call("POST", rebalance_url(other, create_model(stack, MANY_POSITIONS)))
            alone |= uvloop.run(_one_after_the_other(other, {MANY_POSITIONS: many}, {}, turns))
    show(_alone_table(alone), _busy_table(busy), markdown=markdown)


async def _one_after_the_other(
    stack: Stack, calls: Mapping[Size, Call], floor: Mapping[Size, Call], turns: int
) -> dict[Size, Measured]:
    measured = {size: Measured([], []) for size in calls}
    async with client_session() as session:
        for turn, order in enumerate(_orders(list(calls), turns)):
            for size in order:
                found = measured[size]
                with progress.status(f"turn {turn}: {size}"):
                    if turn == 0:
                        with peak_memory(stack.service.pid) as found.peak:
                            _, response = await timed(session, calls[size])
                            found.response = len(response)
                        continue
                    for _ in range(max(1, TURN_PORTFOLIOS // size.portfolios)):
                        found.seconds.append((await timed(session, calls[size]))[0])
                        if size in floor:
                            found.floor.append((await timed(session, floor[size]))[0])
    return measured


async def _at_once(stack: Stack, calls: Mapping[Size, Call], turns: int) -> dict[Size, Busy]:
    measured: dict[Size, list[Busy]] = {size: [] for size in calls}
    processes = parts(stack.service.pid)
    async with client_session() as session:
        for turn, order in enumerate(_orders(list(calls), turns)):
            for size in order:
                with progress.status(f"at once, turn {turn}: {size}"):
                    before, began = sum(cpu_seconds(processes).values()), time.perf_counter()
                    done = await storm(session, [calls[size]], clients=_clients(size))
                    seconds, cpu = time.perf_counter() - began, sum(cpu_seconds(processes).values()) - before
                if turn:  # the first warms up
                    portfolios = done.completed * size.portfolios
                    measured[size].append(Busy(seconds / portfolios, cpu / portfolios))
    return {
        size: Busy(statistics.median(each.seconds for each in found), statistics.median(each.cpu for each in found))
        for size, found in measured.items()
    }


def _orders(sizes: list[Size], turns: int) -> list[list[Size]]:
    """Return the order of each turn: rising in the first, which counts for memory only, then shuffled."""
    shuffled = random.Random(1)
    return [sizes, *(shuffled.sample(sizes, len(sizes)) for _ in range(turns))]


def _clients(size: Size) -> int:
    return max(1, AT_ONCE // size.portfolios)


def _alone_table(measured: Mapping[Size, Measured]) -> Table:
    headings = ("cost of a portfolio", "ms a portfolio", "s a request", "the floor's cost", "floor : service")
    memory = ("response MB", "API MiB", "service MiB")
    results = table("One request after the other; memory is the peak", "portfolios x positions", *headings, *memory)
    seconds = {size: statistics.median(found.seconds) / size.portfolios for size, found in measured.items()}
    floor = {size: statistics.median(found.floor) / size.portfolios for size, found in measured.items() if found.floor}
    for size, found in measured.items():
        results.add_row(
            str(size),
            ratio(seconds[size] / min(seconds.values())),
            milliseconds(seconds[size]),
            f"{statistics.median(found.seconds):.2f}",
            ratio(floor[size] / min(floor.values())) if size in floor else NO_FLOOR,
            f"{seconds[size] / floor[size]:.2f}" if size in floor else NO_FLOOR,
            f"{found.response / 1e6:.2f}",
            f"{found.peak.api:.0f}",
            f"{found.peak.service:.0f}",
        )
    return results


def _busy_table(measured: Mapping[Size, Busy]) -> Table:
    headings = ("requests at once", "cost of a portfolio", "portfolios a second", "ms of CPU a portfolio")
    results = table("With enough concurrent requests to keep the machine busy", "portfolios x positions", *headings)
    cheapest = min(found.seconds for found in measured.values())
    for size, found in measured.items():
        results.add_row(
            str(size),
            str(_clients(size)),
            ratio(found.seconds / cheapest),
            f"{1 / found.seconds:,.0f}",
            milliseconds(found.cpu),
        )
    return results
