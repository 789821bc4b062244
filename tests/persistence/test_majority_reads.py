"""Reads see nothing that a failover could roll back."""

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from persistence import DatabaseUnavailable, RebalanceNotFound, open_database
from persistence.embedded import find_mongod
from tests.persistence.examples import change, model, portfolios_of, rebalance, store


@pytest.fixture
def two_servers(tmp_path: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The URL of a primary, and its only secondary, without which it has no majority but stays the primary."""
    ports = []
    with ExitStack() as stack:
        for _ in range(2):
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    with ExitStack() as stack:
        servers = []
        for number, port in enumerate(ports):
            directory = tmp_path / str(number)
            directory.mkdir()
            server = subprocess.Popen(
                [
                    *(find_mongod({}), "--dbpath", directory, "--port", str(port), "--bind_ip", "127.0.0.1"),
                    *("--replSet", "rs0", "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket"),
                    *("--setParameter", "diagnosticDataCollectionEnabled=false"),
                ],
                stdout=subprocess.DEVNULL,
            )
            stack.callback(server.wait)
            stack.callback(server.kill)
            servers.append(server)
        url = f"mongodb://127.0.0.1:{ports[0]}/?directConnection=true"
        with MongoClient[dict[str, object]](url, serverSelectionTimeoutMS=30_000) as client:
            members = [
                {"_id": number, "host": f"127.0.0.1:{port}", "priority": 1 - number}
                for number, port in enumerate(ports)
            ]
            settings = {"electionTimeoutMillis": 60_000}
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members, "settings": settings})
            deadline = time.monotonic() + 30
            while not client.admin.command("hello")["isWritablePrimary"]:
                assert time.monotonic() < deadline
                # The first election would wait for the election timeout.
                with suppress(OperationFailure):
                    client.admin.command("replSetStepUp")
                time.sleep(0.05)
        yield url, psutil.Process(servers[1].pid)


@pytest.mark.slow
async def test_a_write_that_no_majority_has_is_an_outage_and_no_read_shows_it(
    two_servers: tuple[str, psutil.Process],
) -> None:
    """A model keeps its content, and a rebalance does not exist, until a majority has the writes."""
    url, secondary = two_servers
    async with open_database(url, "test") as database:
        async with asyncio.timeout(30):
            while True:
                try:
                    await database.ping(1)
                    some = model()
                    await database.models.insert(some, change())
                except DatabaseUnavailable:
                    continue
                break
        await store(database, rebalance(1))
        secondary.send_signal(signal.SIGSTOP)
        header = rebalance(1)
        with pytest.raises(DatabaseUnavailable):
            await database.models.replace(replace(some, name="Income"), change())
        with pytest.raises(DatabaseUnavailable):
            await store(database, header)
        assert await database.models.get(some.id) == some
        assert [each.id async for each in database.models.each()] == [some.id]
        with pytest.raises(RebalanceNotFound):
            await database.rebalances.get(header.id)
        assert await database.rebalances.count() == 1
        assert len(await database.rebalances.page(limit=10)) == 1
        secondary.send_signal(signal.SIGCONT)
        async with asyncio.timeout(30):
            while await database.rebalances.count() == 1:  # noqa: ASYNC110 - another process's event
                await asyncio.sleep(0.05)
        assert len(await portfolios_of(database, header)) == 1
        assert (await database.models.get(some.id)).name == "Income"
