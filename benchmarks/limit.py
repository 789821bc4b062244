"""How close to its floor the service could come: the floor with what the design adds to it, one step after the other.

    ./run bench limit

The floor reads the balances, inserts the documents and returns the response (`benchmarks.floor`). The steps add the two
calls to the database that concern the model, and the calculation in solver processes, from recorded assignments. What
the service takes beyond both is its own: validation, retries, telemetry, and passing portfolios on.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click
import uvloop
from msgspec import Struct

from app.commands.stack import Stack
from benchmarks.clients import Call, Cost, compete, take_turns
from benchmarks.models import Size, create_model, rebalance_url, single_rebalance_url
from benchmarks.recorded_floor import running_floor
from benchmarks.stack import benchmark_stack
from benchmarks.tables import MARKDOWN_OPTION, milliseconds, progress, show, table

SIZES = {Size(100, 50): 20, Size(100, 10): 20}
"""Rounds of each."""
SINGLE = Size(100, 50)
SINGLE_ROUNDS = 4
STEPS = {
    "the floor": (),
    "and the model read and dated": ("model",),
    "and solver processes": ("model", "solvers"),
}


class Measured(Struct, frozen=True):
    """What each step and then the service take for one portfolio, and the number of failures."""

    costs: list[Cost]
    failures: int


@click.command()
@MARKDOWN_OPTION
def main(*, markdown: bool) -> None:
    """Measure what lies between the floor and the service, step by step.

    Exits with 1 if anything failed.
    """
    failures = 0
    with benchmark_stack() as stack:
        for size in SIZES:
            with progress.status(f"{size}"):
                failures += _show(f"Portfolios of {size}", _large(stack, size), markdown=markdown)
        with progress.status("single rebalances"):
            failures += _show(f"Single rebalances of {SINGLE.positions}", _single(stack), markdown=markdown)
    if failures:
        raise SystemExit(1)


@contextmanager
def _floors(stack: Stack, model_id: str) -> Iterator[list[str]]:
    """Run a floor for each step; yields their URLs."""
    with ExitStack() as running:
        yield [
            running.enter_context(running_floor(stack, model_id, additions=additions)) for additions in STEPS.values()
        ]


def _large(stack: Stack, size: Size) -> Measured:
    model_id = create_model(stack, size)
    service = Call("POST", rebalance_url(stack, model_id))
    with _floors(stack, model_id) as urls:
        calls = [Call("POST", f"{url}/rebalance") for url in urls]
        costs, failures = uvloop.run(take_turns(SIZES[size], *calls, service))
    each = [Cost(cost.seconds / size.portfolios, cost.cpu / size.portfolios) for cost in costs]
    return Measured(each, failures)


def _single(stack: Stack) -> Measured:
    model_id = create_model(stack, SINGLE)
    service = [Call("POST", single_rebalance_url(stack, model_id, place)) for place in range(SINGLE.portfolios)]
    with _floors(stack, model_id) as urls:
        floors = [[Call("POST", f"{url}/portfolio/rebalance")] for url in urls]
        costs, failures = uvloop.run(compete(SINGLE_ROUNDS, *floors, service))
    return Measured(costs, failures)


def _show(title: str, measured: Measured, *, markdown: bool) -> int:
    floor, *_ = measured.costs
    results = table(title, "what", "ms of CPU", "ms by the clock", "CPU, to the floor", "clock, to the floor")
    for what, cost in zip((*STEPS, "the service"), measured.costs, strict=True):
        results.add_row(
            what,
            milliseconds(cost.cpu),
            milliseconds(cost.seconds),
            f"{cost.cpu / floor.cpu:.2f} x",
            f"{cost.seconds / floor.seconds:.2f} x",
        )
    show(results, markdown=markdown)
    return measured.failures
