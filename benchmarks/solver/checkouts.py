"""Compares the solver's processor time with that of another checkout of this repository, portfolio by portfolio.

    git worktree add ../before COMMIT
    ./run bench checkouts --against ../before

Each checkout has a process of its own. They take turns on one core, so that any other load affects both.
"""

import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from msgspec import Struct
from rich.box import MARKDOWN, SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.solver.portfolios import HARD, realistic
from solver import Portfolio

HERE = Path(__file__).parents[2]
FAMILIES = {"realistic": realistic, **HARD}

TURNS = 9
"""The fastest of a checkout's turns counts: the others met more of what else the machine does."""


class Timed(Struct, frozen=True):
    """Processor time of one solve in seconds, the path of the solution, and its objective."""

    seconds: float
    path: str
    objective: str


class Checkout:
    """A process that solves with the solver of a checkout. Close it when done."""

    def __init__(self, folder: Path) -> None:
        """Start the process."""
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("timed.py")), str(folder)],
            env=os.environ | {"PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self._process.pid, {min(os.sched_getaffinity(0))})

    def solve(self, portfolio: Portfolio) -> Timed:
        """Solve a portfolio a few times."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        rows = [
            [one.security_id, *map(str, (one.price, one.quantity, one.target, one.low_drift, one.high_drift))]
            for one in portfolio.securities
        ]
        self._process.stdin.write(json.dumps([str(portfolio.cash), rows]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise click.ClickException("the solver of a checkout ended: its error is above")
        return Timed(*json.loads(line))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@click.command()
@click.option(
    "--against",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the other checkout.",
)
@click.option("--sizes", default="1,2,3,5,8,10", show_default=True, help="Positions, separated by commas.")
@click.option("--count", default=4, show_default=True, help="Portfolios of each family and size.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same portfolios.")
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
def main(*, against: Path, sizes: str, count: int, seed: int, markdown: bool) -> None:
    """Compare the solver's processor time with that of another checkout."""
    if not (against / "solver" / "__init__.py").exists():
        raise click.BadParameter(f"{against} is not a checkout of this repository", param_hint="--against")
    checkouts = [Checkout(HERE), Checkout(against)]
    cells: dict[tuple[str, str, int], list[tuple[Timed, Timed]]] = {}
    numbers = list(map(int, sizes.split(",")))
    cases = [(family, size, number) for family in FAMILIES for size in numbers for number in range(count)]
    try:
        for family, size, number in track(cases, console=Console(stderr=True), description="solved"):
            if family == "one cheap, many dear" and size < 2:
                continue
            portfolio = FAMILIES[family](random.Random(f"{seed} {family} {size} {number}"), size)
            ours, theirs = _fastest(checkouts, portfolio)
            if ours.objective != theirs.objective:
                raise click.ClickException(f"the objectives differ, {ours} and {theirs}, of {portfolio}")
            cells.setdefault((family, ours.path, size), []).append((ours, theirs))
    finally:
        for checkout in checkouts:
            checkout.close()
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(
        _table(cells, numbers, markdown=markdown)
    )


def _fastest(checkouts: Sequence[Checkout], portfolio: Portfolio) -> list[Timed]:
    """Return the fastest of the turns of each checkout."""
    turns: list[list[Timed]] = [[] for _ in checkouts]
    for number in range(TURNS):
        for position in range(len(checkouts)) if number % 2 else reversed(range(len(checkouts))):
            turns[position].append(checkouts[position].solve(portfolio))
    return [min(some, key=lambda timed: timed.seconds) for some in turns]


def _table(
    cells: dict[tuple[str, str, int], list[tuple[Timed, Timed]]], sizes: Sequence[int], *, markdown: bool
) -> Table:
    table = Table(
        title="Processor time in microseconds and as a part of the other checkout's, medians, by family and path",
        box=MARKDOWN if markdown else SIMPLE,
    )
    table.add_column("")
    table.add_column("path")
    for size in sizes:
        table.add_column(str(size), justify="right")
    for family, path in dict.fromkeys((family, path) for family, path, _ in cells):
        table.add_row(family, path, *(_cell(cells.get((family, path, size), [])) for size in sizes))
    return table


def _cell(pairs: Sequence[tuple[Timed, Timed]]) -> str:
    if not pairs:
        return "-"
    ours = statistics.median(one.seconds for one, _ in pairs) * 1e6
    ratio = statistics.median(one.seconds / other.seconds for one, other in pairs)
    return f"{ours:,.0f} ({ratio:.2f})"


if __name__ == "__main__":
    main()
