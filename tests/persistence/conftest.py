"""Every test here holds on a replica set and on a standalone server alike."""

import gc
from collections.abc import AsyncIterator, Iterator

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from persistence.codec import CODEC_OPTIONS, Document

on_one_server = pytest.mark.parametrize("server_url", ["mongodb_url"], indirect=True, ids=[""])
"""For a test in which the server makes no difference."""

survives_lost_sockets = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.usefixtures("collected_sockets"),
]
"""For tests that lose their server: PyMongo leaves a socket that it gave up connecting to the garbage collector."""


@pytest.fixture
def collected_sockets() -> Iterator[None]:
    """Has the garbage collector find such sockets in the test that lost them."""
    yield
    gc.collect()


@pytest.fixture(scope="session", params=["mongodb_url", "standalone_mongodb_url"], ids=["replica set", "standalone"])
def server_url(request: pytest.FixtureRequest) -> str:
    """The server that the `database` fixture opens."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
async def stored(server_url: str, database_name: str) -> AsyncIterator[AsyncDatabase[Document]]:
    """What is really stored in the database that the `database` fixture opens, bypassing the repositories."""
    async with AsyncMongoClient[Document](server_url) as client:
        yield client.get_database(database_name, CODEC_OPTIONS)
