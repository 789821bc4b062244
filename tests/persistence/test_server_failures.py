"""Every failure of the server is an outage with a reason, and what it made before it failed is reported as made."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from bson import ObjectId
from msgspec.structs import replace
from pymongo import AsyncMongoClient

from persistence import Claimed, Database, DatabaseUnavailable, DuplicateName, RebalanceNotFound, open_database
from persistence.codec import Document
from persistence.embedded import EmbeddedMongod
from tests.harness.databases import READY_SECONDS
from tests.harness.failpoints import failpoint
from tests.harness.mongod import fast_place
from tests.persistence.examples import NOON, change, model, models_of, portfolios_of, rebalance, security, store

CODES = (8, 100, 112, 11601)
"""UnknownError, UnsatisfiableWriteConcern, WriteConflict, Interrupted (by killOp)."""


@pytest.fixture(scope="module")
def failing_url() -> Iterator[str]:
    """A server whose commands can be made to fail."""
    with EmbeddedMongod.start(parameters=["enableTestCommands=1"], temporary_in=fast_place()) as mongod:
        yield mongod.url


@pytest.fixture
async def failing(failing_url: str) -> AsyncIterator[Database]:
    """A database on that server, with its indexes."""
    name = f"test_{ObjectId()}"
    async with open_database(failing_url, name) as database:
        await database.ping(READY_SECONDS)
        yield database
    async with AsyncMongoClient[Document](failing_url) as client:
        await client.drop_database(name)


@pytest.mark.parametrize("code", CODES)
async def test_any_error_number_of_any_command_is_an_outage_that_names_it(
    failing: Database, failing_url: str, code: int
) -> None:
    """Reads, writes, listings and the sweep alike; afterwards everything works."""
    stored = model("Stored")
    await failing.models.insert(stored, change())
    header = await store(failing, rebalance(1))
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: failing.models.get(stored.id),
        lambda: models_of(failing),
        lambda: failing.models.insert(model("New"), change()),
        lambda: failing.models.replace(stored, change()),
        lambda: failing.models.delete(stored.id, 1, change()),
        lambda: failing.models.history(stored.id, limit=1),
        failing.models.count,
        lambda: failing.rebalances.get(header.id),
        lambda: failing.rebalances.page(limit=1),
        lambda: failing.rebalances.delete(header.id, 1),
        lambda: portfolios_of(failing, header),
        lambda: store(failing, rebalance(1)),
        lambda: failing.idempotency.claim("key", "model/1", ObjectId()),
        failing.sweep,
    ]
    commands = ("find", "aggregate", "insert", "update", "findAndModify", "delete", "count", "hello")
    with failpoint(failing_url, *commands, errorCode=code):
        for call in calls:
            with pytest.raises(DatabaseUnavailable) as raised:
                await call()
            assert str(code) in raised.value.reason
    assert await failing.models.get(stored.id) == stored
    assert await failing.rebalances.get(header.id) == header


@pytest.mark.parametrize("code", CODES)
async def test_a_change_is_reported_as_made_if_only_its_audit_entry_could_not_be_copied(
    failing: Database, failing_url: str, code: int
) -> None:
    """The failure hits the commands after the change; the entry is copied later."""
    some = model()
    await failing.models.insert(some, change())
    with failpoint(failing_url, "insert", "delete", "update", errorCode=code):
        changed = await failing.models.replace(replace(some, name="Income"), change())
    assert changed.name == "Income"
    assert [entry.version for entry in await failing.models.history(some.id, limit=10)] == [2, 1]


@pytest.mark.parametrize("code", [*CODES, 64])
async def test_a_write_that_was_made_before_the_server_failed_is_reported_as_made(
    failing: Database, failing_url: str, code: int
) -> None:
    """The server applies the write and then reports a write concern error; a majority has the write."""
    error = {"code": code, "errmsg": "caused by a test"}
    some, header, key = model(), rebalance(2), ObjectId()
    with failpoint(failing_url, "insert", "findAndModify", "update", writeConcernError=error):
        await failing.models.insert(some, change())
        changed = await failing.models.replace(replace(some, name="Income"), change())
        await store(failing, header)
        claimed = await failing.idempotency.claim("key", "model/1", key)
        with pytest.raises(DuplicateName):
            await failing.models.insert(model("Income"), change())
    assert changed == replace(some, name="Income", version=2)
    assert await failing.models.get(some.id) == changed
    assert [entry.version for entry in await failing.models.history(some.id, limit=10)] == [2, 1]
    assert len(await portfolios_of(failing, await failing.rebalances.get(header.id))) == 2
    assert claimed == Claimed("key", key)
    with failpoint(failing_url, "update", "findAndModify", "delete", writeConcernError=error):
        await failing.rebalances.delete(header.id, 1)
        await failing.models.delete(some.id, 2, change())
    with pytest.raises(RebalanceNotFound):
        await failing.rebalances.get(header.id)
    assert await models_of(failing) == []


async def test_a_rebalance_that_no_majority_shows_is_not_reported_as_stored(
    failing: Database, failing_url: str
) -> None:
    """The server applies the inserts and reports a write concern error, and majority reads do not show them."""
    error = {"code": 64, "errmsg": "caused by a test"}
    async with AsyncMongoClient[Document](failing_url) as client:
        await client.admin.command("configureFailPoint", "disableSnapshotting", mode="alwaysOn")
        try:
            with failpoint(failing_url, "insert", writeConcernError=error), pytest.raises(DatabaseUnavailable):
                await store(failing, rebalance(2))
        finally:
            await client.admin.command("configureFailPoint", "disableSnapshotting", mode="off")


async def test_the_date_of_a_rebalance_survives_one_failure(failing: Database, failing_url: str) -> None:
    """An update that fails changes nothing and is an outage; its repetition succeeds."""
    some = model(portfolios=(security(1),))
    await failing.models.insert(some, change())
    with failpoint(failing_url, "update", times=1, errorCode=11601), pytest.raises(DatabaseUnavailable):
        await failing.models.touch_last_rebalance_date(some.id, NOON)
    await failing.models.touch_last_rebalance_date(some.id, NOON)
    assert (await failing.models.get(some.id)).last_rebalance_date == NOON
