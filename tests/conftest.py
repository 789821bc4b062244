"""What every test shares: the event loop it runs on and the real MongoDB it talks to.

TEST_MONGODB_URL names a server to use; TEST_MONGODB=container starts MongoDB 8.0 in a container; else the embedded one.
"""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, settings
from pymongo import AsyncMongoClient, MongoClient

from persistence import Database
from persistence.embedded import EmbeddedMongod
from tests.harness.databases import open_patiently
from tests.harness.distribution import Distribution, longest_first
from tests.harness.mongod import fast_place

# A busy machine may stop for longer than Hypothesis allows one example; the time limit of each test stays.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Distribution:
    """Distribute tests over processes by the services that they share."""
    return Distribution(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest tests first."""
    items.sort(key=lambda item: longest_first(item.nodeid))


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Async tests run on the loop the service runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def mongodb_url() -> Iterator[str]:
    """A replica set, started by the first test that asks, or what TEST_MONGODB_URL names."""
    if url := os.environ.get("TEST_MONGODB_URL"):
        yield url
    else:
        with _server(replica_set=True) as url:
            yield url


@pytest.fixture(scope="session")
def standalone_mongodb_url() -> Iterator[str]:
    """A server that is no replica set."""
    with _server(replica_set=False) as url:
        yield url


@contextmanager
def _server(*, replica_set: bool) -> Iterator[str]:
    if os.environ.get("TEST_MONGODB") == "container":
        from tests.harness.container import mongodb_container  # noqa: PLC0415 - needs an engine to be of use

        with mongodb_container(replica_set=replica_set) as url:
            yield url
    else:
        # Its commands can be made to fail.
        parameters = ["enableTestCommands=1"]
        with EmbeddedMongod.start(replica_set=replica_set, parameters=parameters, temporary_in=fast_place()) as mongod:
            yield mongod.url


@pytest.fixture(scope="session")
def server_url(mongodb_url: str) -> str:
    """The server that the `database` fixture opens; tests of the persistence package run on more than one."""
    return mongodb_url


@pytest.fixture(scope="session")
def database_name(server_url: str) -> Iterator[str]:
    """A database of this test run alone, dropped at its end."""
    name = f"test_{uuid.uuid4().hex}"
    yield name
    with MongoClient[dict[str, object]](server_url) as client:
        client.drop_database(name)


@pytest.fixture
async def database(server_url: str, database_name: str) -> AsyncIterator[Database]:
    """The database, empty; its indexes stay from test to test, since dropping and making them is slow."""
    async with open_patiently(server_url, database_name) as opened:
        yield opened
    await wipe(server_url, database_name)


async def wipe(url: str, name: str) -> None:
    """Removes every document."""
    async with AsyncMongoClient[dict[str, object]](url) as client:
        for collection in await client[name].list_collection_names():
            if not collection.startswith("system."):
                await client[name][collection].delete_many({})
