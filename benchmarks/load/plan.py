"""What load a profile puts on the service, and when: steps of rebalances a second, and the users that make them."""

from enum import StrEnum
from pathlib import Path

from msgspec import Struct

PACING_SECONDS = 2.0
"""Each user begins one action in this time, so that the number of users sets the rate of arrivals.

A step that lasts a multiple of it has exactly the arrivals it requested, whatever moments the users draw.
"""
WARM_UP_SECONDS = 4
"""Before the first step, at its rate; not judged. By then every user has begun twice."""
RAMP = (1, 2, 4, 8, 16, 8, 4, 2, 1)
"""The steps of a ramp, in multiples of its first."""
ACTIONS_PER_REBALANCE = 8
"""In the mixed profile: actions of all kinds for one rebalance of a portfolio."""
TIMEOUT_SECONDS = 10.0
"""As the suite's portal has it; a call that takes longer has failed."""

HERE = Path(__file__).parent


class Profile(StrEnum):
    """What can be run."""

    FLOW = "flow"
    MIXED = "mixed"
    RAMP = "ramp"
    SEARCH = "search"

    @property
    def locustfile(self) -> Path:
        """The users, and for a ramp its shape; a search repeats the flow."""
        return HERE / f"{Profile.FLOW if self is Profile.SEARCH else self}_users.py"

    def users(self, rate: float) -> int:
        """Return the number of users that make this many rebalances a second."""
        return users(rate * (ACTIONS_PER_REBALANCE if self is Profile.MIXED else 1))


class Step(Struct, frozen=True):
    """A stretch of one rate.

    Attributes:
        rate: rebalances a second.
        begins: when it begins to count, in seconds after the start.
        ends: when it ends.
    """

    rate: float
    begins: float
    ends: float

    @property
    def seconds(self) -> float:
        """Length of the step in seconds."""
        return self.ends - self.begins


def users(rate: float) -> int:
    """Return the number of users that begin this many actions a second."""
    return max(1, round(rate * PACING_SECONDS))


def steps(profile: Profile, rate: float, seconds: float) -> tuple[Step, ...]:
    """Lay out the steps of a profile whose first has this rate and each of which lasts this many seconds."""
    factors = RAMP if profile is Profile.RAMP else (1,)
    return tuple(
        Step(rate * factor, WARM_UP_SECONDS + place * seconds, WARM_UP_SECONDS + (place + 1) * seconds)
        for place, factor in enumerate(factors)
    )
