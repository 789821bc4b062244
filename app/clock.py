"""The one clock: wall time for what is recorded, monotonic time for what must end."""

import time
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo


def now() -> datetime:
    """Give the time in UTC, to the millisecond, which is what MongoDB keeps: a record reads back as it was answered."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def today(timezone: ZoneInfo) -> date:
    """Give the day it is in a time zone."""
    return datetime.now(timezone).date()


def deadline_in(seconds: float) -> float:
    """Give the moment on `time.monotonic()` by which something must have ended."""
    return time.monotonic() + seconds
