"""What a pod carries: portfolios a second and memory, by the number of its solver processes.

    ./run bench sizing

Everything shares this machine's cores, the client, MongoDB and the simulator included.
"""

import statistics
import tempfile
import time
from pathlib import Path

import click
import httpx
import psutil
from msgspec import Struct
from rich import box
from rich.console import Console
from rich.table import Table

from app.commands.stack import Stack, running_stack
from benchmarks.models import create_model

PROCESSES = (1, 2, 4)
PORTFOLIOS, POSITIONS = 100, 50
ROUNDS = 20
MEBIBYTE = 2**20


class Size(Struct, frozen=True):
    """Proportional memory of server, worker and solver processes in MiB, and portfolios a second in one request."""

    at_rest: float
    at_work: float
    portfolios_a_second: float


@click.command()
def main() -> None:
    """Measure and print the table."""
    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("solver processes", "portfolios a second", "MiB at rest", "MiB after work"):
        table.add_column(heading, justify="right")
    for processes in PROCESSES:
        with console.status(f"{processes} solver processes"):
            size = _measure(processes)
        row = (f"{size.portfolios_a_second:.0f}", f"{size.at_rest:.0f}", f"{size.at_work:.0f}")
        table.add_row(str(processes), *row)
    console.print(table)


def _measure(processes: int) -> Size:
    settings = {"SOLVER_PROCESSES": str(processes), "LOG_LEVEL": "WARNING"}
    with (
        tempfile.TemporaryDirectory() as directory,
        running_stack(log=Path(directory) / "log", settings=settings) as stack,
    ):
        at_rest = _memory(stack)
        url = f"{stack.service_url}/api/v1/model/{create_model(stack, PORTFOLIOS, POSITIONS)}/rebalance"
        seconds = []
        with httpx.Client(timeout=120) as client:
            for _ in range(ROUNDS):
                started = time.perf_counter()
                client.post(url).raise_for_status()
                seconds.append(time.perf_counter() - started)
        return Size(at_rest, _memory(stack), PORTFOLIOS / statistics.median(seconds))


def _memory(stack: Stack) -> float:
    server = psutil.Process(stack.service.pid)
    total: int = sum(process.memory_full_info().pss for process in (server, *server.children(recursive=True)))
    return total / MEBIBYTE


if __name__ == "__main__":
    main()
