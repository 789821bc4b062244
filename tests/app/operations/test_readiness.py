"""The readiness check against a real database, while this process's event loop is busy."""

import asyncio
import time

import pytest
import structlog

from app.operations.readiness import CHECK_SECONDS, Readiness
from persistence import Database

SHORT_CHECK_SECONDS = 0.25
"""In place of the longest that a check may take, for a test of several checks."""


class _ReadyPool:
    """A pool with a solver process; the check of the database does not use it."""

    ready = True


async def ready(database: Database) -> Readiness:
    """Return a readiness whose last check found the database usable: its indexes are built in the background."""
    readiness = Readiness(database, _ReadyPool(), None)  # type: ignore[arg-type]  # only `ready` is read
    async with asyncio.timeout(60):
        while not readiness.state().database:
            await readiness.check()
    return readiness


async def test_a_busy_event_loop_is_not_an_outage_of_the_database(database: Database) -> None:
    """A reply that is read too late, because a burst of requests held the loop, does not make the service unready."""
    readiness = await ready(database)

    async def hold_the_loop() -> None:
        time.sleep(1.5 * CHECK_SECONDS)  # noqa: ASYNC251 - the delay under test

    with structlog.testing.capture_logs() as logs:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(readiness.check())
            tasks.create_task(hold_the_loop())
    assert readiness.state().database
    assert logs == []


async def test_a_loop_that_stays_busy_cannot_hide_an_outage(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a bounded number of checks without a conclusion, the next check counts."""
    readiness = await ready(database)
    monkeypatch.setattr("app.operations.readiness.CHECK_SECONDS", SHORT_CHECK_SECONDS)

    async def hold_the_loop_again_and_again() -> None:
        while True:
            await asyncio.sleep(0)
            time.sleep(1.2 * SHORT_CHECK_SECONDS)  # noqa: ASYNC251 - the delay under test

    busy = asyncio.create_task(hold_the_loop_again_and_again())
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(60):
            await readiness.check()
    finally:
        busy.cancel()
    assert readiness.state().database_fault == "no response in time"
