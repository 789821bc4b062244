"""Many processes on one model, killed at random and replaced, while others sweep up after them."""

import asyncio
import random
from datetime import timedelta

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from persistence import Database
from persistence.codec import Document
from tests.persistence.examples import change, model, portfolio_owners
from tests.persistence.pod import Pod, work_until_killed

_PODS = 4
_LIVES = 12


@pytest.mark.slow
async def test_processes_killed_at_random_lose_nothing_and_leave_nothing_half_done(
    server_url: str, database: Database, database_name: str, stored: AsyncDatabase[Document]
) -> None:
    """Every acknowledged change is in the audit trail, in order and once."""
    shared = model()
    await database.models.insert(shared, change())
    acknowledged: list[str] = []

    async def live_and_die(chance: random.Random) -> None:
        for _ in range(_LIVES):
            async with Pod.start(work_until_killed, server_url, database_name, str(shared.id)) as pod:
                await pod.opened()
                asyncio.get_running_loop().call_later(chance.uniform(0.01, 0.6), pod.process.kill)
                acknowledged.extend((await pod.go()).splitlines())

    async def sweep() -> None:
        while True:
            await database.models.sweep(timedelta(0))
            await asyncio.sleep(0.05)

    sweeping = asyncio.create_task(sweep())
    await asyncio.gather(*(live_and_die(random.Random(number)) for number in range(_PODS)))
    sweeping.cancel()

    now = await database.models.get(shared.id)
    history = await database.models.history(shared.id, limit=100_000)
    assert [entry.version for entry in history] == list(range(now.version, 0, -1))
    versions = {int(line.removeprefix("version ")) for line in acknowledged if line.startswith("version ")}
    assert len(versions) > _PODS
    assert max(versions) <= now.version
    assert len(versions) == sum(line.startswith("version ") for line in acknowledged)

    await asyncio.sleep(1)  # ids tell their age in whole seconds
    await database.rebalances.sweep(timedelta(0))
    whole = {header.id: header.number_of_portfolios for header in await database.rebalances.page(limit=100_000)}
    told = {ObjectId(line.removeprefix("rebalance ")) for line in acknowledged if line.startswith("rebalance ")}
    assert told
    assert told <= whole.keys()
    documents = await stored["rebalances"].count_documents({"abandonedAt": {"$exists": False}})
    assert documents == len(whole) + sum(whole.values())
    assert await portfolio_owners(stored) == whole.keys()
