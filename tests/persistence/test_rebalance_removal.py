"""Rebalances that are deleted, given up, or left behind by a crash: nothing of them stays, and nothing else goes."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from persistence import (
    Database,
    DatabaseUnavailable,
    RebalanceNotFound,
    StorageLost,
    VersionConflict,
    open_database,
    record_of,
)
from persistence.codec import Document
from tests.harness.databases import READY_SECONDS
from tests.harness.proxy import Proxy
from tests.persistence.conftest import on_one_server
from tests.persistence.examples import (
    id_made,
    leave_orphan,
    portfolio,
    portfolio_owners,
    portfolios_of,
    rebalance,
    security,
    store,
)
from tests.persistence.pod import PORTFOLIOS, Pod, life_of_a_rebalance

OLD = timedelta(seconds=70)
LEASE = timedelta(seconds=60)
NO_LEASE = timedelta(0)


async def _headers(stored: AsyncDatabase[Document]) -> list[ObjectId]:
    """The rebalances that have a header, visible or not."""
    found = stored["rebalances"].find({"modelName": {"$exists": True}}, sort=[("_id", 1)])
    return [document["_id"] async for document in found]


async def test_a_rebalance_that_is_given_up_leaves_nothing_but_a_mark(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """Its portfolios are removed, and the mark prevents late writes."""
    header = rebalance(450)
    added = asyncio.Event()

    async def store_for_ever() -> None:
        async with database.rebalances.storing(header.id) as storage:
            for place in range(450):
                await storage.add(record_of(portfolio(header.id, place)))
            added.set()
            await asyncio.Event().wait()

    storing = asyncio.create_task(store_for_ever())
    await added.wait()
    storing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await storing
    [mark] = await stored["rebalances"].find().to_list()
    assert mark.keys() == {"_id", "abandonedAt"}
    assert mark["_id"] == header.id


async def test_a_rebalance_that_is_given_up_before_anything_was_inserted_costs_no_write(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """Nothing is stored, and no mark either."""
    header = rebalance(2)

    async def give_up() -> None:
        async with database.rebalances.storing(header.id) as storage:
            await storage.add(record_of(portfolio(header.id, 0)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await give_up()
    assert await stored["rebalances"].count_documents({}) == 0


async def test_a_caller_that_gives_up_during_the_last_insert_leaves_all_or_nothing(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """Each rebalance is whole or absent, whatever the moment."""
    undisturbed = await store(database, rebalance(3))
    for milliseconds in range(20):
        with suppress(TimeoutError):
            async with asyncio.timeout(milliseconds / 2000):
                await store(database, rebalance(3))
    whole = await database.rebalances.page(limit=100)
    assert undisturbed.id in {header.id for header in whole}
    assert await portfolio_owners(stored) == {header.id for header in whole}
    for header in whole:
        assert len(await portfolios_of(database, header)) == 3


async def test_deleting_removes_all_of_it_if_the_version_is_right(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """Another version raises the conflict, and other rebalances stay."""
    kept, deleted = [await store(database, rebalance(3)) for _ in range(2)]
    with pytest.raises(VersionConflict) as conflict:
        await database.rebalances.delete(deleted.id, 2)
    assert conflict.value.current == 1
    await database.rebalances.delete(deleted.id, 1)
    with pytest.raises(RebalanceNotFound):
        await database.rebalances.delete(deleted.id, 1)
    assert await database.rebalances.page(limit=10) == [kept]
    assert await stored["rebalances"].count_documents({}) == 1 + 3
    assert await portfolio_owners(stored) == {kept.id}


async def test_a_reader_is_told_when_what_it_reads_is_deleted(database: Database) -> None:
    """The reader gets RebalanceNotFound instead of a shortened list."""
    header = await store(database, rebalance(100))
    reading = database.rebalances.portfolios(header)
    assert (await anext(reading)).place == 0
    await database.rebalances.delete(header.id, 1)
    with pytest.raises(RebalanceNotFound):
        [each async for each in reading]


async def test_the_sweep_leaves_what_is_stored_and_what_is_younger_than_the_lease(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """Also where the younger one has no header yet, as another process is storing it."""
    old = await store(database, rebalance(3, made=OLD))
    header = rebalance(300)
    async with database.rebalances.storing(header.id) as storage:
        for place in range(300):
            await storage.add(record_of(portfolio(header.id, place)))
        await database.rebalances.sweep(LEASE)
        await storage.finish(header)
    await database.rebalances.sweep(NO_LEASE)
    assert len(await portfolios_of(database, old)) == 3
    assert len(await portfolios_of(database, header)) == 300
    assert await stored["rebalances"].count_documents({}) == 305


async def test_a_writer_that_was_taken_for_dead_cannot_finish(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """Neither does what it adds after the sweep stay behind."""
    header = rebalance(450, made=OLD)

    async def store_slowly() -> None:
        async with database.rebalances.storing(header.id) as storage:
            for place in range(450):
                await storage.add(record_of(portfolio(header.id, place)))
                if place == 300:
                    await database.rebalances.sweep(LEASE)
            await storage.finish(header)

    with pytest.raises(StorageLost):
        await store_slowly()
    assert await portfolio_owners(stored) == set()
    assert await _headers(stored) == []


async def test_what_a_writer_inserts_after_it_was_taken_for_dead_is_removed_if_it_then_dies(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """However old its rebalance is by then."""
    rebalance_id = ObjectId()
    await database.rebalances.abandon(rebalance_id)
    await database.rebalances.sweep(NO_LEASE)
    await leave_orphan(stored, rebalance_id, 3)
    await database.rebalances.sweep(LEASE)
    assert await portfolio_owners(stored) == set()


@on_one_server
async def test_a_writer_cannot_finish_what_another_process_has_begun_to_remove(
    server_url: str, database: Database, database_name: str, stored: AsyncDatabase[Document]
) -> None:
    """Even if that process died before it removed anything."""
    header = rebalance(300)

    async def store_slowly() -> None:
        async with database.rebalances.storing(header.id) as storage:
            for place in range(300):
                await storage.add(record_of(portfolio(header.id, place)))
            await _abandon_and_die(server_url, database_name, header.id)
            await storage.finish(header)

    with pytest.raises(StorageLost):
        await store_slowly()
    assert await _headers(stored) == []
    assert await portfolio_owners(stored) == set()


@on_one_server
async def test_what_a_dead_process_had_begun_to_remove_the_next_sweep_removes(
    server_url: str, database: Database, database_name: str, stored: AsyncDatabase[Document]
) -> None:
    """No portfolio of an abandoned rebalance remains."""
    rebalance_id = id_made(OLD)
    await leave_orphan(stored, rebalance_id, 3)
    await _abandon_and_die(server_url, database_name, rebalance_id)
    assert await portfolio_owners(stored) == {rebalance_id}
    await database.rebalances.sweep(LEASE)
    assert await portfolio_owners(stored) == set()


@pytest.mark.parametrize("portfolios", [1, 199], ids=["one that is inserted with others", "one inserted alone"])
async def test_a_rebalance_abandoned_before_it_began_cannot_be_stored(
    database: Database, stored: AsyncDatabase[Document], portfolios: int
) -> None:
    """A late writer gets StorageLost, and leaves nothing."""
    header = rebalance(portfolios)
    await database.rebalances.abandon(header.id)
    with pytest.raises(StorageLost):
        await store(database, header)
    assert await portfolio_owners(stored) == set()


async def test_of_rebalances_stored_at_once_only_the_abandoned_ones_are_lost(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """They share an insert, which the server gives up at the first header that it refuses."""
    some = [rebalance(3) for _ in range(12)]
    lost = [some[number] for number in (4, 5, 11)]
    for header in lost:
        await database.rebalances.abandon(header.id)
    outcomes = await asyncio.gather(*(store(database, header) for header in some), return_exceptions=True)
    for header, outcome in zip(some, outcomes, strict=True):
        if header in lost:
            assert isinstance(outcome, StorageLost)
            assert outcome.rebalance_id == header.id
        else:
            assert outcome == header
            assert len(await portfolios_of(database, header)) == 3
    kept = [header.id for header in some if header not in lost]
    assert await _headers(stored) == kept
    assert await portfolio_owners(stored) == set(kept)


async def test_a_rebalance_that_is_stored_or_being_deleted_cannot_be_abandoned(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """The header and the portfolios stay."""
    header = await store(database, rebalance(1))
    await database.rebalances.abandon(header.id)
    assert await database.rebalances.get(header.id) == header
    await stored["rebalances"].update_one({"_id": header.id}, {"$unset": {"visible": ""}, "$set": {"hiddenSince": 0}})
    await database.rebalances.abandon(header.id)
    assert await _headers(stored) == [header.id]
    assert await portfolio_owners(stored) == {header.id}


async def test_a_mark_is_forgotten_after_a_day(database: Database, stored: AsyncDatabase[Document]) -> None:
    """An index expires marks."""
    await database.rebalances.abandon(ObjectId())
    indexes = await stored["rebalances"].index_information()
    assert indexes["abandonedAt_1"]["expireAfterSeconds"] == 24 * 60 * 60
    assert await stored["rebalances"].count_documents({"abandonedAt": {"$type": "date"}}) == 1


_WRITES = 6
_STORED = 3
_HIDDEN = 4


@on_one_server
@pytest.mark.parametrize("killed_before", range(_WRITES + 1))
async def test_a_process_killed_between_any_two_writes_leaves_all_or_nothing(
    server_url: str, database: Database, database_name: str, stored: AsyncDatabase[Document], killed_before: int
) -> None:
    """After the next sweep a rebalance is whole, or no document of it remains."""
    rebalance_id = id_made(OLD)
    async with (
        Proxy.to(server_url) as proxy,
        Pod.start(life_of_a_rebalance, proxy.url, database_name, str(rebalance_id)) as pod,
    ):
        proxy.before_write = pod.killed_before(killed_before)
        await pod.go()
        assert pod.process.returncode == (0 if killed_before == _WRITES else -9)

    for _ in range(2):  # before and after the sweep
        if _STORED <= killed_before < _HIDDEN:
            header = await database.rebalances.get(rebalance_id)
            assert await database.rebalances.page(limit=10) == [header]
            assert len(await portfolios_of(database, header)) == header.number_of_portfolios == PORTFOLIOS
        else:
            with pytest.raises(RebalanceNotFound):
                await database.rebalances.get(rebalance_id)
            assert await database.rebalances.page(limit=10) == []
            assert await database.rebalances.with_portfolios([security(0)], limit=10) == []
        await database.rebalances.sweep(NO_LEASE)
    kept = {rebalance_id} if killed_before == _STORED else set()
    assert await portfolio_owners(stored) == kept
    assert set(await _headers(stored)) == kept


async def _abandon_and_die(server_url: str, database_name: str, rebalance_id: ObjectId) -> None:
    """Leaves the mark, and removes nothing."""
    async with Proxy.to(server_url) as proxy, open_database(proxy.url, database_name) as dying:
        await dying.ping(READY_SECONDS)
        proxy.before_write = lambda number: number >= 1
        with pytest.raises(DatabaseUnavailable):
            await dying.rebalances.abandon(rebalance_id)
