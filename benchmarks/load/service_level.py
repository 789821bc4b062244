"""The suite's service level, and whether calls kept it."""

from collections.abc import Sequence

from msgspec import Struct

from benchmarks.load.calls import Call, Figures, between, figures
from benchmarks.load.plan import Step

MEAN_MILLISECONDS = 100.0
FAILURES = 0.01
REBALANCES_A_SECOND = 2.5
ARRIVED = 0.9
"""A step whose rebalances were fewer than this share of what it requested says nothing about its rate."""
REBALANCE = "rebalance"
"""The kind of call that rates are counted in, and which cheap reads must not hide."""


class Judged(Struct, frozen=True):
    """A step, its figures, and what of the service level it broke.

    Attributes:
        step: what was requested.
        all_calls: of every kind.
        rebalances: of the rebalances alone.
        broken: one phrase each; empty where the level held.
    """

    step: Step
    all_calls: Figures
    rebalances: Figures
    broken: list[str]

    @property
    def rate(self) -> float:
        """Rebalances begun a second."""
        return self.rebalances.calls / self.step.seconds


def judge(step: Step, calls: Sequence[Call]) -> Judged:
    """Judge the calls that began in a step."""
    within = between(calls, step.begins, step.ends)
    everything = figures(within)
    rebalances = figures([call for call in within if call.kind == REBALANCE])
    broken = [
        f"mean of {what} {each.mean:.0f} ms"
        for what, each in (("all calls", everything), ("rebalances", rebalances))
        if each.mean > MEAN_MILLISECONDS
    ]
    if everything.failures > FAILURES * everything.calls:
        broken.append(f"{everything.failures / everything.calls:.1%} failed")
    judged = Judged(step, everything, rebalances, broken)
    if judged.rate < ARRIVED * step.rate:
        broken.append(f"only {judged.rate:.1f} of {step.rate:g} rebalances a second")
    return judged
