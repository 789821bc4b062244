"""What was acknowledged is there after the server is killed."""

import asyncio
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from persistence import Database, DatabaseUnavailable, Model, Rebalance, open_database, record_of
from persistence.embedded import EmbeddedMongod
from tests.harness.databases import READY_SECONDS, open_patiently
from tests.persistence.examples import change, model, portfolio, rebalance

_WRITERS = 10
_ACKNOWLEDGED_BEFORE_THE_KILL = 60


@pytest.mark.parametrize("replica_set", [True, False], ids=["replica set", "standalone"])
async def test_a_mongod_killed_under_load_loses_nothing_that_was_acknowledged(
    tmp_path: Path, replica_set: bool
) -> None:
    """After the restart every acknowledged model and rebalance is read back."""
    models: list[Model] = []
    rebalances: list[Rebalance] = []
    enough = asyncio.Event()

    async def write(database: Database, writer: int) -> None:
        """Makes models and rebalances, and a new version of each model, until the database is gone."""
        try:
            while True:
                made = model(f"Model {writer}.{len(models)}")
                await database.models.insert(made, change())
                models.append(made)
                models.append(await database.models.replace(replace(made, positions=()), change()))
                header = rebalance(3)
                async with database.rebalances.storing(header.id) as storage:
                    for place in range(3):
                        await storage.add(record_of(portfolio(header.id, place)))
                    await storage.finish(header)
                rebalances.append(header)
                if len(models) >= _ACKNOWLEDGED_BEFORE_THE_KILL:
                    enough.set()
        except DatabaseUnavailable:
            return

    with EmbeddedMongod.start(tmp_path, replica_set=replica_set) as mongod:
        [server] = psutil.Process(mongod.process).children()
        async with open_database(mongod.url, "test") as database:
            await database.ping(READY_SECONDS)
            writers = asyncio.gather(*(write(database, number) for number in range(_WRITERS)))
            async with asyncio.timeout(READY_SECONDS):
                await enough.wait()
            server.kill()
            await writers

    with EmbeddedMongod.start(tmp_path, replica_set=replica_set) as mongod:
        async with open_patiently(mongod.url, "test") as database:
            for each in models:
                now = await database.models.get(each.id)
                assert now.version >= each.version
                history = await database.models.history(each.id, limit=10)
                assert [entry.version for entry in history] == list(range(now.version, 0, -1))
            for header in rebalances:
                assert await database.rebalances.get(header.id) == header
                assert len([each async for each in database.rebalances.portfolios(header)]) == 3
            seen = await database.rebalances.page(limit=10_000)
            for header in seen:
                assert len([each async for each in database.rebalances.portfolios(header)]) == 3
    assert len(models) >= _ACKNOWLEDGED_BEFORE_THE_KILL
