"""Whether this process can serve: the database answers and a solver process lives."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from msgspec import Struct
from pymongo.errors import PyMongoError

from integrations import Upstreams
from persistence import Database, PersistenceError
from solver.pool import SolverPool

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 0.5
"""Between two looks at the database."""
PING_SECONDS = 0.5
LOOK_SECONDS = 0.75
"""The longest that a look may take: an outage is known well within two seconds, also on a busy machine."""


class State(Struct, frozen=True):
    """What a probe sees; a neighbour's circuit never makes the service unready."""

    database: bool
    solvers: bool
    upstreams: Mapping[str, str]


class Readiness:
    """The state of the parts. It is looked up in the background, so that a probe waits for nothing."""

    def __init__(self, database: Database, solvers: SolverPool[Any, Any], neighbours: Upstreams) -> None:
        self._database = database
        self._solvers = solvers
        self._neighbours = neighbours
        self._database_up: bool | None = None

    def state(self) -> State:
        """Give the present state; the database's is that of the last look."""
        return State(bool(self._database_up), self._solvers.ready, self._neighbours.states())

    async def look(self) -> None:
        """See whether the database answers; tell the log of a change."""
        reason = ""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._database.ping(PING_SECONDS)
        except (PersistenceError, PyMongoError, TimeoutError) as error:
            reason = str(error.__cause__ or error) or "no answer in time"
        up = not reason
        if up is not self._database_up:
            self._database_up = up
            if up:
                log.info("database answers")
            else:
                log.error("database is away", reason=reason)


@asynccontextmanager
async def watching(readiness: Readiness) -> AsyncIterator[None]:
    """Keep looking for as long as the block lasts; the first look is over when it begins."""

    async def keep_looking() -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            await readiness.look()

    await readiness.look()
    looking = asyncio.create_task(keep_looking(), name="readiness")
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
