"""What a pod carries: portfolios a second and memory, by the number of its solver processes.

    ./run bench sizing

Everything shares this machine's cores, the client, MongoDB and the simulator included.
"""

import click
import uvloop
from msgspec import Struct

from benchmarks.clients import Call, take_turns
from benchmarks.models import Size, create_model, rebalance_url
from benchmarks.processes import proportional_memory, service_processes
from benchmarks.stack import benchmark_stack
from benchmarks.tables import MARKDOWN_OPTION, progress, show, table

PROCESSES = (1, 2, 4)
SIZE = Size(100, 50)
ROUNDS = 20


class Pod(Struct, frozen=True):
    """Proportional memory of server, worker and solver processes in MiB, and portfolios a second in one request."""

    at_rest: float
    at_work: float
    portfolios_a_second: float


@click.command()
@MARKDOWN_OPTION
def main(*, markdown: bool) -> None:
    """Measure a pod with one, two and four solver processes."""
    headings = ("portfolios a second", "MiB at rest", "MiB after work")
    results = table(f"A pod that rebalances {SIZE}", "solver processes", *headings)
    for processes in PROCESSES:
        pod = _measure(processes)
        results.add_row(str(processes), f"{pod.portfolios_a_second:,.0f}", f"{pod.at_rest:.0f}", f"{pod.at_work:.0f}")
    show(results, markdown=markdown)


def _measure(processes: int) -> Pod:
    with benchmark_stack({"SOLVER_PROCESSES": str(processes)}) as stack:
        at_rest = proportional_memory(service_processes(stack.service.pid))
        call = Call("POST", rebalance_url(stack, create_model(stack, SIZE)))
        with progress.status(f"{processes} solver processes"):
            (cost,), _ = uvloop.run(take_turns(ROUNDS, call))
        at_work = proportional_memory(service_processes(stack.service.pid))
        return Pod(at_rest, at_work, SIZE.portfolios / cost.seconds)
