"""What sending the orders of a large rebalance takes, and what it costs other callers.

    ./run bench orders

The orders of one rebalance are sent once, while others rebalance a single portfolio, read a model and request the
service's health, each at a steady pace, as in `fairness`. The number of posts is compared with the smallest possible
one, and the orders with what the simulated Order Service has. Processor time by part shows what uses the cores, and
the lag of this process how late the callers themselves were.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import chain

import aiohttp
import click
import msgspec
import uvloop
from msgspec import Struct
from rich.table import Table

from app.commands.stack import Stack
from benchmarks.clients import Call, Turn, client_session, pace, summed_up
from benchmarks.models import Size, create_model, rebalance_url, single_rebalance_url
from benchmarks.processes import MEBIBYTE, Part, api_process, cpu_seconds, parts
from benchmarks.stack import benchmark_stack
from benchmarks.tables import MARKDOWN_OPTION, milliseconds, progress, ratio, show, table

BATCH = 15
PACE_SECONDS = 0.1
QUIET_SECONDS = 10.0
POLL_SECONDS = 5.0
LAG_INTERVAL_SECONDS = 0.01


class State(Struct, frozen=True):
    """The figures with which the state of orders begins."""

    created: int
    unknown: int
    pending: int


class Sent(Struct, frozen=True):
    """What sending all orders took.

    Attributes:
        first_response_seconds: of the call that requested the orders.
        memory_before, memory_peak: of the process that serves HTTP, in bytes.
    """

    orders: int
    seconds: float
    first_response_seconds: float
    memory_before: int
    memory_peak: int


class Created(Struct, frozen=True):
    """What the simulated Order Service has: its orders, those of them that it has twice, and the calls it received."""

    orders: int
    repeated: int
    posts: int
    queries: int


class Period(Struct, frozen=True):
    """What other callers met for a while.

    Attributes:
        turns: by the name of the call.
        cpu: processor seconds of each part.
        seconds: how long it lasted.
        longest_lag: how late this process was at most.
    """

    turns: Mapping[str, Turn]
    cpu: Mapping[Part, float]
    seconds: float
    longest_lag: float


@click.command()
@click.option("--portfolios", default=1000, show_default=True, help="Portfolios of the rebalance.")
@click.option("--positions", default=50, show_default=True, help="Positions of each portfolio.")
@click.option("--one-core", is_flag=True, help="Confine the service to one core, like a pod of one CPU.")
@MARKDOWN_OPTION
def main(*, portfolios: int, positions: int, one_core: bool, markdown: bool) -> None:
    """Send the orders of a large rebalance beside callers with small requests."""
    size = Size(portfolios, positions)
    with benchmark_stack({"ORDERS_ENABLED": "true"}) as stack:
        if one_core:
            _confine(stack)
        periods, sent, created = uvloop.run(_measure(stack, size))
    fewest = portfolios * -(-positions // BATCH)
    results = table(f"Orders of {size}", "", "")
    for name, value in (
        ("orders", f"{sent.orders:,}"),
        ("orders in the Order Service", f"{created.orders:,}, {created.repeated} of them twice"),
        ("posts", f"{created.posts:,} (at least {fewest:,})"),
        ("queries", f"{created.queries:,}"),
        ("seconds", f"{sent.seconds:.1f}"),
        ("orders a second", f"{sent.orders / sent.seconds:,.0f}"),
        ("first response after", f"{sent.first_response_seconds:.1f} s"),
        ("memory before, peak", f"{sent.memory_before / MEBIBYTE:.0f}, {sent.memory_peak / MEBIBYTE:.0f} MiB"),
    ):
        results.add_row(name, value)
    show(results, _callers(periods), _processors(periods), markdown=markdown)


def _confine(stack: Stack) -> None:
    """Run the service on one core, and everything else on the others."""
    first, *others = sorted(os.sched_getaffinity(0))
    others = others or [first]
    for part, processes in parts(stack.service.pid).items():
        for thread in chain.from_iterable(process.threads() for process in processes):
            os.sched_setaffinity(thread.id, {first} if part in (Part.API, Part.SOLVERS) else others)
    os.sched_setaffinity(0, others)


def _callers(periods: Mapping[str, Period]) -> Table:
    headings = [f"{figure}, {name}" for figure in ("median", "p99") for name in periods]
    results = table("Other callers, ms", "call", *headings, "p99, beside : before", "longest, beside", "failed")
    for call in periods["before"].turns:
        figures = {name: summed_up([period.turns[call]]) for name, period in periods.items()}
        results.add_row(
            call,
            *(milliseconds(each.median) for each in figures.values()),
            *(milliseconds(each.p99) for each in figures.values()),
            ratio(figures["beside"].p99 / figures["before"].p99),
            milliseconds(figures["beside"].longest),
            str(sum(each.failed for each in figures.values())),
        )
    return results


def _processors(periods: Mapping[str, Period]) -> Table:
    results = table("Cores in use, and the longest lag of the callers, ms", "", *periods)
    for part in Part:
        results.add_row(part, *(f"{each.cpu[part] / each.seconds:.2f}" for each in periods.values()))
    results.add_row("longest lag, ms", *(milliseconds(each.longest_lag) for each in periods.values()))
    return results


async def _measure(stack: Stack, size: Size) -> tuple[dict[str, Period], Sent, Created]:
    large, single = create_model(stack, size), create_model(stack, Size(1, size.positions))
    calls = {
        "single rebalance": Call("POST", single_rebalance_url(stack, single)),
        "model": Call("GET", f"{stack.service_url}/api/v1/model/{single}"),
        "/health/live": Call("GET", f"{stack.service_url}/health/live"),
        "/health/ready": Call("GET", f"{stack.service_url}/health/ready"),
    }
    async with client_session(100) as session:
        async with session.post(rebalance_url(stack, large)) as response:
            rebalance_id = (await response.json())[0]["rebalanceId"]
        await _period(stack, session, calls, _after(2))
        periods: dict[str, Period] = {}
        # Whatever else the machine does affects both periods only if it lasts, which the period after shows.
        with progress.status("before"):
            periods["before"] = await _period(stack, session, calls, _after(QUIET_SECONDS))
        with progress.status("beside"):
            sending = asyncio.create_task(_send(session, stack, rebalance_id))
            periods["beside"] = await _period(stack, session, calls, sending.done)
        with progress.status("after"):
            periods["after"] = await _period(stack, session, calls, _after(QUIET_SECONDS))
        return periods, await sending, await _created(session, stack)


async def _period(
    stack: Stack, session: aiohttp.ClientSession, calls: Mapping[str, Call], ended: Callable[[], bool]
) -> Period:
    processes = parts(stack.service.pid)
    before, started = cpu_seconds(processes), time.perf_counter()
    async with _lag() as longest:
        turns = await asyncio.gather(*(pace(session, call, PACE_SECONDS, ended) for call in calls.values()))
    seconds, after = time.perf_counter() - started, cpu_seconds(processes)
    cpu = {part: after[part] - before[part] for part in after}
    return Period(dict(zip(calls, turns, strict=True)), cpu, seconds, longest())


@asynccontextmanager
async def _lag() -> AsyncIterator[Callable[[], float]]:
    """Measure how late this process resumes; yield what returns the longest time so far in seconds."""
    longest = 0.0

    async def measure() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            await asyncio.sleep(LAG_INTERVAL_SECONDS)
            longest = max(longest, time.perf_counter() - began - LAG_INTERVAL_SECONDS)

    measuring = asyncio.create_task(measure())
    try:
        yield lambda: longest
    finally:
        measuring.cancel()


async def _send(session: aiohttp.ClientSession, stack: Stack, rebalance_id: str) -> Sent:
    call = Call("GET", f"{stack.service_url}/api/v1/rebalance/{rebalance_id}/orders")
    worker = api_process(stack.service.pid)
    before = peak = worker.memory_info().rss
    started = time.perf_counter()
    state = await _state(session, Call("POST", call.url))
    first = time.perf_counter() - started
    while state.pending or state.unknown:
        await asyncio.sleep(POLL_SECONDS)
        peak = max(peak, worker.memory_info().rss)
        state = await _state(session, call)
    return Sent(state.created, time.perf_counter() - started, first, before, peak)


async def _state(session: aiohttp.ClientSession, call: Call) -> State:
    """Return the figures of a state; to decode its 50,000 orders would delay the timed requests."""
    head = b""
    async with session.request(call.method, call.url) as response:
        response.raise_for_status()
        async for chunk in response.content.iter_any():
            head += chunk if b'"portfolios"' not in head else b""
    return msgspec.json.decode(head.partition(b',"portfolios"')[0] + b"}", type=State)


async def _created(session: aiohttp.ClientSession, stack: Stack) -> Created:
    control = f"{stack.simulator.control}/control"
    async with session.get(f"{control}/calls") as response:
        routes = {each["route"]: each["count"] for each in (await response.json())["routes"]}
    async with session.get(f"{control}/orders") as response:
        created = Counter((each["portfolioId"], each["securityId"]) for each in await response.json())
    return Created(
        orders=created.total(),
        repeated=sum(count > 1 for count in created.values()),
        posts=routes["POST /api/v1/orders"],
        queries=routes.get("GET /api/v1/orders", 0),
    )


def _after(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until
