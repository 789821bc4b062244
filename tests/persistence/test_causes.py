"""An outage says which hosts failed and why, in the log with hosts, for callers without, and never with credentials."""

import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from persistence import Database, DatabaseUnavailable, DatabaseUnusable, DuplicatesFound, IndexConflict, open_database
from persistence.codec import Document
from tests.harness.databases import READY_SECONDS
from tests.harness.proxy import Proxy
from tests.persistence.conftest import on_one_server
from tests.persistence.examples import change, model

SECRET = "hunter2"


async def _fault(database: Database) -> DatabaseUnavailable:
    """Return how the database fails, which reads and the readiness check report alike."""
    with pytest.raises(DatabaseUnavailable) as checked:
        await database.ping(2)
    with pytest.raises(DatabaseUnavailable) as read:
        await database.models.get(model().id)
    assert read.value.reason == checked.value.reason
    assert type(read.value) is type(checked.value)
    for error in (checked.value, read.value):
        assert SECRET not in f"{error} {error.reason} {error.cause}"
    return checked.value


@pytest.mark.parametrize(
    ("host", "reason"),
    [("127.0.0.1:1", "connection refused"), ("no-such-host.invalid:27017", "host name not found")],
)
async def test_an_unreachable_host_is_named_with_the_reason(host: str, reason: str) -> None:
    """Callers see the reason alone."""
    async with open_database(f"mongodb://clerk:{SECRET}@{host}/?authSource=admin", "test") as database:
        fault = await _fault(database)
    assert fault.reason == reason
    assert host in fault.cause
    assert reason in fault.cause


async def test_every_host_of_a_replica_set_is_named() -> None:
    """Each with its own reason."""
    url = "mongodb://127.0.0.1:1,no-such-host.invalid:2/?replicaSet=rs0"
    async with open_database(url, "test") as database:
        fault = await _fault(database)
    assert "127.0.0.1:1: connection refused" in fault.cause
    assert "no-such-host.invalid:2: host name not found" in fault.cause


async def test_a_seed_list_whose_name_does_not_resolve_is_an_outage() -> None:
    """The driver asks the name servers when it connects, not when it is opened."""
    async with open_database(f"mongodb+srv://clerk:{SECRET}@no-such-host.invalid", "test") as database:
        fault = await _fault(database)
    assert fault.reason == "host name not found"
    assert "no-such-host.invalid" in fault.cause


@on_one_server
async def test_refused_credentials_are_named_as_such(server_url: str) -> None:
    """The address is in the log, and the password nowhere."""
    address = urlsplit(server_url).netloc.rpartition("@")[2]
    async with open_database(f"mongodb://clerk:{SECRET}@{address}/?directConnection=true", "test") as database:
        fault = await _fault(database)
    assert fault.reason == "authentication failed"
    assert address in fault.cause


@on_one_server
async def test_a_silent_host_gives_no_response_in_time(server_url: str) -> None:
    """Neither refused nor unknown."""
    async with Proxy.to(server_url) as proxy:
        proxy.fall_silent()
        async with open_database(proxy.url, "test") as database:
            with pytest.raises(DatabaseUnavailable) as raised:
                await database.ping(0.5)
    assert urlsplit(proxy.url).netloc in raised.value.cause


@pytest.fixture
async def fresh(server_url: str) -> AsyncIterator[AsyncDatabase[Document]]:
    """A database without indexes."""
    async with AsyncMongoClient[Document](server_url) as client:
        fresh = client[f"test_{uuid.uuid4().hex}"]
        yield fresh
        await client.drop_database(fresh)


@on_one_server
async def test_duplicate_names_found_by_an_upgrade_are_named_until_they_are_resolved(
    server_url: str, fresh: AsyncDatabase[Document]
) -> None:
    """The unique index cannot be created; a person renames a model, and the service works without a restart."""
    first, second = await _two_of_one_name(fresh)
    async with open_database(server_url, fresh.name) as database:
        fault = await _fault(database)
        assert isinstance(fault, DuplicatesFound)
        assert isinstance(fault, DatabaseUnusable)
        assert "'Growth'" in fault.reason
        assert "models" in fault.reason
        await fresh["models"].update_one({"_id": second}, {"$set": {"name": "Growth 2"}})
        await database.ping(READY_SECONDS)
        assert await database.models.count() == 0  # neither is in the service's format
    assert first != second


async def _two_of_one_name(fresh: AsyncDatabase[Document]) -> list[object]:
    inserted = await fresh["models"].insert_many([{"name": "Growth"}, {"name": "Growth"}])
    return list(inserted.inserted_ids)


@on_one_server
async def test_an_index_with_other_options_is_reported_alike_until_it_is_dropped(
    server_url: str, fresh: AsyncDatabase[Document]
) -> None:
    """The reason says which collection, and what to do."""
    await fresh["models"].create_index([("name", 1)], unique=False)
    async with open_database(server_url, fresh.name) as database:
        fault = await _fault(database)
        assert isinstance(fault, IndexConflict)
        assert "models" in fault.reason
        assert "drop that index" in fault.reason
        await fresh["models"].drop_index("name_1")
        await database.ping(READY_SECONDS)
        await database.models.insert(model(), change())
