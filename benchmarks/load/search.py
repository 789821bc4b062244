"""The highest rate that keeps the service level: steps up until one breaks it, then between the two."""

from collections.abc import Callable, Iterator

from benchmarks.load.service_level import Judged

CLOSE_ENOUGH = 1.1
"""The search ends where the lowest rate that broke is within so much of the highest that held."""


def search(measure: Callable[[float], Judged], first: float) -> Iterator[Judged]:
    """Measure one rate after the other, each judged as it comes: doubling until one breaks twice, then halving the gap.

    Ends without a rate that held if the first does not.
    """
    held, broken, rate = 0.0, 0.0, first
    while not broken or (held and broken / held > CLOSE_ENOUGH):
        judged = measure(rate)
        yield judged
        if judged.broken:
            # A second look, since a machine that was busy with something else for a moment says nothing about the rate.
            judged = measure(rate)
            yield judged
        if judged.broken:
            broken = rate
        else:
            held = rate
        rate = (held + broken) / 2 if broken else 2 * held
