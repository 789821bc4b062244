"""The sweep's search for portfolios without a header: it finds all there are, and does not look twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from persistence import Database, DatabaseUnavailable, open_database
from persistence.codec import Document
from tests.harness.databases import READY_SECONDS, open_patiently
from tests.harness.proxy import Proxy
from tests.persistence.conftest import on_one_server
from tests.persistence.examples import id_made, leave_orphan, portfolio_owners, portfolios_of, rebalance, store
from tests.persistence.pod import Pod, sweep

pytestmark = on_one_server

LEASE = timedelta(seconds=60)


class Searches(CommandListener):
    """Counts the searches of a process that sweeps."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: CommandStartedEvent) -> None:
        self.count += event.command_name == "aggregate"

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Counts for nothing."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Counts for nothing."""


@pytest.fixture
def long_ago() -> datetime:
    """Half a year, in which nothing was swept."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(days=180)


@asynccontextmanager
async def _listened_to(server_url: str, database_name: str) -> AsyncIterator[tuple[Database, Searches]]:
    """The database in which the sweep of the start is over, and what it searches from now on."""
    searches = Searches()
    async with open_patiently(server_url, database_name, listeners=[searches]) as opened:
        await opened.sweep()
        searches.count = 0
        yield opened, searches


async def _swept_until(stored: AsyncDatabase[Document], moment: datetime) -> None:
    await stored["sweeps"].update_one({"_id": "rebalances"}, {"$set": {"until": moment}}, upsert=True)


async def _until(stored: AsyncDatabase[Document]) -> datetime:
    document = await stored["sweeps"].find_one({"_id": "rebalances"})
    assert document
    until: datetime = document["until"]
    return until


async def test_orphans_among_stored_rebalances_are_all_removed_step_by_step(
    server_url: str, database_name: str, database: Database, stored: AsyncDatabase[Document], long_ago: datetime
) -> None:
    """50,000 portfolios are more than one search looks at, and one rebalance may begin in one and end in the next."""
    made = sorted(id_made(timedelta(seconds=120 - number)) for number in range(50))
    kept = set(made[1::2])
    async with _listened_to(server_url, database_name) as (sweeping, searches):
        await stored["rebalances"].insert_many([{"_id": rebalance_id, "visible": True} for rebalance_id in kept])
        for rebalance_id in made:
            await leave_orphan(stored, rebalance_id, 1000)
        await _swept_until(stored, long_ago)
        await sweeping.rebalances.sweep(LEASE)
    assert searches.count == 3
    assert await portfolio_owners(stored) == kept
    assert await stored["rebalances"].count_documents({"_id.rebalanceId": {"$exists": True}}) == 25 * 1000


async def test_a_time_without_rebalances_is_passed_in_one_step(
    server_url: str, database_name: str, database: Database, stored: AsyncDatabase[Document], long_ago: datetime
) -> None:
    """A sweep over a long pause costs one search."""
    async with _listened_to(server_url, database_name) as (sweeping, searches):
        await leave_orphan(stored, id_made(timedelta(seconds=70)), 3)
        await _swept_until(stored, long_ago)
        await sweeping.rebalances.sweep(LEASE)
    assert searches.count == 1
    assert await portfolio_owners(stored) == set()
    assert datetime.now(UTC) - LEASE - await _until(stored) < timedelta(seconds=10)


async def test_what_was_looked_at_is_looked_at_once_more_and_not_again(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """Once more for the sake of a server whose clock is behind: its rebalances seem to be older than they are."""
    until = datetime.now(UTC) - LEASE
    behind, outside = [
        ObjectId(ObjectId.from_datetime(until - ago).binary[:4] + ObjectId().binary[4:])
        for ago in (LEASE / 3, 2 * LEASE)
    ]
    await _swept_until(stored, until)
    for rebalance_id in (behind, outside):
        await leave_orphan(stored, rebalance_id, 2)
    await database.rebalances.sweep(LEASE)
    assert await portfolio_owners(stored) == {outside}


async def test_a_sweep_does_not_move_the_mark_of_a_faster_one_back(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """The later of two times is kept."""
    ahead = datetime.now(UTC).replace(microsecond=0)
    await _swept_until(stored, ahead)
    await database.rebalances.sweep(LEASE)
    assert await _until(stored) == ahead


async def test_a_sweep_that_breaks_off_leaves_the_rest_to_the_next(
    server_url: str, database: Database, database_name: str, stored: AsyncDatabase[Document], long_ago: datetime
) -> None:
    """The next sweep removes the remaining orphans."""
    await _swept_until(stored, long_ago)
    orphans = {id_made(timedelta(seconds=70)) for _ in range(5)}
    for rebalance_id in orphans:
        await leave_orphan(stored, rebalance_id, 3)
    async with Proxy.to(server_url) as proxy, open_database(proxy.url, database_name) as breaking:
        await breaking.ping(READY_SECONDS)
        proxy.before_write = lambda number: number >= 5
        with pytest.raises(DatabaseUnavailable):
            await breaking.rebalances.sweep(LEASE)
    assert len(await portfolio_owners(stored)) == 3
    await database.rebalances.sweep(LEASE)
    assert await portfolio_owners(stored) == set()


async def test_two_processes_sweep_at_once(
    server_url: str, database: Database, database_name: str, stored: AsyncDatabase[Document]
) -> None:
    """Nothing that is stored goes, and nothing that was left stays."""
    kept = [await store(database, rebalance(3, made=timedelta(seconds=70))) for _ in range(20)]
    for _ in range(50):
        await leave_orphan(stored, id_made(timedelta(seconds=70)), 3)
    seconds = str(LEASE.total_seconds())
    async with (
        Pod.start(sweep, server_url, database_name, seconds) as one,
        Pod.start(sweep, server_url, database_name, seconds) as other,
    ):
        await asyncio.gather(one.opened(), other.opened())
        await asyncio.gather(one.go(), other.go())
        assert one.process.returncode == other.process.returncode == 0
    assert await portfolio_owners(stored) == {header.id for header in kept}
    for header in kept:
        assert len(await portfolios_of(database, header)) == 3
