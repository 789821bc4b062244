"""Idempotency keys: one request gets a key, the others wait for its response, and a dead one does not keep it."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId
from msgspec.structs import replace
from pymongo.asynchronous.database import AsyncDatabase

from persistence import AlreadyStored, Claimed, Database, KeyInProgress, KeyReused, StorageLost, record_of
from persistence.codec import Document
from tests.persistence.examples import NOON, portfolio, rebalance
from tests.persistence.pod import Pod, ten_claims

TARGET = "model/1"


async def _store(database: Database, rebalance_id: ObjectId) -> None:
    header = replace(rebalance(1), id=rebalance_id)
    async with database.rebalances.storing(rebalance_id) as storage:
        await storage.add(record_of(portfolio(rebalance_id, 0)))
        await storage.finish(header)


async def _expire(stored: AsyncDatabase[Document]) -> None:
    """As if the lease had run out."""
    await stored["idempotency_keys"].update_many({}, {"$set": {"leaseUntil": NOON}})


async def test_the_first_request_gets_the_key_and_the_next_its_response(database: Database) -> None:
    """While the first one runs, the next one gets the end of its lease."""
    claim = await database.idempotency.claim("key", TARGET, ObjectId())
    assert isinstance(claim, Claimed)
    with pytest.raises(KeyInProgress) as running:
        await database.idempotency.claim("key", TARGET, ObjectId())
    assert running.value.lease_until > datetime.now(UTC)
    await _store(database, claim.rebalance_id)
    await database.idempotency.complete(claim)
    assert await database.idempotency.claim("key", TARGET, ObjectId()) == AlreadyStored(claim.rebalance_id)


async def test_a_key_belongs_to_one_target(database: Database) -> None:
    """Another target is rejected with the first one's, running or completed."""
    claim = await database.idempotency.claim("key", TARGET, ObjectId())
    for _ in range(2):  # while it runs, and after it completed
        with pytest.raises(KeyReused) as reused:
            await database.idempotency.claim("key", "model/2", ObjectId())
        assert reused.value.target == TARGET
        assert isinstance(claim, Claimed)
        await database.idempotency.complete(claim)


async def test_a_released_key_is_free_at_once(database: Database) -> None:
    """Another target can have it."""
    claim = await database.idempotency.claim("key", TARGET, ObjectId())
    assert isinstance(claim, Claimed)
    await database.idempotency.release(claim)
    assert isinstance(await database.idempotency.claim("key", "model/2", ObjectId()), Claimed)


async def test_of_20_simultaneous_requests_on_two_processes_one_gets_the_key(
    server_url: str, database: Database, database_name: str
) -> None:
    """Nineteen are told that it is in progress."""
    async with (
        Pod.start(ten_claims, server_url, database_name, "key") as one,
        Pod.start(ten_claims, server_url, database_name, "key") as other,
    ):
        await asyncio.gather(one.opened(), other.opened())
        responses = await asyncio.gather(one.go(), other.go())
    assert Counter(" ".join(responses).split()) == {"Claimed": 1, "KeyInProgress": 19}


async def test_after_a_crash_one_of_20_requests_takes_the_key_over(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """An expired lease has exactly one successor."""
    await database.idempotency.claim("key", TARGET, ObjectId())
    await _expire(stored)

    async def claim() -> str:
        try:
            return type(await database.idempotency.claim("key", TARGET, ObjectId())).__name__
        except KeyInProgress:
            return "KeyInProgress"

    outcomes = Counter(await asyncio.gather(*(claim() for _ in range(20))))
    assert outcomes == {"Claimed": 1, "KeyInProgress": 19}


async def test_a_crash_after_storing_and_before_completing_still_returns_the_result(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """The stored rebalance decides, not the state of the key."""
    claim = await database.idempotency.claim("key", TARGET, ObjectId())
    assert isinstance(claim, Claimed)
    await _store(database, claim.rebalance_id)
    await _expire(stored)
    assert await database.idempotency.claim("key", TARGET, ObjectId()) == AlreadyStored(claim.rebalance_id)


@pytest.mark.parametrize("begun", [False, True], ids=["before it began to store", "while it stored"])
async def test_a_request_that_lost_its_key_cannot_store_a_second_rebalance(
    database: Database, stored: AsyncDatabase[Document], begun: bool
) -> None:
    """A slow owner that loses its key to another request cannot complete it any more."""
    former = await database.idempotency.claim("key", TARGET, ObjectId())
    assert isinstance(former, Claimed)
    await _expire(stored)

    async def take_over() -> Claimed:
        taken = await database.idempotency.claim("key", TARGET, ObjectId())
        assert isinstance(taken, Claimed)
        await _store(database, taken.rebalance_id)
        await database.idempotency.complete(taken)
        return taken

    if begun:

        async def store_slowly() -> None:
            async with database.rebalances.storing(former.rebalance_id) as storage:
                await take_over()
                await storage.add(record_of(portfolio(former.rebalance_id, 0)))
                await storage.finish(replace(rebalance(1), id=former.rebalance_id))

        with pytest.raises(StorageLost):
            await store_slowly()
    else:
        await take_over()
        with pytest.raises(StorageLost):
            await _store(database, former.rebalance_id)
    await database.idempotency.complete(former)
    await database.idempotency.release(former)
    assert len(await database.rebalances.page(limit=10)) == 1
    [response] = await database.rebalances.page(limit=10)
    assert await database.idempotency.claim("key", TARGET, ObjectId()) == AlreadyStored(response.id)


async def test_a_key_is_forgotten_a_day_after_its_first_use(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """The index expires documents by the time of the first claim."""
    await database.idempotency.claim("key", TARGET, ObjectId())
    document = await stored["idempotency_keys"].find_one()
    assert document
    [index] = [
        each for each in (await stored["idempotency_keys"].index_information()).values() if "expireAfterSeconds" in each
    ]
    assert index["expireAfterSeconds"] == 24 * 60 * 60
    assert abs(document[index["key"][0][0]] - datetime.now(UTC)) < timedelta(minutes=1)
