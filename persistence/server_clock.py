"""How far the database's clock is ahead of this process's clock, so that times of several instances can be compared."""

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Final

_SAMPLES: Final = 30


def local_time() -> datetime:
    """Return this process's time, in UTC."""
    return datetime.now(UTC)


class ServerClock:
    """The offset of the database's clock, from the fastest of the last exchanges, which is the most exact."""

    def __init__(self) -> None:
        """Assume that the clocks agree until the first exchange."""
        self._samples: deque[tuple[timedelta, timedelta]] = deque(maxlen=_SAMPLES)

    def observe(self, server_time: datetime, sent_at: datetime, round_trip: timedelta) -> None:
        """Record an exchange: what the database's clock showed in the middle of it."""
        self._samples.append((round_trip, server_time - (sent_at + round_trip / 2)))

    @property
    def offset(self) -> timedelta:
        """What to add to a time of this process to get the database's time."""
        return min(self._samples)[1] if self._samples else timedelta(0)
