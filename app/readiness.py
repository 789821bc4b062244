"""Whether this process can serve: the database answers and a solver process lives."""

import asyncio
import time
from collections.abc import Mapping

from msgspec import Struct

from integrations.neighbours import Integrations
from persistence.database import Database
from persistence.errors import DatabaseUnavailable
from solver.pool import SolverPool

CACHE_SECONDS = 1.0
PING_SECONDS = 1.0


class State(Struct, frozen=True):
    """What a probe sees; a neighbour's circuit never makes the service unready."""

    database: bool
    solvers: bool
    upstreams: Mapping[str, str]


class Readiness:
    """Checks at most about once a second, however many probes ask."""

    def __init__(self, database: Database, solvers: SolverPool, neighbours: Integrations) -> None:
        self._database = database
        self._solvers = solvers
        self._neighbours = neighbours
        self._checking = asyncio.Lock()
        self._database_up = False
        self._checked_at = -CACHE_SECONDS

    async def check(self) -> State:
        """Give the present state; the database's is at most a second old."""
        async with self._checking:
            if time.monotonic() - self._checked_at >= CACHE_SECONDS:
                self._database_up = await self._ping()
                self._checked_at = time.monotonic()
        return State(self._database_up, self._solvers.ready, self._neighbours.states())

    async def _ping(self) -> bool:
        try:
            await self._database.ping(PING_SECONDS)
        except DatabaseUnavailable:
            return False
        return True
