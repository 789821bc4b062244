"""The picture of a ramp: how long rebalances took, and what was requested and done, over time."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter
from msgspec import Struct

from benchmarks.load.calls import Call, Figures, between, figures
from benchmarks.load.runs import Run
from benchmarks.load.service_level import MEAN_MILLISECONDS, REBALANCE

WINDOWS_PER_STEP = 4
SHORTEST_WINDOW = 2.0
STYLE: Any = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
}
ABOVE: Any = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2, "ncols": 5}
"""A legend where no curve runs through it."""
CURVES: tuple[tuple[str, str, Callable[[Figures], float]], ...] = (
    ("99th percentile", "#d55e00", lambda each: each.p99),
    ("95th percentile", "#e69f00", lambda each: each.p95),
    ("mean", "#333333", lambda each: each.mean),
    ("median", "#0072b2", lambda each: each.median),
)


class Window(Struct, frozen=True):
    """The calls that began in a stretch of time, around its middle in seconds."""

    middle: float
    calls: list[Call]


def draw_ramp(run: Run, path: Path) -> None:
    """Draw the steps of a run, without its warm-up, as a PNG."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 8), dpi=130, layout="constrained")
        latency, throughput = figure.subplots(2, sharex=True, height_ratios=(3, 2))
        length = max(SHORTEST_WINDOW, run.steps[0].seconds / WINDOWS_PER_STEP)
        windows = _windows(run, length)
        _draw_latency(latency, windows)
        _draw_throughput(throughput, run, windows, length)
        begins, ends = run.steps[0].begins, run.steps[-1].ends
        throughput.set_xlim(begins, ends)
        throughput.set_xlabel(f"seconds since the start of the run; each point sums up {length:g} s")
        figure.suptitle("A ramp of the load generator's flow: rebalances of 3 portfolios x 10 positions", fontsize=14)
        figure.savefig(path)


def _windows(run: Run, length: float) -> list[Window]:
    begins, ends = run.steps[0].begins, run.steps[-1].ends
    edges = [begins + place * length for place in range(math.ceil((ends - begins) / length))]
    return [Window(edge + length / 2, between(run.calls, edge, edge + length)) for edge in edges]


def _draw_latency(axes: Axes, windows: list[Window]) -> None:
    summed = [
        (window.middle, figures(rebalances))
        for window in windows
        if (rebalances := [call for call in window.calls if call.kind == REBALANCE])
    ]
    middles = [middle for middle, _ in summed]
    for label, colour, figure in CURVES:
        values = [figure(each) for _, each in summed]
        axes.plot(middles, values, label=label, color=colour, marker="o", markersize=3.5)
    axes.axhline(MEAN_MILLISECONDS, color="#555555", linestyle="--", linewidth=1.2, label="limit of the mean")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("time of a rebalance, ms (log scale)")
    axes.legend(**ABOVE)


def _draw_throughput(axes: Axes, run: Run, windows: list[Window], length: float) -> None:
    axes.stairs(
        [step.rate for step in run.steps],
        [run.steps[0].begins, *(step.ends for step in run.steps)],
        label="requested",
        color="#999999",
        linewidth=6,
        alpha=0.5,
        baseline=None,
    )
    middles = [window.middle for window in windows]
    begun = [sum(call.kind == REBALANCE for call in window.calls) / length for window in windows]
    failed = [sum(call.failure is not None for call in window.calls) / length for window in windows]
    axes.plot(middles, begun, label="rebalances", color="#009e73", marker="o", markersize=3.5)
    axes.plot(middles, failed, label="failed calls of every kind", color="#cc3311", linewidth=1.5)
    axes.set_ylabel("calls begun a second")
    axes.set_ylim(bottom=0)
    axes.legend(**ABOVE)
