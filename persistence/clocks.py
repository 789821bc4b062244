"""Times from other clocks, trusted only as far as they can be true.

Instances of the service have clocks of their own, which can be wrong. A stored time that lies in the future was written
by a clock that was ahead.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""The largest difference between two clocks that is taken for normal."""


async def server_time(database: AsyncDatabase[Any]) -> datetime:
    """Return the earlier of this process's time and the server's: a clock that is ahead makes nothing look old."""
    hello = await database.command("hello", codec_options=database.codec_options)
    local: datetime = hello["localTime"]
    return min(local, datetime.now(UTC))


def is_possible(moment: datetime) -> bool:
    """Return whether a time in the past can be meant: it does not lie in the future by this process's clock."""
    return moment <= datetime.now(UTC) + CLOCK_TOLERANCE
