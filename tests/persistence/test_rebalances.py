"""Rebalances in the database: stored whole or not at all, listed, read back, removed."""

import asyncio
import random
from datetime import timedelta
from decimal import Decimal

import pytest
from bson import ObjectId
from msgspec.structs import replace
from pymongo.asynchronous.database import AsyncDatabase

from persistence.codec import Document
from persistence.database import Database, open_database
from persistence.documents import Failure, Rebalance, RebalancedPortfolio
from persistence.errors import DatabaseUnavailable, RebalanceNotFound, StorageLost, VersionConflict
from persistence.portfolio_record import record_of
from persistence.sorting import RebalanceField, SortKey
from tests.persistence.conftest import on_one_server
from tests.persistence.examples import NOON, portfolio, rebalance, security
from tests.persistence.pod import PORTFOLIOS, Pod, largest_rebalance, life_of_a_rebalance
from tests.persistence.proxy import Proxy


async def _store(database: Database, header: Rebalance, *portfolios: RebalancedPortfolio) -> Rebalance:
    async with database.rebalances.storing(header.id) as storage:
        for each in portfolios or [portfolio(header.id, place) for place in range(header.number_of_portfolios)]:
            await storage.add(record_of(each))
        await storage.finish(header)
    return header


async def _all_portfolios(database: Database, header: Rebalance) -> list[RebalancedPortfolio]:
    return [each async for each in database.rebalances.portfolios(header)]


async def test_a_rebalance_comes_back_as_it_was_stored(database: Database) -> None:
    header = rebalance(2)
    failure = Failure("PRICE_UNAVAILABLE", "No price.", {"securityIds": ["x"], "bound": Decimal("1.10")}, NOON, "trace")
    failed = RebalancedPortfolio(
        rebalance_id=header.id,
        place=1,
        portfolio_id=security(9),
        portfolio_name=None,
        status="FAILED",
        failure=failure,
        market_value=None,
        cash_before=None,
        cash_after=None,
        trade_date="2025-08-10",
        positions=(),
        solve=None,
    )
    completed = portfolio(header.id, 0, positions=3)
    await _store(database, header, failed, completed)
    assert await database.rebalances.get(header.id) == header
    assert await _all_portfolios(database, header) == [completed, failed]
    assert await database.rebalances.portfolio(header.id, completed.portfolio_id) == completed
    assert await database.rebalances.portfolio(header.id, failed.portfolio_id) == failed


async def test_portfolios_stored_in_any_order_come_back_by_place(database: Database) -> None:
    header = rebalance(40)
    portfolios = [portfolio(header.id, place) for place in range(40)]
    await _store(database, header, *random.sample(portfolios, 40))
    assert await _all_portfolios(database, header) == portfolios


async def test_portfolios_can_be_read_without_their_positions(database: Database) -> None:
    header = await _store(database, rebalance(2))
    summaries = [each async for each in database.rebalances.portfolios(header, positions=False)]
    assert summaries == [replace(each, positions=()) for each in await _all_portfolios(database, header)]


async def test_what_is_not_there_is_not_found(database: Database) -> None:
    header = await _store(database, rebalance(1))
    assert await database.rebalances.portfolio(header.id, security(99)) is None
    unknown = rebalance(1)
    with pytest.raises(RebalanceNotFound) as of_get:
        await database.rebalances.get(unknown.id)
    assert of_get.value.rebalance_id == unknown.id
    with pytest.raises(RebalanceNotFound):
        await database.rebalances.portfolio(unknown.id, security(0))
    with pytest.raises(RebalanceNotFound):
        await database.rebalances.delete(unknown.id, 1)
    with pytest.raises(RebalanceNotFound):
        await _all_portfolios(database, unknown)


@on_one_server
async def test_100_portfolios_of_500_positions_store_and_read_back_in_little_memory(
    server_url: str, database: Database, database_name: str
) -> None:
    """All of it at once would be 11 MB as BSON, and several times that as values."""
    async with Pod.start(largest_rebalance, server_url, database_name) as pod:
        portfolios, growth = (await pod.go()).split()
    assert int(portfolios) == 100
    assert int(growth) < 40_000_000


async def test_a_rebalance_is_invisible_until_it_is_finished(database: Database) -> None:
    header = rebalance(450)
    async with database.rebalances.storing(header.id) as storage:
        for place in range(450):
            await storage.add(record_of(portfolio(header.id, place)))
        with pytest.raises(RebalanceNotFound):
            await database.rebalances.get(header.id)
        with pytest.raises(RebalanceNotFound):
            await database.rebalances.portfolio(header.id, security(0))
        with pytest.raises(RebalanceNotFound):
            await database.rebalances.delete(header.id, 1)
        assert await database.rebalances.page(limit=10) == []
        assert await database.rebalances.with_portfolios([security(0)], limit=10) == []
        await storage.finish(header)
    assert await database.rebalances.page(limit=10) == [header]


async def test_a_rebalance_that_is_given_up_leaves_nothing(database: Database, stored: AsyncDatabase[Document]) -> None:
    async def give_up() -> None:
        header = rebalance(450)
        async with database.rebalances.storing(header.id) as storage:
            for place in range(450):
                await storage.add(record_of(portfolio(header.id, place)))
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(give_up(), 0.2)
    assert await stored["rebalance_portfolios"].count_documents({}) == 0
    assert await stored["rebalances"].count_documents({}) == 0


async def test_a_header_that_counts_wrongly_is_refused(database: Database, stored: AsyncDatabase[Document]) -> None:
    header = rebalance(2)
    with pytest.raises(ValueError, match="2 portfolios"):
        await _store(database, header, portfolio(header.id, 0))
    assert await stored["rebalances"].count_documents({}) == 0


async def test_several_tasks_add_at_once(database: Database) -> None:
    header = rebalance(450)
    async with database.rebalances.storing(header.id) as storage:
        await asyncio.gather(*(storage.add(record_of(portfolio(header.id, place))) for place in range(450)))
        await storage.finish(header)
    assert [each.place for each in await _all_portfolios(database, header)] == list(range(450))


async def test_a_page_is_a_window_on_the_newest_first(database: Database) -> None:
    headers = [
        await _store(database, rebalance(1, rebalance_date=NOON + timedelta(minutes=minute))) for minute in range(5)
    ]
    newest_first = headers[::-1]
    assert await database.rebalances.page(limit=10) == newest_first
    assert await database.rebalances.page(offset=1, limit=3) == newest_first[1:4]
    assert await database.rebalances.page(offset=5, limit=3) == []
    assert await database.rebalances.page(limit=0) == []


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("field", RebalanceField)
async def test_every_order_sorts_by_its_key_and_then_by_id(
    database: Database, field: RebalanceField, descending: bool
) -> None:
    facts = [("B", 2, 0), ("A", 1, 2), ("A", 2, 1), ("C", 1, 1), ("B", 2, 0)]
    headers = [await _store(database, rebalance(count, name, NOON + timedelta(days=day))) for name, count, day in facts]
    value = {
        RebalanceField.REBALANCE_ID: lambda header: header.id,
        RebalanceField.REBALANCE_DATE: lambda header: (header.rebalance_date, header.id),
        RebalanceField.MODEL_NAME: lambda header: (header.model_name, header.id),
        RebalanceField.NUMBER_OF_PORTFOLIOS: lambda header: (header.number_of_portfolios, header.id),
    }[field]
    expected = sorted(headers, key=value, reverse=descending)
    assert await database.rebalances.page(limit=10, sort=[SortKey(field, descending)]) == expected


async def test_rebalances_are_found_by_the_portfolios_they_touched(database: Database) -> None:
    one, two, three = [
        await _store(database, rebalance(count, rebalance_date=NOON + timedelta(days=count))) for count in (1, 2, 3)
    ]
    find = database.rebalances.with_portfolios
    assert await find([security(0)], limit=10) == [three, two, one]
    assert await find([security(1)], limit=10) == [three, two]
    assert await find([security(2), security(1), security(99)], limit=10) == [three, two]
    assert await find([security(0), security(1)], offset=1, limit=1) == [two]
    assert await find([security(99)], limit=10) == []
    assert await find([], limit=10) == []


async def test_deleting_removes_all_of_it_if_the_version_is_right(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    kept, deleted = [await _store(database, rebalance(3)) for _ in range(2)]
    with pytest.raises(VersionConflict) as conflict:
        await database.rebalances.delete(deleted.id, 2)
    assert conflict.value.current == 1
    await database.rebalances.delete(deleted.id, 1)
    with pytest.raises(RebalanceNotFound):
        await database.rebalances.delete(deleted.id, 1)
    assert await database.rebalances.page(limit=10) == [kept]
    assert await stored["rebalances"].count_documents({}) == 1
    assert await stored["rebalance_portfolios"].distinct("_id.rebalanceId") == [kept.id]


async def test_a_reader_is_told_when_what_it_reads_is_deleted(database: Database) -> None:
    header = await _store(database, rebalance(30))
    reading = database.rebalances.portfolios(header)
    assert (await anext(reading)).place == 0
    await database.rebalances.delete(header.id, 1)
    with pytest.raises(RebalanceNotFound):
        [each async for each in reading]


async def test_the_sweep_leaves_a_rebalance_that_another_pod_is_storing(database: Database) -> None:
    header = rebalance(300)
    async with database.rebalances.storing(header.id) as storage:
        for place in range(300):
            await storage.add(record_of(portfolio(header.id, place)))
        await database.rebalances.sweep(timedelta(minutes=1))
        await storage.finish(header)
    await database.rebalances.sweep(timedelta(0))
    assert len(await _all_portfolios(database, header)) == 300


async def test_a_writer_that_was_taken_for_dead_cannot_finish(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """Neither does what it adds after the sweep stay behind."""

    async def store_slowly() -> None:
        header = rebalance(450)
        async with database.rebalances.storing(header.id) as storage:
            for place in range(450):
                await storage.add(record_of(portfolio(header.id, place)))
                if place == 300:
                    await database.rebalances.sweep(timedelta(0))
            await storage.finish(header)

    with pytest.raises(StorageLost):
        await store_slowly()
    await database.rebalances.sweep(timedelta(0))
    assert await stored["rebalances"].count_documents({}) == 0
    assert await stored["rebalance_portfolios"].count_documents({}) == 0


@on_one_server
async def test_a_writer_cannot_finish_what_a_sweep_has_begun_to_remove(
    server_url: str, database: Database, database_name: str, stored: AsyncDatabase[Document]
) -> None:
    """Even if that sweep died before it removed anything."""
    header = rebalance(1)

    async def store_slowly() -> None:
        async with database.rebalances.storing(header.id) as storage:
            await storage.add(record_of(portfolio(header.id, 0)))
            await storage.settle()
            async with Proxy.to(server_url) as proxy, open_database(proxy.url, database_name) as sweeping:
                await sweeping.ping(5)
                proxy.before_write = lambda number: number >= 1
                with pytest.raises(DatabaseUnavailable):
                    await sweeping.rebalances.abandon(header.id)
            await storage.finish(header)

    with pytest.raises(StorageLost):
        await store_slowly()
    assert await stored["rebalances"].count_documents({}) == 0
    assert await stored["rebalance_portfolios"].count_documents({}) == 0


async def test_a_rebalance_abandoned_before_it_began_cannot_begin(database: Database) -> None:
    header = rebalance(1)
    await database.rebalances.abandon(header.id)
    with pytest.raises(StorageLost):
        await _store(database, header)


async def test_a_finished_rebalance_cannot_be_abandoned(database: Database) -> None:
    header = await _store(database, rebalance(1))
    await database.rebalances.abandon(header.id)
    assert await database.rebalances.get(header.id) == header


_WRITES = 8
_PUBLISHED = 5
_HIDDEN = 6


@on_one_server
@pytest.mark.parametrize("killed_before", range(_WRITES + 1))
async def test_a_process_killed_between_any_two_writes_leaves_all_or_nothing(
    server_url: str, database: Database, database_name: str, stored: AsyncDatabase[Document], killed_before: int
) -> None:
    rebalance_id = ObjectId()
    async with (
        Proxy.to(server_url) as proxy,
        Pod.start(life_of_a_rebalance, proxy.url, database_name, str(rebalance_id)) as pod,
    ):
        proxy.before_write = pod.killed_before(killed_before)
        await pod.go()
        assert pod.process.returncode == (0 if killed_before == _WRITES else -9)

    for _ in range(2):  # before and after the sweep
        if _PUBLISHED <= killed_before < _HIDDEN:
            header = await database.rebalances.get(rebalance_id)
            assert await database.rebalances.page(limit=10) == [header]
            assert len(await _all_portfolios(database, header)) == header.number_of_portfolios == PORTFOLIOS
        else:
            with pytest.raises(RebalanceNotFound):
                await database.rebalances.get(rebalance_id)
            assert await database.rebalances.page(limit=10) == []
            assert await database.rebalances.with_portfolios([security(0)], limit=10) == []
        await database.rebalances.sweep(timedelta(0))
    kept = PORTFOLIOS if killed_before == _PUBLISHED else 0
    assert await stored["rebalance_portfolios"].count_documents({}) == kept
    assert await stored["rebalances"].count_documents({}) == bool(kept)
