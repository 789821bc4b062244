"""Whether this process can serve: the database answers and a solver process lives."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import structlog
from msgspec import Struct
from pymongo.errors import PyMongoError

from integrations.neighbours import Integrations
from persistence.database import Database
from persistence.errors import PersistenceError
from solver.pool import SolverPool

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.75
"""Between two looks at the database, and for each of them: so an outage is known within twice as long."""


class State(Struct, frozen=True):
    """What a probe sees; a neighbour's circuit never makes the service unready."""

    database: bool
    solvers: bool
    upstreams: Mapping[str, str]


class Readiness:
    """The state of the parts. It is looked up in the background, so that a probe waits for nothing."""

    def __init__(self, database: Database, solvers: SolverPool, neighbours: Integrations) -> None:
        self._database = database
        self._solvers = solvers
        self._neighbours = neighbours
        self._database_up = False

    def state(self) -> State:
        """Give the present state; the database's is that of the last look."""
        return State(self._database_up, self._solvers.ready, self._neighbours.states())

    async def look(self) -> None:
        """See whether the database answers; tell the log of a change."""
        reason = ""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._database.ping(LOOK_SECONDS)
        except (PersistenceError, PyMongoError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
        if self._database_up and reason:
            log.error("database is away", reason=reason)
        if not self._database_up and not reason:
            log.info("database answers")
        self._database_up = not reason


@asynccontextmanager
async def watching(readiness: Readiness) -> AsyncIterator[None]:
    """Keep looking for as long as the block lasts; the first look is over when it begins."""

    async def keep_looking() -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await readiness.look()

    await readiness.look()
    looking = asyncio.create_task(keep_looking(), name="readiness")
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
