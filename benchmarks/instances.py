"""What more instances of the service on one database add, and how many pods carry a given rate.

    ./run bench instances

Instances are pinned to cores, as pods of one core are: one to the first, two to the first two, four spread over all
there are. Database, simulator and clients share the same cores. So the rates show whether instances get into each
other's way, and what a cluster carries is computed from processor time, by `benchmarks.capacity`.
"""

import math
import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import click
import uvloop
from rich.table import Table

from app.commands.stack import Stack
from benchmarks.capacity import BUSIEST, Demand, plan
from benchmarks.clients import CLIENTS, Call, Turn, client_session, storm, timed
from benchmarks.models import Size, create_model, rebalance_url, single_rebalance_url
from benchmarks.processes import Part, cpu_seconds, parts
from benchmarks.stack import another_service, benchmark_stack
from benchmarks.tables import MARKDOWN_OPTION, milliseconds, progress, ratio, show, table

INSTANCES = (1, 2, 4)
SINGLE = Size(1, 50)
PLANNED = {Size(3, 10): 60, Size(100, 50): 8}
"""Rebalances that capacity is computed for, and how many of each are measured; the first is the load generator's."""
RATES = (10, 100, 1000)
DATABASE_CORES = 8
TOGETHER = 8
"""Rebalances at a time while their processor time is measured."""
NO_END = "no end"


@click.command()
@click.option("--seconds", default=6.0, show_default=True, help="Seconds of a turn.")
@click.option("--turns", default=3, show_default=True, help="Turns of each number of instances.")
@click.option("--database-cores", default=DATABASE_CORES, show_default=True, help="Cores of the database in the plan.")
@MARKDOWN_OPTION
def main(*, seconds: float, turns: int, database_cores: int, markdown: bool) -> None:
    """Measure one, two and four instances, and compute the pods for ten to a thousand rebalances a second."""
    with benchmark_stack() as stack, ExitStack() as services:
        cores = sorted(os.sched_getaffinity(0))
        fleet = [services.enter_context(_pinned(stack, cores[number % len(cores)])) for number in range(INSTANCES[-1])]
        rates = _rates(fleet, seconds, turns)
        demands = {size: uvloop.run(_demand(fleet[0], size, count, seconds)) for size, count in PLANNED.items()}
    plans = [_plans(size, demand, database_cores) for size, demand in demands.items()]
    show(_relative(rates, seconds), *plans, _law(database_cores), markdown=markdown)


@contextmanager
def _pinned(stack: Stack, core: int) -> Iterator[Stack]:
    """Start a service whose processes all run on one core; they inherit it from this thread."""
    allowed = os.sched_getaffinity(0)
    with ExitStack() as running:
        os.sched_setaffinity(0, {core})
        try:
            instance = running.enter_context(another_service(stack, {"SOLVER_PROCESSES": "1"}))
        finally:
            os.sched_setaffinity(0, allowed)
        yield instance


def _rates(fleet: Sequence[Stack], seconds: float, turns: int) -> dict[int, list[Turn]]:
    """Single rebalances by many clients, spread over the instances, in turns of one, two and four of them."""
    model_id = create_model(fleet[0], SINGLE)
    calls = [Call("POST", single_rebalance_url(instance, model_id)) for instance in fleet]
    rates: dict[int, list[Turn]] = {number: [] for number in INSTANCES}

    async def measure() -> None:
        async with client_session() as session:
            await storm(session, calls, CLIENTS, seconds)  # warms up
            for turn in range(turns):
                for number in INSTANCES:
                    with progress.status(f"turn {turn + 1} of {turns}: {number} instances"):
                        rates[number].append(await storm(session, calls[:number], CLIENTS, seconds))

    uvloop.run(measure())
    return rates


async def _demand(instance: Stack, size: Size, count: int, seconds: float) -> Demand:
    """Measure one rebalance: its time alone, and its processor time among others.

    Rebalances at the same time share writes and flushes of the journal, as they do at the rates to plan for.
    """
    call = Call("POST", rebalance_url(instance, create_model(instance, size)))
    measured = parts(instance.service.pid)
    async with client_session() as session:
        with progress.status(f"demand of {size}"):
            await timed(session, call)
            elapsed = [(await timed(session, call))[0] for _ in range(count)]
            before = cpu_seconds(measured)
            turn = await storm(session, [call], TOGETHER, seconds)
            after = cpu_seconds(measured)
    used = {part: (after[part] - before[part]) / turn.completed for part in measured}
    return Demand(used[Part.API], used[Part.SOLVERS], used[Part.MONGODB], statistics.median(elapsed))


def _relative(rates: dict[int, list[Turn]], seconds: float) -> Table:
    headings = ("rate, to one instance", "rebalances a second", "failed")
    results = table(f"Single rebalances of {SINGLE.positions} positions, {CLIENTS} clients", "instances", *headings)
    medians = {number: statistics.median(turn.completed for turn in turns) / seconds for number, turns in rates.items()}
    for number, turns in rates.items():
        failed = sum(turn.failed for turn in turns)
        results.add_row(str(number), ratio(medians[number] / medians[1]), f"{medians[number]:,.0f}", str(failed))
    return results


def _plans(size: Size, demand: Demand, database_cores: int) -> Table:
    taken = ", ".join(
        f"{name} {milliseconds(getattr(demand, name))}" for name in ("api", "solver", "mongod", "elapsed")
    )
    headings = ("pods", "each busy", "mongod cores busy", "ms from request to response", "in flight", "saturates first")
    results = table(f"Pods of one core for rebalances of {size} (ms each: {taken})", "a second", *headings)
    for rate in RATES:
        needed = plan(demand, rate, database_cores)
        results.add_row(
            f"{rate:,}",
            f"{needed.pods:,}",
            f"{needed.pod_utilisation:.0%}",
            f"{needed.mongod_cores:.1f}",
            milliseconds(needed.seconds) if math.isfinite(needed.seconds) else NO_END,
            f"{needed.in_flight:,.1f}" if math.isfinite(needed.in_flight) else NO_END,
            needed.saturates_first,
        )
    return results


def _law(database_cores: int) -> str:
    return (
        f"Utilisation law and Little's law; pods busy for {BUSIEST:.0%} at most, mongod on {database_cores} cores. "
        "If mongod would need more, its queue has no end."
    )
