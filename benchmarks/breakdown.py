"""What one rebalance request costs, by stage and by process.

    ./run bench breakdown

Two services on one database and one simulator take turns. One sends its traces here, from which the time of each stage
is taken; tracing costs it something, which the table says. The other does not, and its processes' CPU seconds are
counted.
"""

import asyncio
import secrets
import statistics
import time
from collections.abc import Sequence

import aiohttp
import click
import uvloop
from msgspec import Struct
from rich.table import Table

from app.commands.stack import Stack
from benchmarks.clients import Call, client_session, timed
from benchmarks.models import Size, create_model, rebalance_url
from benchmarks.processes import Part, cpu_seconds, parts, solver_count
from benchmarks.stack import another_service, benchmark_stack
from benchmarks.stages import STAGES, stage_seconds
from benchmarks.tables import MARKDOWN_OPTION, milliseconds, progress, show, table
from tests.harness.collector import Received, Span, grpc_collector

SIZES = {Size(100, 50): 4, Size(1, 50): 40}
"""Requests of each service in one turn."""
REQUEST = "POST /api/v1/model/{model_id}/rebalance"
CALLER = "b" * 16


class Breakdown(Struct, frozen=True):
    """Medians for one size of request, in seconds.

    Attributes:
        untraced: the request as users meet it.
        traced: the request of the service that sends its traces.
        stages: of the traced request, by stage.
        cpu: processor time for one request, by part of the stack.
        busy: processor time over the request's time, of one process of each part.
    """

    untraced: float
    traced: float
    stages: dict[str, float]
    cpu: dict[Part, float]
    busy: dict[Part, float]


@click.command()
@click.option("--turns", default=6, show_default=True, help="Turns of each service.")
@MARKDOWN_OPTION
def main(*, turns: int, markdown: bool) -> None:
    """Describe which stage and which process one request waits for."""
    traced_by = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRICS_EXPORTER": "none", "OTEL_BSP_MAX_QUEUE_SIZE": "65536"}
    with grpc_collector() as (endpoint, received), benchmark_stack() as stack:
        settings = {**traced_by, "OTEL_COLLECTOR_GRPC_ENDPOINT": endpoint}
        with another_service(stack, settings) as traced:
            for size, requests in SIZES.items():
                with progress.status(f"{size}"):
                    comparison = Comparison(stack, traced, received, create_model(stack, size))
                    breakdown = uvloop.run(comparison.run(turns, requests))
                show(*_tables(size, breakdown), _bottleneck(breakdown), markdown=markdown)


class Comparison:
    """The same rebalance by a service that sends its traces and by one that does not."""

    def __init__(self, untraced: Stack, traced: Stack, received: Received, model_id: str) -> None:
        self._server = untraced.service.pid
        self._untraced = Call("POST", rebalance_url(untraced, model_id))
        self._traced = rebalance_url(traced, model_id)
        self._received = received

    async def run(self, turns: int, requests: int) -> Breakdown:
        """Run the services in turns of this number of requests each."""
        untraced: list[float] = []
        traced: list[float] = []
        stages: list[dict[str, float]] = []
        cpu: list[dict[Part, float]] = []
        busy: list[dict[Part, float]] = []
        measured = parts(self._server)
        async with client_session() as session:
            await timed(session, self._untraced)
            await self._trace(session)
            for _ in range(turns):
                for _ in range(requests):
                    seconds, spans = await self._trace(session)
                    traced.append(seconds)
                    stages.append(stage_seconds(spans))
                before, began = cpu_seconds(measured), time.perf_counter()
                untraced += [(await timed(session, self._untraced))[0] for _ in range(requests)]
                wall = time.perf_counter() - began
                used = {part: after - before[part] for part, after in cpu_seconds(measured).items()}
                cpu.append({part: seconds / requests for part, seconds in used.items()})
                solvers = solver_count(self._server)
                busy.append({part: used[part] / wall / (solvers if part is Part.SOLVERS else 1) for part in used})
        return Breakdown(
            statistics.median(untraced),
            statistics.median(traced),
            {stage: statistics.median(each.get(stage, 0.0) for each in stages) for stage in _all_stages(stages)},
            {part: statistics.median(each[part] for each in cpu) for part in measured},
            {part: statistics.median(each[part] for each in busy) for part in measured},
        )

    async def _trace(self, session: aiohttp.ClientSession) -> tuple[float, list[Span]]:
        """Send the traced request; return its seconds and its spans."""
        trace_id = secrets.token_hex(16)
        headers = {"traceparent": f"00-{trace_id}-{CALLER}-01"}
        started = time.perf_counter()
        async with session.post(self._traced, headers=headers) as response:
            await response.read()
            response.raise_for_status()
        seconds = time.perf_counter() - started
        return seconds, await asyncio.to_thread(self._received.trace, trace_id, until=REQUEST)


def _all_stages(stages: Sequence[dict[str, float]]) -> list[str]:
    found = {stage for each in stages for stage in each}
    return [*(stage for stage in STAGES if stage in found), *sorted(found - set(STAGES))]


def _tables(size: Size, found: Breakdown) -> tuple[Table, Table]:
    stages = table(f"Time of one request, {size}", "stage", "share", "ms")
    whole = sum(found.stages.values())
    for stage, seconds in found.stages.items():
        stages.add_row(stage, f"{seconds / whole:.1%}", milliseconds(seconds))
    stages.add_row("traced request", f"{found.traced / found.untraced:.2f} x untraced", milliseconds(found.traced))
    stages.add_row("untraced request", "", milliseconds(found.untraced))
    cpu = table(f"Processor time of one request, {size}", "process", "share", "busy", "ms of CPU a portfolio")
    whole = sum(found.cpu.values())
    for part, seconds in found.cpu.items():
        cpu.add_row(part, f"{seconds / whole:.1%}", f"{found.busy[part]:.0%}", milliseconds(seconds / size.portfolios))
    return stages, cpu


def _bottleneck(found: Breakdown) -> str:
    busiest = max(found.busy, key=lambda part: found.busy[part])
    longest = max(found.stages, key=lambda stage: found.stages[stage])
    return f"Bottleneck: {busiest}, busy for {found.busy[busiest]:.0%} of the request. Longest stage: {longest}."
