"""What sending the orders of a large rebalance takes, and what it costs other callers.

    ./run bench orders

The orders of one rebalance are sent once, while another caller rebalances a single portfolio at a steady pace. The
number of posts is compared with the smallest possible one, and the orders with what the simulated Order Service has.
"""

import asyncio
import time
from collections import Counter

import aiohttp
import click
import psutil
import uvloop
from msgspec import Struct

from app.commands.stack import Stack
from benchmarks.clients import Call, Turn, client_session, pace, summed_up
from benchmarks.models import Size, create_model, rebalance_url, single_rebalance_url
from benchmarks.stack import benchmark_stack
from benchmarks.tables import MARKDOWN_OPTION, milliseconds, progress, show, table

BATCH = 15
PACE_SECONDS = 0.1
QUIET_SECONDS = 10.0
POLL_SECONDS = 5.0
MEBIBYTE = 2**20


class Sent(Struct, frozen=True):
    """What sending all orders took.

    Attributes:
        in_order_service: orders that the simulated Order Service has, and how many of them are there twice.
        first_response_seconds: of the call that requested the orders.
        memory_before, memory_peak: of the process that serves HTTP, in MiB.
    """

    orders: int
    in_order_service: int
    repeated: int
    posts: int
    queries: int
    seconds: float
    first_response_seconds: float
    memory_before: float
    memory_peak: float


@click.command()
@click.option("--portfolios", default=1000, show_default=True)
@click.option("--positions", default=50, show_default=True)
@MARKDOWN_OPTION
def main(*, portfolios: int, positions: int, markdown: bool) -> None:
    """Send the orders of a large rebalance beside a caller with small ones."""
    size = Size(portfolios, positions)
    with benchmark_stack({"ORDERS_ENABLED": "true"}) as stack:
        turns, sent = uvloop.run(_measure(stack, size))
    fewest = portfolios * -(-positions // BATCH)
    results = table(f"Orders of {size}", "", "")
    for name, value in (
        ("orders", f"{sent.orders:,}"),
        ("orders in the Order Service", f"{sent.in_order_service:,}, {sent.repeated} of them twice"),
        ("posts", f"{sent.posts:,} (at least {fewest:,})"),
        ("queries", f"{sent.queries:,}"),
        ("seconds", f"{sent.seconds:.1f}"),
        ("orders a second", f"{sent.orders / sent.seconds:,.0f}"),
        ("first response after", f"{sent.first_response_seconds:.1f} s"),
        ("memory before, peak", f"{sent.memory_before:.0f}, {sent.memory_peak:.0f} MiB"),
    ):
        results.add_row(name, value)
    for name, turn in turns.items():
        each = summed_up([turn])
        results.add_row(
            f"a single rebalance, {name}",
            f"median {milliseconds(each.median)}, p99 {milliseconds(each.p99)} ms, {each.failed} failed",
        )
    show(results, markdown=markdown)


async def _measure(stack: Stack, size: Size) -> tuple[dict[str, Turn], Sent]:
    large, single = create_model(stack, size), create_model(stack, Size(1, size.positions))
    call = Call("POST", single_rebalance_url(stack, single))
    async with client_session(10) as session:
        async with session.post(rebalance_url(stack, large)) as response:
            rebalance_id = (await response.json())[0]["rebalanceId"]
        await pace(session, call, PACE_SECONDS, _after(2))
        turns: dict[str, Turn] = {}
        # Whatever else the machine does meets both sides only if it lasts, which the turn after the sending shows.
        with progress.status("before"):
            turns["before"] = await pace(session, call, PACE_SECONDS, _after(QUIET_SECONDS))
        with progress.status("beside"):
            sending = asyncio.create_task(_send(session, stack, rebalance_id))
            turns["beside"] = await pace(session, call, PACE_SECONDS, sending.done)
        with progress.status("after"):
            turns["after"] = await pace(session, call, PACE_SECONDS, _after(QUIET_SECONDS))
        return turns, await sending


async def _send(session: aiohttp.ClientSession, stack: Stack, rebalance_id: str) -> Sent:
    url = f"{stack.service_url}/api/v1/rebalance/{rebalance_id}/orders"
    worker = psutil.Process(stack.service.pid).children()[0]
    before = peak = worker.memory_info().rss
    started = time.perf_counter()
    async with session.post(url) as response:
        state = await response.json()
    first = time.perf_counter() - started
    while state["pending"] or state["unknown"]:
        await asyncio.sleep(POLL_SECONDS)
        peak = max(peak, worker.memory_info().rss)
        async with session.get(url) as response:
            state = await response.json()
    seconds = time.perf_counter() - started
    control = f"{stack.simulator.control}/control"
    async with session.get(f"{control}/calls") as response:
        routes = {each["route"]: each["count"] for each in (await response.json())["routes"]}
    async with session.get(f"{control}/orders") as response:
        created = Counter((each["portfolioId"], each["securityId"]) for each in await response.json())
    return Sent(
        orders=state["created"],
        in_order_service=created.total(),
        repeated=sum(count > 1 for count in created.values()),
        posts=routes["POST /api/v1/orders"],
        queries=routes.get("GET /api/v1/orders", 0),
        seconds=seconds,
        first_response_seconds=first,
        memory_before=before / MEBIBYTE,
        memory_peak=peak / MEBIBYTE,
    )


def _after(seconds: float) -> "_Ended":
    return _Ended(time.monotonic() + seconds)


class _Ended(Struct, frozen=True):
    """Whether a moment has passed."""

    until: float

    def __call__(self) -> bool:
        return time.monotonic() >= self.until
