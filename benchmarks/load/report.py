"""The report of a run: tables, its failures, and the verdict."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.load.calls import Figures, between, failures, figures
from benchmarks.load.runs import Run
from benchmarks.load.service_level import FAILURES, MEAN_MILLISECONDS, Judged

BUSY = 0.9
"""A Locust that takes more of a core than this measures itself."""
REASONS = 5


def show_kinds(console: Console, run: Run) -> None:
    """Show the figures of every kind of call in the steps."""
    begins, ends = run.steps[0].begins, run.steps[-1].ends
    calls = between(run.calls, begins, ends)
    table = _table("call")
    for kind in dict.fromkeys(call.kind for call in calls):
        _add(table, kind, figures([call for call in calls if call.kind == kind]), ends - begins)
    table.add_section()
    _add(table, "all", figures(calls), ends - begins)
    console.print(table)
    for (kind, reason), count in failures(calls).most_common(REASONS):
        console.print(f"{count} x {kind}: {reason}", style="red", markup=False)


def show_steps(console: Console, judged: Sequence[Judged]) -> None:
    """Show what became of each step: what its rebalances took, and what it broke."""
    table = _table("requested")
    table.add_column("level", no_wrap=True)
    for each in judged:
        _add(
            table,
            f"{each.step.rate:g} rebalances/s",
            each.rebalances,
            each.step.seconds,
            "broken" if each.broken else "held",
        )
    console.print(table)


def show_verdict(console: Console, judged: Sequence[Judged]) -> None:
    """Describe whether the service level held in these steps, and what broke it."""
    limits = (
        f"mean at most {MEAN_MILLISECONDS:.0f} ms of all calls and of the rebalances, at most {FAILURES:.0%} failures"
    )
    broken = [each for each in judged if each.broken]
    verdict = "[red]FAILED[/red]" if broken else "[green]PASSED[/green]"
    console.print(f"{verdict}  {limits}")
    for each in broken:
        console.print(f"        at {each.step.rate:g} rebalances/s: {', '.join(each.broken)}")


def show_generator(console: Console, run: Run) -> None:
    """Describe how busy Locust was, since one that is too busy measures itself."""
    console.print(f"Locust itself took {run.generator_cpu:.2f} of a core.")
    if run.generator_cpu > BUSY:
        console.print("That is too much to measure with: some of these times are Locust's own.", style="yellow")


def _table(what: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(what, no_wrap=True)
    for heading in ("calls", "per s", "failed", "mean ms", "median", "p95", "p99", "longest"):
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _add(table: Table, what: str, of: Figures, seconds: float, *more: str) -> None:
    times = (f"{each:,.1f}" for each in (of.mean, of.median, of.p95, of.p99, of.longest))
    table.add_row(what, f"{of.calls:,}", f"{of.calls / seconds:,.1f}", f"{of.failures:,}", *times, *more)
