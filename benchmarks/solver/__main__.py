"""Compares the solver with the other ways to rebalance in whole shares, one core each, and prints what came of it.

    ./run bench solver

The methods take turns on every portfolio, so that whatever else the machine does meets them all; each is measured in
multiples of `auto` on the same portfolio.
"""

import random
import statistics
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import closing

import click
from msgspec import Struct
from rich.box import MARKDOWN, SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.solver import limits, rules
from benchmarks.solver.methods import METHODS
from benchmarks.solver.portfolios import HARD, realistic
from benchmarks.solver.results import Result, Verdict, judge
from benchmarks.solver.workshop import Workshop
from solver import Portfolio

SIZES = (10, 50, 100)
REALISTIC = "realistic"
OURS, LITERAL, VECTORISED = "auto", "CVXPY, row by row", "CVXPY, vectorised"


class Run(Struct, frozen=True):
    """What all methods made of one portfolio."""

    family: str
    size: int
    responses: dict[str, Result]
    verdicts: dict[str, Verdict]

    def ratio(self, method: str) -> float:
        """Return its time in multiples of ours."""
        return self.responses[method].seconds / self.responses[OURS].seconds


@click.command()
@click.option(
    "--realistic", "realistic_count", default=10, show_default=True, help="Realistic portfolios of each size."
)
@click.option("--hard", "hard_count", default=2, show_default=True, help="Portfolios of each size and hard family.")
@click.option("--limit", default=2.0, show_default=True, help="Seconds that every method has for a portfolio.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same portfolios.")
@click.option("--markdown", is_flag=True, help="Print the tables as Markdown.")
@click.option(
    "--binding",
    default=0,
    help="Solve only this many portfolios whose cash binds, by BUY_ONLY alone and with minimumTradeValue.",
)
def main(*, realistic_count: int, hard_count: int, limit: float, seed: int, markdown: bool, binding: int) -> None:
    """Compare the solver with other ways to rebalance in whole shares."""
    if binding:
        console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
        console.print(limits.table(max(SIZES), binding, limit, seed))
        return
    families = {REALISTIC: (realistic, realistic_count)} | {name: (make, hard_count) for name, make in HARD.items()}
    cases = [
        (family, size, make(random.Random(zlib.crc32(f"{seed} {family} {size} {number}".encode())), size))
        for family, (make, count) in families.items()
        for size in SIZES
        for number in range(count)
    ]
    with closing(Workshop()) as workshop:
        for method in METHODS:
            workshop.run(method, cases[0][2], 10)
        runs = [
            _run(workshop, family, size, portfolio, limit)
            for family, size, portfolio in track(cases, console=Console(stderr=True), description="portfolios")
        ]
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    ruled = rules.table(SIZES, realistic_count, limit, seed)
    for table in (_times(runs), _responses(runs, limit), _families(runs), ruled):
        if markdown:
            console.print(f"\n{table.title}:")
            table.title, table.box = None, MARKDOWN
        console.print(table)
    console.print(_rate(runs))


def _run(workshop: Workshop, family: str, size: int, portfolio: Portfolio, limit: float) -> Run:
    responses = {method: workshop.run(method, portfolio, limit) for method in METHODS}
    return Run(family, size, responses, judge(portfolio, responses))


def _times(runs: Sequence[Run]) -> Table:
    table = Table(
        title=f"Time per portfolio, median: {OURS} in milliseconds, the others in multiples of it", box=SIMPLE
    )
    table.add_column("")
    columns = []
    for title, hard in (("realistic", False), ("hard", True)):
        for size in SIZES:
            table.add_column(f"{title}, {size}", justify="right")
            columns.append([run for run in runs if run.size == size and (run.family != REALISTIC) is hard])
    table.add_row(OURS, *(_milliseconds(some) for some in columns))
    for method in METHODS:
        if method != OURS:
            table.add_row(method, *(_multiple(some, method) for some in columns))
    return table


def _responses(runs: Sequence[Run], limit: float) -> Table:
    table = Table(title=f"Outcomes, of {len(runs)} portfolios, limit {limit:g} s for each", box=SIMPLE)
    table.add_column("")
    for verdict in Verdict:
        table.add_column(verdict, justify="right")
    for method in METHODS:
        counts = Counter(run.verdicts[method] for run in runs)
        table.add_row(
            method, *(f"{counts[verdict] / len(runs):.1%}" if counts[verdict] else "-" for verdict in Verdict)
        )
    return table


def _families(runs: Sequence[Run]) -> Table:
    table = Table(
        box=SIMPLE,
        title=f"By family, median: {OURS} in milliseconds, then CVXPY row by row and vectorised in multiples of it",
    )
    table.add_column("")
    for size in SIZES:
        for title in (f"{OURS}, {size}", "row by row", "vectorised"):
            table.add_column(title, justify="right")
    for family in (REALISTIC, *HARD):
        cells = []
        for size in SIZES:
            some = [run for run in runs if (run.family, run.size) == (family, size)]
            cells += [_milliseconds(some), _multiple(some, LITERAL), _multiple(some, VECTORISED)]
        table.add_row(family, *cells)
    return table


def _rate(runs: Sequence[Run]) -> str:
    some = [run for run in runs if run.family == REALISTIC and run.size == max(SIZES)]
    seconds = {method: sum(run.responses[method].seconds for run in some) for method in (OURS, LITERAL, VECTORISED)}
    return (
        f"{max(SIZES)} realistic positions: {len(some) / seconds[OURS]:,.0f} portfolios a second on one core, "
        f"{seconds[LITERAL] / seconds[OURS]:,.0f} times the rate of {LITERAL}, "
        f"{seconds[VECTORISED] / seconds[OURS]:,.0f} times that of {VECTORISED}."
    )


def _milliseconds(runs: Sequence[Run]) -> str:
    return f"{statistics.median(run.responses[OURS].seconds for run in runs) * 1e3:.2f} ms"


def _multiple(runs: Sequence[Run], method: str) -> str:
    ratio = statistics.median(run.ratio(method) for run in runs)
    return f"{ratio:,.0f} x" if ratio >= 10 else f"{ratio:.1f} x"


if __name__ == "__main__":
    main()
