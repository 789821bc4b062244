"""What every test shares: the event loop it runs on and the real MongoDB it talks to."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from pymongo import AsyncMongoClient, MongoClient

from persistence.database import Database, open_database
from persistence.embedded import EmbeddedMongod


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Async tests run on the loop the service runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def mongodb_url() -> Iterator[str]:
    """A replica set: the one TEST_MONGODB_URL names, else an embedded one that starts with the first test to ask."""
    if url := os.environ.get("TEST_MONGODB_URL"):
        yield url
        return
    with EmbeddedMongod.start() as mongod:
        yield mongod.url


@pytest.fixture(scope="session")
def standalone_mongodb_url() -> Iterator[str]:
    """A server that is no replica set."""
    with EmbeddedMongod.start(replica_set=False) as mongod:
        yield mongod.url


@pytest.fixture(scope="session")
def database_name(mongodb_url: str) -> Iterator[str]:
    """A database of this test run alone, dropped at its end."""
    name = f"test_{uuid.uuid4().hex}"
    yield name
    with MongoClient[dict[str, object]](mongodb_url) as client:
        client.drop_database(name)


@pytest.fixture
async def database(mongodb_url: str, database_name: str) -> AsyncIterator[Database]:
    """The database, empty; its indexes stay from test to test, since dropping and making them is slow."""
    async with open_database(mongodb_url, database_name) as opened:
        yield opened
    await wipe(mongodb_url, database_name)


async def wipe(url: str, name: str) -> None:
    """Removes every document."""
    async with AsyncMongoClient[dict[str, object]](url) as client:
        for collection in await client[name].list_collection_names():
            await client[name][collection].delete_many({})
