"""The one clock: wall time for what is recorded, monotonic time for what must end."""

import time
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo


def now() -> datetime:
    """Return the time in UTC to the millisecond, MongoDB's precision, so that a record reads back unchanged."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def today(timezone: ZoneInfo) -> date:
    """Return today's date in a time zone."""
    return datetime.now(timezone).date()


def deadline_in(seconds: float) -> float:
    """Return the deadline on `time.monotonic()` by which something must have ended."""
    return time.monotonic() + seconds
