"""A process of its own on the database, as one of several pods: `python -m tests.persistence.pod SCRIPT URL NAME [ID]`.

It says `open` when it has opened the database, waits for a line on its standard input, runs the script, and prints what
came of it.
"""

import asyncio
import random
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from bson import ObjectId
from msgspec.structs import replace

from persistence import Database, KeyInProgress, ModelAction, open_database, record_of
from tests.persistence import examples

PORTFOLIOS: Final = 450
"""Of the stored rebalance: more than two batches."""


class Pod:
    """A started process; `go` lets its script run."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    @asynccontextmanager
    async def start(cls, script: Callable[..., Awaitable[object]], url: str, *arguments: str) -> AsyncIterator["Pod"]:
        """A process that runs `script` of this module; it ends with the block at the latest."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.persistence.pod", script.__name__, url, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin
        try:
            yield cls(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def opened(self) -> None:
        """Waits until it has opened the database."""
        assert self.process.stdout
        assert await self.process.stdout.readline() == b"open\n"

    def killed_before(self, write: int) -> Callable[[int], bool]:
        """For `Proxy.before_write`: the process dies with -9 before this write command gets to the server."""

        def kill(number: int) -> bool:
            if number == write:
                self.process.kill()
            return number >= write

        return kill

    async def go(self) -> str:
        """What the script came to; empty if it was killed."""
        output, _ = await self.process.communicate(b"\n")
        return output.decode().removeprefix("open\n").strip()


async def life_of_a_model(database: Database, model_id: str) -> None:
    """A model is created, replaced and deleted: three changes of three writes each."""
    model = examples.model(id=ObjectId(model_id))
    await database.models.insert(model, examples.change(ModelAction.CREATED))
    await database.models.replace(replace(model, name="Value"), examples.change())
    await database.models.delete(model.id, 2, examples.change(ModelAction.DELETED))


async def life_of_a_rebalance(database: Database, rebalance_id: str) -> None:
    """A rebalance is stored and deleted: two batches, a third with the header; hiding, portfolios, header."""
    header = await examples.store(database, replace(examples.rebalance(PORTFOLIOS), id=ObjectId(rebalance_id)))
    await database.rebalances.delete(header.id, 1)


async def largest_rebalance(database: Database) -> str:
    """100 portfolios of 500 positions are stored and read back; how many came back, and bytes that memory grew by."""
    header = examples.rebalance(100)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with database.rebalances.storing(header.id) as storage:
        for place in range(100):
            await storage.add(record_of(examples.portfolio(header.id, place, positions=500)))
        await storage.finish(header)
    came_back = 0
    async for portfolio in database.rebalances.portfolios(header):
        came_back += portfolio == examples.portfolio(header.id, came_back, positions=500)
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return f"{came_back} {growth * (1 if sys.platform == 'darwin' else 1024)}"


async def work_until_killed(database: Database, model_id: str) -> None:
    """Changes one model and stores rebalances for ever; prints each version and rebalance that was acknowledged."""
    while True:
        portfolios = (str(ObjectId()),)
        changed = await database.models.change(
            ObjectId(model_id),
            lambda now, portfolios=portfolios: replace(now, portfolios=portfolios),  # type: ignore[misc]
            examples.change(),
        )
        print("version", changed.version, flush=True)
        header = await examples.store(database, examples.rebalance(random.choice((3, 3, 3, PORTFOLIOS))))
        print("rebalance", header.id, flush=True)


async def ten_claims(database: Database, key: str) -> str:
    """Ten requests with one idempotency key at once."""

    async def claim() -> str:
        try:
            return type(await database.idempotency.claim(key, "model/1", ObjectId())).__name__
        except KeyInProgress:
            return "KeyInProgress"

    return " ".join(await asyncio.gather(*(claim() for _ in range(10))))


async def sweep(database: Database, lease_seconds: str) -> None:
    """What crashes left is removed."""
    await database.rebalances.sweep(timedelta(seconds=float(lease_seconds)))


async def ping(database: Database) -> str:
    """Is it there, with its indexes?"""
    await database.ping(30)
    return "pong"


async def _main(script: str, url: str, name: str, *arguments: str) -> None:
    async with open_database(url, name) as database:
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(await globals()[script](database, *arguments))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
