"""Medians and tails of measured times."""

import statistics
from collections.abc import Sequence

from msgspec import Struct

PERCENT = 100


class Latencies(Struct, frozen=True):
    """Of one kind of call: median, 99th percentile and longest in seconds, and how many were returned and failed."""

    median: float
    p99: float
    longest: float
    completed: int
    failed: int


def latencies(seconds: Sequence[float], failed: int = 0) -> Latencies:
    """Sum up the seconds of the calls that were returned, one at least."""
    return Latencies(statistics.median(seconds), percentile(seconds, 99), max(seconds), len(seconds), failed)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that at least this percentage of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // PERCENT) - 1)]
