"""Rebalances in the database: stored whole, listed, read back."""

import asyncio
import random
from datetime import timedelta
from decimal import Decimal

import pytest
from bson import ObjectId
from msgspec.structs import replace
from pymongo.asynchronous.database import AsyncDatabase

from persistence import (
    Database,
    Failure,
    PortfolioWarning,
    RebalancedPortfolio,
    RebalanceField,
    RebalanceNotFound,
    SortKey,
    record_of,
)
from persistence.codec import Document
from tests.persistence.conftest import on_one_server
from tests.persistence.examples import NOON, portfolio, portfolios_of, rebalance, security, store
from tests.persistence.pod import Pod, largest_rebalance


async def test_a_rebalance_comes_back_as_it_was_stored(database: Database) -> None:
    """Header, completed and failed portfolios are equal, to the last digit."""
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
    await store(database, header, failed, completed)
    assert await database.rebalances.get(header.id) == header
    assert await portfolios_of(database, header) == [completed, failed]
    assert await database.rebalances.portfolio(header.id, completed.portfolio_id) == completed
    assert await database.rebalances.portfolio(header.id, failed.portfolio_id) == failed


async def test_rules_and_their_results_come_back_as_they_were_stored(database: Database) -> None:
    """The header has its rules in listings too, and a portfolio has its proof, costs, warnings and restraints."""
    rules = {"doNotTrade": [security(1)], "minimumCash": Decimal("1000.50"), "goal": "BAND"}
    header = replace(rebalance(1), rules=rules)
    plain = portfolio(header.id, 0)
    first, second = plain.positions
    assert plain.solve
    stored = replace(
        plain,
        positions=(
            replace(first, ticker="ABC", restraint="DO_NOT_TRADE"),
            replace(second, price=None, restraint="UNPRICED"),
        ),
        solve=replace(plain.solve, objective=Decimal("12.345"), bound=Decimal("12.34"), outside=Decimal(0)),
        drift_before=Decimal("0.123456"),
        drift_after=Decimal("0.000001"),
        turnover=Decimal("0.250000"),
        fees=Decimal("9.99"),
        warnings=(PortfolioWarning("OUTSIDE_BAND", "Kept outside its band.", (security(1),)),),
    )
    await store(database, header, stored)
    without = await store(database, rebalance(1))
    assert await database.rebalances.get(header.id) == header
    assert {each.id: each.rules for each in await database.rebalances.page(limit=10)} == {
        header.id: rules,
        without.id: None,
    }
    assert await portfolios_of(database, header) == [stored]


async def test_portfolios_stored_in_any_order_come_back_by_place(database: Database) -> None:
    """The order of adding does not matter."""
    header = rebalance(40)
    portfolios = [portfolio(header.id, place) for place in range(40)]
    await store(database, header, *random.sample(portfolios, 40))
    assert await portfolios_of(database, header) == portfolios


async def test_portfolios_can_be_read_without_their_positions(database: Database) -> None:
    """Everything else is equal."""
    header = await store(database, rebalance(2))
    summaries = [each async for each in database.rebalances.portfolios(header, positions=False)]
    assert summaries == [replace(each, positions=()) for each in await portfolios_of(database, header)]


async def test_what_is_not_there_is_not_found(database: Database) -> None:
    """Every route of an unknown rebalance is 404 with its id."""
    header = await store(database, rebalance(1))
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
        await portfolios_of(database, unknown)


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
    """No read finds it while its portfolios are added."""
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


async def test_a_reader_never_sees_a_rebalance_without_all_of_its_portfolios(database: Database) -> None:
    """However often it looks while rebalances of one batch and of several are being stored."""
    stored = asyncio.gather(*(store(database, rebalance(count)) for count in (1, 450, 3, 700, 2, 450) * 3))
    whole: set[ObjectId] = set()
    while len(whole) < 18:
        for header in await database.rebalances.page(limit=100):
            if header.id not in whole:
                assert len(await portfolios_of(database, header)) == header.number_of_portfolios
                whole.add(header.id)
    await stored


async def test_a_header_that_counts_wrongly_is_refused(database: Database, stored: AsyncDatabase[Document]) -> None:
    """Nothing is stored."""
    header = rebalance(2)
    with pytest.raises(ValueError, match="2 portfolios"):
        await store(database, header, portfolio(header.id, 0))
    assert await stored["rebalances"].count_documents({}) == 0


async def test_several_tasks_add_at_once(database: Database) -> None:
    """All 450 portfolios are stored, each once."""
    header = rebalance(450)
    async with database.rebalances.storing(header.id) as storage:
        await asyncio.gather(*(storage.add(record_of(portfolio(header.id, place))) for place in range(450)))
        await storage.finish(header)
    assert [each.place for each in await portfolios_of(database, header)] == list(range(450))


async def test_a_page_is_a_window_on_the_newest_first(database: Database) -> None:
    """Offset and limit select a slice, and a limit of 0 nothing."""
    headers = [
        await store(database, rebalance(1, rebalance_date=NOON + timedelta(minutes=minute))) for minute in range(5)
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
    """Each field and direction equals Python's own sort."""
    facts = [("B", 2, 0), ("A", 1, 2), ("A", 2, 1), ("C", 1, 1), ("B", 2, 0)]
    headers = [await store(database, rebalance(count, name, NOON + timedelta(days=day))) for name, count, day in facts]
    value = {
        RebalanceField.REBALANCE_ID: lambda header: header.id,
        RebalanceField.REBALANCE_DATE: lambda header: (header.rebalance_date, header.id),
        RebalanceField.MODEL_NAME: lambda header: (header.model_name, header.id),
        RebalanceField.NUMBER_OF_PORTFOLIOS: lambda header: (header.number_of_portfolios, header.id),
    }[field]
    expected = sorted(headers, key=value, reverse=descending)
    assert await database.rebalances.page(limit=10, sort=[SortKey(field, descending)]) == expected


async def test_rebalances_are_found_by_the_portfolios_they_touched(database: Database) -> None:
    """The newest come first, each once, in pages."""
    one, two, three = [
        await store(database, rebalance(count, rebalance_date=NOON + timedelta(days=count))) for count in (1, 2, 3)
    ]
    find = database.rebalances.with_portfolios
    assert await find([security(0)], limit=10) == [three, two, one]
    assert await find([security(1)], limit=10) == [three, two]
    assert await find([security(2), security(1), security(99)], limit=10) == [three, two]
    assert await find([security(0), security(1)], offset=1, limit=1) == [two]
    assert await find([security(99)], limit=10) == []
    assert await find([], limit=10) == []


@on_one_server
async def test_rebalances_are_counted_from_indexes_alone(database: Database, stored: AsyncDatabase[Document]) -> None:
    """Headers lie scattered among their portfolios; a long history would be read from the disk for each listing."""
    for count in (1, 2, 3):
        await store(database, rebalance(count))
    await stored.command("profile", 2)
    assert await database.rebalances.count() == 3
    assert await database.rebalances.count_with_portfolios([security(0)]) == 3
    assert await database.rebalances.count_with_portfolios([security(0), security(1)]) == 3
    await stored.command("profile", 0)
    commands = await stored["system.profile"].find({"command.aggregate": "rebalances"}).to_list()
    counts = [each for each in commands if "$group" in each["command"]["pipeline"][-1]]
    assert [each["docsExamined"] for each in counts] == [0, 0, 0]
