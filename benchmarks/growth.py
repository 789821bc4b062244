"""Whether what was sampled over time grows: medians of its quarters, and its slope."""

import statistics
from collections.abc import Sequence

from msgspec import Struct

QUARTERS = 4
HOUR = 3600


class Growth(Struct, frozen=True):
    """Medians of the first, the second and the last quarter of the samples, and the slope for an hour."""

    first: float
    second: float
    last: float
    an_hour: float

    @property
    def since_second(self) -> float:
        """How much the last quarter is above the second, as a share of the second; caches have filled by then."""
        return self.last / self.second - 1 if self.second else float(self.last > 0)


def growth(moments: Sequence[float], values: Sequence[float]) -> Growth:
    """Sum up samples.

    Args:
        moments: seconds, rising.
        values: one for each moment, eight at least.
    """
    quarter = len(values) // QUARTERS
    return Growth(
        first=statistics.median(values[:quarter]),
        second=statistics.median(values[quarter : 2 * quarter]),
        last=statistics.median(values[-quarter:]),
        an_hour=HOUR * statistics.linear_regression(moments, values).slope,
    )
