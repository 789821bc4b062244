"""How the server finds what it is asked for: by index, without collecting and sorting."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from persistence import Database, ModelField, RebalanceField, SortKey
from persistence.codec import Document
from persistence.unreadable import INSPECTION
from tests.persistence.conftest import on_one_server
from tests.persistence.examples import NOON, change, model, models_of, rebalance, security, store

pytestmark = on_one_server

OLD = timedelta(seconds=70)
NO_LEASE = timedelta(0)


class Profile:
    """What the server itself says of the operations on a database."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._database = database

    async def of(self, work: Callable[[], Awaitable[object]], namespace: str) -> list[dict[str, Any]]:
        """The server's records of the queries on a collection that `work` causes."""
        await self._database.command("profile", 2)
        await work()
        await self._database.command("profile", 0)
        found = self._database["system.profile"].find(
            {
                "ns": f"{self._database.name}.{namespace}",
                "$or": [
                    {"op": {"$in": ["query", "getmore", "update", "remove"]}},
                    {"command.aggregate": namespace},
                ],
                "appName": "order-generation",
                "command.comment": {"$ne": INSPECTION},
            }
        )
        records = await found.to_list()
        await self._database["system.profile"].drop()
        return records


@pytest.fixture
async def profile(stored: AsyncDatabase[Document]) -> AsyncIterator[Profile]:
    """The profiler, off at the end."""
    yield Profile(stored)
    await stored.command("profile", 0)
    await stored["system.profile"].drop()


async def _fill(database: Database) -> list[ObjectId]:
    """30 models and 30 rebalances, of 60 portfolios."""
    ids = []
    for number in range(30):
        await database.models.insert(model(f"Model {number}", portfolios=(security(number % 3),)), change())
        header = rebalance(1 + number % 3, f"Model {number}", NOON + timedelta(minutes=number % 7), made=OLD)
        ids.append((await store(database, header)).id)
    return ids


def _by_index(records: list[dict[str, Any]]) -> None:
    assert records
    for record in records:
        assert "IXSCAN" in record["planSummary"] or "IDHACK" in record["planSummary"], record["planSummary"]
        assert "COLLSCAN" not in record["planSummary"]
        assert not record.get("hasSortStage")


async def test_every_order_of_rebalances_is_read_from_an_index(database: Database, profile: Profile) -> None:
    """And of the documents no more than the page has, however far in it is."""
    await _fill(database)
    for field, descending in itertools.product(RebalanceField, (False, True)):
        sort = [SortKey(field, descending)]
        records = await profile.of(lambda: database.rebalances.page(offset=5, limit=10, sort=sort), "rebalances")  # noqa: B023
        _by_index(records)
        assert sum(record["docsExamined"] for record in records) <= 10, sort


async def test_any_other_order_of_rebalances_is_sorted_without_reading_documents_outside_the_page(
    database: Database, profile: Profile
) -> None:
    """Only the headers of the page are read, for their rules: headers lie scattered among their portfolios."""
    await _fill(database)
    first_unique = {RebalanceField.REBALANCE_ID}
    for fields in itertools.permutations(RebalanceField, 2):
        for descending in itertools.product((False, True), repeat=2):
            if fields[0] in first_unique or (fields[1] in first_unique and descending[0] == descending[1]):
                continue  # the order of one field
            sort = [SortKey(field, down) for field, down in zip(fields, descending, strict=True)]
            records = await profile.of(lambda: database.rebalances.page(offset=5, limit=10, sort=sort), "rebalances")  # noqa: B023
            assert [record["docsExamined"] for record in records] == [0, 10], sort


async def test_the_rebalances_of_portfolios_are_read_from_an_index_in_their_order(
    database: Database, profile: Profile
) -> None:
    """The server neither sorts nor scans, for one portfolio and for several."""
    await _fill(database)
    for wanted in ([security(1)], [security(0), security(1), security(2)]):
        _by_index(await profile.of(lambda: database.rebalances.with_portfolios(wanted, limit=5), "rebalances"))  # noqa: B023


async def test_the_portfolios_of_a_rebalance_are_the_only_ones_read(database: Database, profile: Profile) -> None:
    """Examined documents equal returned ones."""
    rebalance_id = (await _fill(database))[2]
    header = await database.rebalances.get(rebalance_id)

    async def read_all() -> None:
        assert len([each async for each in database.rebalances.portfolios(header)]) == 3

    for work in (read_all, lambda: database.rebalances.portfolio(rebalance_id, security(1))):
        records = await profile.of(work, "rebalances")
        _by_index(records)
        assert sum(record["docsExamined"] for record in records) <= 3
    records = await profile.of(lambda: database.rebalances.delete(rebalance_id, 1), "rebalances")
    _by_index(records)
    [removed] = [record for record in records if record["op"] == "remove" and record["ndeleted"] > 1]
    assert removed["docsExamined"] == removed["ndeleted"] == 3


async def test_every_order_of_models_is_read_from_an_index(database: Database, profile: Profile) -> None:
    """No order of one or two fields makes the server sort."""
    await _fill(database)
    for length in (1, 2):
        for fields in itertools.permutations(ModelField, length):
            for descending in itertools.product((False, True), repeat=length):
                sort = [SortKey(field, down) for field, down in zip(fields, descending, strict=True)]
                _by_index(await profile.of(lambda: models_of(database, limit=10, sort=sort), "models"))  # noqa: B023


async def test_models_are_found_by_portfolio_and_history_by_model_from_indexes(
    database: Database, profile: Profile
) -> None:
    """The plans are index scans."""
    await _fill(database)
    [found, *_] = await models_of(database, limit=1)
    records = await profile.of(lambda: database.models.with_portfolio(security(1)), "models")
    # The sweep that every process begins with may fall into the same moment.
    plans = [record["planSummary"] for record in records if "portfolios" in record["command"].get("filter", {})]
    assert plans == ["IXSCAN { portfolios: 1 }"]
    _by_index(await profile.of(lambda: database.models.history(found.id, limit=10), "model_history"))


async def test_the_sweeps_look_only_at_what_is_unfinished_or_new(
    database: Database, stored: AsyncDatabase[Document], profile: Profile
) -> None:
    """They run again and again in every pod, so they must cost nothing where nothing was left behind."""
    await _fill(database)
    await stored["sweeps"].update_one({"_id": "rebalances"}, {"$set": {"until": datetime.now(UTC)}}, upsert=True)
    for work, namespace in (
        (lambda: database.models.sweep(NO_LEASE), "models"),
        (lambda: database.rebalances.sweep(NO_LEASE), "rebalances"),
    ):
        records = await profile.of(work, namespace)
        _by_index(records)
        assert sum(record["keysExamined"] + record["docsExamined"] for record in records) == 0


async def test_the_sweep_reads_an_index_and_no_document(
    database: Database, stored: AsyncDatabase[Document], profile: Profile
) -> None:
    """Its search examines keys only."""
    await _fill(database)
    await stored["sweeps"].delete_many({})
    records = await profile.of(lambda: database.rebalances.sweep(NO_LEASE), "rebalances")
    _by_index(records)
    assert sum(record["docsExamined"] for record in records) == 0
    [search] = [record for record in records if "aggregate" in record["command"]]
    assert search["keysExamined"] >= 60 + 30


async def test_the_search_for_unreadable_headers_reads_an_index_and_no_document(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """Every listing may cause it, so it must not read the portfolios' documents or the headers'."""
    await _fill(database)
    await stored.command("profile", 2)
    await database.rebalances.count()
    await stored.command("profile", 0)
    searches = await stored["system.profile"].find({"command.comment": INSPECTION}).to_list()
    await stored["system.profile"].drop()
    headers = [search for search in searches if search["ns"].endswith(".rebalances")]
    assert headers
    for search in headers:
        assert "IXSCAN" in search["planSummary"]
        assert search["docsExamined"] == 0
        assert search["keysExamined"] <= 31
