"""Writes that arrive after their request has failed, and such as never arrive although their request succeeded."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import pytest
from msgspec.structs import replace
from pymongo import MongoClient

from app.http.dialect import Dialect
from app.rebalancing import idempotency
from app.rebalancing.body import ResponseBody
from app.rebalancing.rebalance import Rebalanced
from persistence import Database, DatabaseUnavailable, KeyInProgress, open_database, record_of
from tests.harness.databases import READY_SECONDS, open_patiently
from tests.harness.proxy import Proxy
from tests.persistence.examples import portfolio, rebalance

INSERT = 1
"""The number of that write; the one before it claims the key."""


@pytest.fixture
def database_name(mongodb_url: str) -> Iterator[str]:
    name = f"test_late_{uuid4().hex}"
    yield name
    with MongoClient[dict[str, object]](mongodb_url) as client:
        client.drop_database(name)


async def once(database: Database) -> Rebalanced | None:
    """Store a rebalance under a key, unless that has been done."""
    async with idempotency.attempt(database, "key", "model/1", Dialect.STANDARD) as attempt:
        if attempt.replayed is None:
            header = replace(rebalance(1), id=attempt.rebalance_id)
            async with database.rebalances.storing(attempt.rebalance_id) as storage:
                await storage.add(record_of(portfolio(attempt.rebalance_id, 0)))
                await storage.finish(header)
            attempt.rebalanced = Rebalanced(header, [], ResponseBody())
    return attempt.replayed or attempt.rebalanced


@pytest.mark.parametrize("arrives", ["before", "after"])
async def test_a_retry_with_its_key_stores_the_only_rebalance(
    mongodb_url: str, database_name: str, arrives: str
) -> None:
    """Whether the late write arrives before the retry or after it."""
    released = asyncio.Event()
    async with Proxy.to(mongodb_url) as proxy, open_database(proxy.url, database_name) as database:
        await database.ping(READY_SECONDS)
        proxy.held_back = lambda number: released if number == INSERT else None
        with pytest.raises(DatabaseUnavailable):
            await once(database)
        if arrives == "before":
            released.set()
        retried = await once(database)
        released.set()
        assert retried is not None
        async with open_patiently(mongodb_url, database_name) as direct:
            await asyncio.sleep(0.2)  # what was held back gets its time
            assert [each.id for each in await direct.rebalances.page(limit=10)] == [retried.header.id]


async def test_a_key_whose_end_the_database_was_not_told_is_in_progress(mongodb_url: str, database_name: str) -> None:
    """What is stored is returned; until the lease is over nobody else can know that it was."""
    async with Proxy.to(mongodb_url) as proxy, open_database(proxy.url, database_name) as database:
        await database.ping(READY_SECONDS)
        proxy.before_write = lambda number: number > INSERT
        assert await once(database) is not None
        proxy.before_write = lambda _: False
        with pytest.raises(KeyInProgress):
            await once(database)
