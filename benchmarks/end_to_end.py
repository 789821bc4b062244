"""The whole service against its floor, end to end: real MongoDB, simulator in its own process, both on this machine.

    ./run bench end_to_end

Service and floor take turns, so that whatever else the machine does meets both; medians are compared. The floor is the
bare handler of `benchmarks.floor`. Processor time is that of all processes, MongoDB and the simulator included.
"""

import click
import uvloop
from msgspec import Struct

from app.commands.stack import Stack
from benchmarks.clients import Call, Cost, compete, take_turns
from benchmarks.models import Size, create_model, rebalance_url, single_rebalance_url
from benchmarks.recorded_floor import running_floor
from benchmarks.stack import benchmark_stack
from benchmarks.tables import MARKDOWN_OPTION, milliseconds, progress, show, table


class Measured(Struct, frozen=True):
    """What the service and the floor take for one call, and how many portfolios or requests a call counts as."""

    what: str
    service: Cost
    floor: Cost
    failures: int
    counts: int = 1


LARGE = {Size(100, 50): 30, Size(100, 10): 30, Size(1000, 50): 5, Size(1000, 10): 5}
"""Rounds of each."""
SINGLE = Size(100, 50)
"""Single rebalances take turns among the portfolios of a model. The service reuses a connection for the balances of
different portfolios only, so that repeating one portfolio would measure the opening of connections."""
SINGLE_ROUNDS = 4


@click.command()
@click.option("--only", default="", help="Measure only the rows whose name contains this text.")
@MARKDOWN_OPTION
def main(*, only: str, markdown: bool) -> None:
    """Compare the service with a bare handler that does only what a rebalance cannot do without.

    Exits with 1 if anything failed.
    """
    work = {f"large request {size}": (large_request, size) for size in LARGE}
    work |= {"single rebalances": (single_rebalances, SINGLE), "model reads": (model_reads, SINGLE)}
    results = table(
        "Service and floor",
        "a second",
        "floor : service",
        "service",
        "floor",
        "ms of CPU of each, service",
        "floor",
        "failures",
    )
    failures = 0
    with benchmark_stack() as stack:
        for name, (measure, size) in work.items():
            if only in name:
                with progress.status(name):
                    result = measure(stack, size)
                service, floor, counts = result.service, result.floor, result.counts
                results.add_row(
                    result.what,
                    f"{service.seconds / floor.seconds:.2f}",
                    f"{counts / service.seconds:,.0f}",
                    f"{counts / floor.seconds:,.0f}",
                    milliseconds(service.cpu / counts),
                    milliseconds(floor.cpu / counts),
                    str(result.failures),
                )
                failures += result.failures
    show(results, markdown=markdown)
    if failures:
        raise SystemExit(1)


def large_request(stack: Stack, size: Size) -> Measured:
    """One client that rebalances the whole model again and again."""
    model_id = create_model(stack, size)
    service = Call("POST", rebalance_url(stack, model_id))
    with running_floor(stack, model_id) as floor_url:
        (ours, floors), failures = uvloop.run(take_turns(LARGE[size], service, Call("POST", f"{floor_url}/rebalance")))
    return Measured(f"portfolios, {size}", ours, floors, failures, size.portfolios)


def single_rebalances(stack: Stack, size: Size) -> Measured:
    """Many clients that rebalance one portfolio at a time, the next of the model each time."""
    model_id = create_model(stack, size)
    service = [Call("POST", single_rebalance_url(stack, model_id, place)) for place in range(size.portfolios)]
    with running_floor(stack, model_id) as floor_url:
        floor = [Call("POST", f"{floor_url}/portfolio/rebalance")]
        (ours, floors), failures = uvloop.run(compete(SINGLE_ROUNDS, service, floor))
    return Measured("single rebalances", ours, floors, failures)


def model_reads(stack: Stack, size: Size) -> Measured:
    """Many clients that read one model again and again."""
    model_id = create_model(stack, size)
    service = Call("GET", f"{stack.service_url}/api/v1/model/{model_id}")
    with running_floor(stack, model_id) as floor_url:
        (ours, floors), failures = uvloop.run(
            compete(SINGLE_ROUNDS, [service], [Call("GET", f"{floor_url}/model/{model_id}")])
        )
    return Measured("model reads", ours, floors, failures)
