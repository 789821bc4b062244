"""Readiness of this process: the database responds and a solver process is alive."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import structlog
from msgspec import Struct
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from integrations import Upstreams
from persistence import Database, DatabaseUnavailable
from solver.pool import SolverPool

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.5
"""Between two checks of the database."""
PING_SECONDS: Final = 0.5
CHECK_SECONDS: Final = 0.75
"""The longest that a check may take: an outage is known well within two seconds, also on a busy machine."""
NO_RESPONSE: Final = "no response in time"
DELAY_PERIOD_SECONDS: Final = 0.02
BUSY_SECONDS: Final = 0.1
"""Delay of the event loop from which a check that ran out of time says nothing about the database."""
MOST_INCONCLUSIVE: Final = 2
"""Checks in succession that a busy event loop may invalidate; the next one counts in any case."""


class State(Struct, frozen=True):
    """The state that a probe reports; the circuit of an upstream never makes the service unready.

    Attributes:
        database_fault: why the database cannot be used, in the words of the API's error; None if it can be used.
    """

    database_fault: str | None
    solvers: bool
    upstreams: Mapping[str, str]

    @property
    def database(self) -> bool:
        """Whether the database can be used."""
        return self.database_fault is None


class Readiness:
    """The state of the parts, checked in the background, so that a probe does not wait."""

    def __init__(self, database: Database | None, solvers: SolverPool[Any, Any], upstreams: Upstreams | None) -> None:
        self._database = database
        self._solvers = solvers
        self._upstreams = upstreams
        self._fault: str | None = "not checked yet"
        self._logged: str | None = "not checked yet"

    @property
    def has_database(self) -> bool:
        """Whether the service has a database: the stateless optimizer has none."""
        return self._database is not None

    def state(self) -> State:
        """Return the present state; the database's is that of the last check."""
        upstreams = self._upstreams.states() if self._upstreams else {}
        return State(self._fault, self._solvers.ready, upstreams)

    async def check(self) -> None:
        """Check whether the database can be used, and log a change: which hosts fail, and why."""
        if self._database is None:
            self._fault = None
            return
        for _ in range(MOST_INCONCLUSIVE):
            async with _measured_delay() as delay:
                fault, cause = await self._fault_now(self._database)
            # Thousands of requests that arrive at once keep the event loop from reading the database's reply in time.
            if fault != NO_RESPONSE or delay.longest < BUSY_SECONDS:
                break
        else:
            fault, cause = await self._fault_now(self._database)
        self._fault = fault
        if fault == self._logged:
            return
        self._logged = fault
        if fault is None:
            log.info("database reachable")
        else:
            log.error("database unreachable", reason=fault, cause=cause)

    async def _fault_now(self, database: Database) -> tuple[str | None, str | None]:
        """Return why the database cannot be used and the cause for the log; None and None if it can be used."""
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await database.ping(PING_SECONDS)
        except DatabaseUnavailable as error:
            return error.reason, error.cause
        except TimeoutError:
            return NO_RESPONSE, NO_RESPONSE
        return None, None

    async def keep_checking(self) -> None:
        """Check again and again, until cancelled."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            await self.check()


class _Delay(Struct):
    """The longest delay of the event loop, in seconds, while it was measured."""

    longest: float = 0


@asynccontextmanager
async def _measured_delay() -> AsyncIterator[_Delay]:
    """Measure how late the event loop runs what is due, for as long as the block lasts."""
    delay = _Delay()
    now = asyncio.get_running_loop().time

    expected = now() + DELAY_PERIOD_SECONDS

    async def measure() -> None:
        nonlocal expected
        while True:
            await asyncio.sleep(DELAY_PERIOD_SECONDS)
            delay.longest = max(delay.longest, now() - expected)
            expected = now() + DELAY_PERIOD_SECONDS

    measuring = asyncio.create_task(measure(), name="event loop delay")
    try:
        yield delay
    finally:
        delay.longest = max(delay.longest, now() - expected)
        measuring.cancel()
        with suppress(asyncio.CancelledError):
            await measuring


class ReadinessFigures(Collector):
    """The result of the latest readiness check, as a metric."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the current figures."""
        up = GaugeMetricFamily(
            "order_generation_up", "Whether a part that the service requires is available.", labels=("part",)
        )
        state = self._readiness.state()
        if self._readiness.has_database:
            up.add_metric(("database",), state.database)
        up.add_metric(("solvers",), state.solvers)
        yield up
