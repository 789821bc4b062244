"""The database as a whole: opening, indexes, outages and what comes after them."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit

import psutil
import pytest
from bson import ObjectId
from msgspec.structs import replace
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from persistence import Database, DatabaseUnavailable, IndexConflict, PersistenceError, open_database, record_of
from persistence.codec import Document
from persistence.embedded import EmbeddedMongod
from persistence.indexes import INDEXES
from tests.conftest import wipe
from tests.harness.databases import READY_SECONDS, open_patiently
from tests.harness.proxy import Proxy
from tests.persistence.conftest import on_one_server
from tests.persistence.examples import NOON, change, model, models_of, portfolio, rebalance, security
from tests.persistence.pod import Pod, ping

ATTEMPTS = 5


@pytest.fixture
async def fresh(server_url: str) -> AsyncIterator[AsyncDatabase[Document]]:
    """A database that nobody has opened yet."""
    async with AsyncMongoClient[Document](server_url) as client:
        fresh = client[f"test_{uuid.uuid4().hex}"]
        yield fresh
        await client.drop_database(fresh)


@on_one_server
async def test_many_pods_apply_the_indexes_at_once(server_url: str, fresh: AsyncDatabase[Document]) -> None:
    """Four processes that start together all serve, with each index once."""
    async with (
        Pod.start(ping, server_url, fresh.name) as one,
        Pod.start(ping, server_url, fresh.name) as two,
        Pod.start(ping, server_url, fresh.name) as three,
        Pod.start(ping, server_url, fresh.name) as four,
    ):
        pods = (one, two, three, four)
        assert await asyncio.gather(*(pod.go() for pod in pods)) == ["pong"] * len(pods)
    for collection, declared in INDEXES.items():
        found = await fresh[collection].index_information()
        assert set(found) == {"_id_"} | {index.document["name"] for index in declared}


async def test_the_indexes_of_the_data_model_are_there(server_url: str, fresh: AsyncDatabase[Document]) -> None:
    """Names are unique, and portfolios and securities can be searched."""
    async with open_database(server_url, fresh.name) as database:
        await database.ping(READY_SECONDS)
    indexes = {index["name"]: index async for index in await fresh["models"].list_indexes()}
    assert indexes["name_1"]["unique"] is True
    assert dict(indexes["portfolios_1"]["key"]) == {"portfolios": 1}
    assert indexes["positions.securityId_1"]["sparse"] is True


async def test_an_index_that_somebody_else_defined_otherwise_is_named(
    server_url: str, fresh: AsyncDatabase[Document]
) -> None:
    """The database is not used, and the error names the collection."""
    await fresh["models"].create_index([("name", 1)], unique=False)
    async with open_database(server_url, fresh.name) as database:
        with pytest.raises(PersistenceError, match="models"):
            await database.ping(READY_SECONDS)


@on_one_server
async def test_everybody_who_waits_for_indexes_that_fail_hears_of_it(
    server_url: str, fresh: AsyncDatabase[Document]
) -> None:
    """However many wait at once, and whoever tries again meanwhile."""
    await fresh["models"].create_index([("name", 1)], unique=False)

    async def fail_repeatedly(database: Database, call: int) -> None:
        for _ in range(30):
            with pytest.raises(IndexConflict):
                await models_of(database, limit=1)
            await asyncio.sleep(0.0005 * call)

    async with open_database(server_url, fresh.name) as database:
        await asyncio.gather(*(fail_repeatedly(database, call) for call in range(20)))


async def test_a_write_is_acknowledged_by_a_majority_and_its_journal(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """Whatever the URL says; the profiler shows what the server was asked for."""
    await stored.command("profile", 2)
    await database.models.insert(model(), change())
    await stored.command("profile", 0)
    commands = [
        record["command"] async for record in stored["system.profile"].find({"op": {"$in": ["insert", "update"]}})
    ]
    await stored["system.profile"].drop()
    concerns = [command["writeConcern"] for command in commands if "writeConcern" in command]
    assert concerns
    assert all((concern["w"], concern["j"]) == ("majority", True) for concern in concerns)


class Reads(CommandListener):
    """Records the commands that read, with the read concern of each."""

    def __init__(self) -> None:
        self.concerns: list[tuple[str, object]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in {"find", "aggregate", "distinct", "count"}:
            self.concerns.append((event.command_name, event.command.get("readConcern", {}).get("level")))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Count for nothing."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Count for nothing."""


async def test_every_read_sees_only_what_a_majority_has(server_url: str, database_name: str) -> None:
    """Whatever the URL says, on a replica set and on a standalone server."""
    reads = Reads()
    url = f"{server_url}&readConcernLevel=local"
    async with open_patiently(url, database_name, listeners=[reads]) as opened:
        for call in _every_call(opened):
            with suppress(PersistenceError):
                await call()
        await opened.sweep()
    assert {command for command, _ in reads.concerns} == {"find", "aggregate"}
    assert len(reads.concerns) > 20
    assert {level for _, level in reads.concerns} == {"majority"}
    await wipe(server_url, database_name)


@pytest.mark.parametrize("url", ["", "http://localhost", "mongodb://", "mongodb://host:port"])
async def test_what_is_no_url_of_a_mongodb_is_an_error_at_once(url: str) -> None:
    """Opening raises before any connection is tried."""
    with pytest.raises((ConfigurationError, ValueError)):
        async with open_database(url, "test"):
            pass


@pytest.mark.parametrize(
    "decoration", ["", "/", "/other", "/other?retryWrites=false", "/?w=0&readPreference=secondary"]
)
async def test_a_url_may_name_a_database_and_options(
    server_url: str, database: Database, database_name: str, decoration: str
) -> None:
    """The service's own database, write concern and read preference apply all the same."""
    async with open_database(server_url.partition("/?")[0] + decoration, database_name) as opened:
        some = model()
        await opened.models.insert(some, change())
        assert await database.models.get(some.id) == some


async def test_credentials_that_are_refused_are_an_outage(server_url: str, database_name: str) -> None:
    """A wrong password is reported as DatabaseUnavailable."""
    address = urlsplit(server_url).netloc.rpartition("@")[2]
    async with open_database(f"mongodb://nobody:wrong@{address}/?directConnection=true", database_name) as database:
        with pytest.raises(DatabaseUnavailable):
            await models_of(database)


def _every_call(database: Database) -> list[Callable[[], Awaitable[object]]]:
    some, models, rebalances = model(), database.models, database.rebalances
    header = rebalance(1)

    async def store() -> None:
        async with rebalances.storing(header.id) as storage:
            await storage.add(record_of(portfolio(header.id, 0)))
            await storage.finish(header)

    async def read() -> None:
        async for _ in rebalances.portfolios(header):
            pass

    return [
        lambda: database.ping(1),
        lambda: models.insert(some, change()),
        lambda: models.get(some.id),
        lambda: models_of(database, limit=1),
        models.count,
        rebalances.count,
        lambda: models.with_portfolio(security(1)),
        lambda: models.replace(some, change()),
        lambda: models.change(some.id, lambda now: now, change()),
        lambda: models.delete(some.id, 1, change()),
        lambda: models.touch_last_rebalance_date(some.id, NOON),
        lambda: models.history(some.id, limit=1),
        lambda: models.sweep(timedelta(0)),
        store,
        read,
        lambda: rebalances.get(header.id),
        lambda: rebalances.page(limit=1),
        lambda: rebalances.with_portfolios([security(1)], limit=1),
        lambda: rebalances.portfolio(header.id, security(1)),
        lambda: rebalances.delete(header.id, 1),
        lambda: rebalances.sweep(timedelta(0)),
        lambda: database.idempotency.claim("key", "model/1", ObjectId()),
    ]


async def _assert_unavailable_within_two_seconds(*calls: Callable[[], Awaitable[object]]) -> None:
    async def fail(call: Callable[[], Awaitable[object]]) -> float:
        start = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await call()
        return time.monotonic() - start

    # A busy machine may delay some of them.
    for _ in range(ATTEMPTS - 1):
        if max(await asyncio.gather(*(fail(call) for call in calls))) < 2:
            return
    assert max(await asyncio.gather(*(fail(call) for call in calls))) < 2


@on_one_server
@pytest.mark.parametrize("opened_before", [True, False], ids=["went away", "was never there"])
@pytest.mark.parametrize("how", ["refuses", "is silent"])
async def test_every_call_says_so_within_two_seconds_when_the_database_is_away_and_works_when_it_is_back(
    server_url: str, database: Database, database_name: str, opened_before: bool, how: str
) -> None:
    """The start goes on, and nothing has to be restarted."""

    async def leave(proxy: Proxy) -> None:
        if how == "refuses":
            await proxy.refuse()
        else:
            proxy.fall_silent()

    async with Proxy.to(server_url) as proxy:
        if not opened_before:
            await leave(proxy)
        async with open_database(proxy.url, database_name) as far:
            if opened_before:
                await far.ping(READY_SECONDS)
                await leave(proxy)
            await _assert_unavailable_within_two_seconds(*_every_call(far))
            if how == "refuses":
                await proxy.listen()
            else:
                proxy.speak()
            async with asyncio.timeout(READY_SECONDS):
                await _responses(far)
            some = model("After the outage")
            await far.models.insert(some, change())
            assert await database.models.get(some.id) == some


async def _responses(database: Database) -> None:
    while True:
        try:
            await database.ping(1)
        except DatabaseUnavailable:
            continue
        return


async def test_writes_whose_connections_break_at_once_are_made_or_an_outage(
    server_url: str, database: Database, database_name: str
) -> None:
    """PyMongo tries such a write again, in a way that a standalone server refuses."""
    async with Proxy.to(server_url) as proxy, open_database(proxy.url, database_name) as behind_proxy:
        await behind_proxy.ping(READY_SECONDS)
        proxy.to_drop = 3
        models = [model(f"Model {number}") for number in range(10)]
        results = await asyncio.gather(
            *(behind_proxy.models.insert(each, change()) for each in models), return_exceptions=True
        )
        assert proxy.to_drop == 0
        for each, result in zip(models, results, strict=True):
            if result is None:
                assert await database.models.get(each.id) == each
            else:
                assert isinstance(result, DatabaseUnavailable)


@on_one_server
async def test_a_database_that_goes_away_between_a_change_and_its_audit_entry_costs_neither(
    server_url: str, database: Database, database_name: str
) -> None:
    """The change is made, and its caller hears so; the entry is copied when the database is back."""
    some = model()
    async with Proxy.to(server_url) as proxy, open_database(proxy.url, database_name) as behind_proxy:
        await behind_proxy.ping(READY_SECONDS)
        proxy.before_write = lambda number: number >= 1
        await behind_proxy.models.insert(some, change())
    assert await database.models.get(some.id) == some
    assert [entry.version for entry in await database.models.history(some.id, limit=10)] == [1]


async def test_a_change_that_the_server_made_before_it_failed_is_reported_as_made(
    server_url: str, database: Database, database_name: str
) -> None:
    """The server shuts down before it knows that a majority has the change, which then turns out to be there."""
    shutting_down = {
        "writeConcernError": {"code": 91, "codeName": "ShutdownInProgress", "errmsg": "shutting down"},
        "errorLabels": ["RetryableWriteError"],
    }
    some = model()
    await database.models.insert(some, change())
    async with Proxy.to(server_url) as proxy, open_database(proxy.url, database_name) as behind_proxy:
        await behind_proxy.ping(READY_SECONDS)
        proxy.to_add = lambda response: shutting_down if "lastErrorObject" in response else {}
        changed = await behind_proxy.models.replace(replace(some, name="Income"), change())
    assert changed == replace(some, name="Income", version=2)
    assert (await database.models.get(some.id)).name == "Income"
    assert [entry.version for entry in await database.models.history(some.id, limit=10)] == [2, 1]


async def test_a_mongod_that_is_stopped_and_continued_is_away_and_back() -> None:
    """Calls fail while it is frozen, and succeed after it, with all data."""
    with EmbeddedMongod.start(replica_set=False) as mongod:
        [server] = psutil.Process(mongod.process).children()
        async with open_database(mongod.url, "test") as database:
            header = rebalance(1)
            async with database.rebalances.storing(header.id) as storage:
                await storage.add(record_of(portfolio(header.id, 0)))
                await storage.finish(header)
            server.suspend()
            while server.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - another process's event
                await asyncio.sleep(0.01)
            await _assert_unavailable_within_two_seconds(lambda: database.rebalances.get(header.id))
            server.resume()
            async with asyncio.timeout(READY_SECONDS):
                await _responses(database)
            assert await database.rebalances.get(header.id) == header
