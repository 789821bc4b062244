"""Every test here holds on a replica set and on a standalone server alike."""

from collections.abc import AsyncIterator

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from persistence.codec import CODEC_OPTIONS, Document

on_one_server = pytest.mark.parametrize("server_url", ["mongodb_url"], indirect=True, ids=[""])
"""For a test in which the server makes no difference."""


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
