"""How many portfolios of a rebalance are in flight, and which rebalance goes first while several are running."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class RunningRebalance:
    """A rebalance that is running; created by `Schedule`."""

    def __init__(self, schedule: "Schedule", portfolios: int) -> None:
        self._schedule = schedule
        self.portfolios = portfolios
        self._in_flight = 0
        self._computing = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._changed = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Portfolios that are begun and not yet finished."""
        return self._in_flight

    async def each(self, work: Callable[[int, str], Coroutine[Any, Any, None]], portfolio_ids: Sequence[str]) -> None:
        """Run the work for each portfolio, by index and id, as many at once as may be in flight.

        Raises:
            Exception: what the first failing call raised; the others are cancelled.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                for index, portfolio_id in enumerate(portfolio_ids):
                    # Reading more books than can be computed would only keep this process busy.
                    while self._in_flight >= self._schedule.concurrency or self._waiting:
                        self._changed.clear()
                        await self._changed.wait()
                    self._in_flight += 1
                    tasks.create_task(work(index, portfolio_id)).add_done_callback(self._finished)
        except BaseExceptionGroup as failed:
            # Only what ends the whole rebalance arrives here, and its first exception is the reason.
            raise failed.exceptions[0] from None

    def _finished(self, _: asyncio.Task[None]) -> None:
        self._in_flight -= 1
        self._changed.set()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until one more portfolio of this rebalance may be computed, in order of arrival.

        Waits for upstreams belong before this: they use no core of the pod, and as many portfolios as may be in flight
        should wait for slow upstreams.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self.admit_waiting()
        try:
            await turn
            yield
        finally:
            # The caller may have been cancelled before its turn came, or before it was resumed.
            if not turn.cancelled():
                self._computing -= 1
                self.admit_waiting()

    def admit_waiting(self) -> None:
        """Start the portfolios that wait for a turn, up to the limit."""
        while self._waiting and self._computing < self._schedule.limit(self):
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self._computing += 1
                turn.set_result(None)
        self._changed.set()


class Schedule:
    """The rebalances that are running in this process.

    Each has at most `concurrency` portfolios in flight, and computes fewer of them while a smaller rebalance is
    running: a single portfolio waits for those of a large request that are being computed, as they share the pod's
    cores.

    Attributes:
        concurrency: portfolios of a rebalance in flight.
    """

    def __init__(self, concurrency: int, beside_smaller: int) -> None:
        """Set the limits.

        Args:
            concurrency: portfolios of one rebalance in flight.
            beside_smaller: portfolios of one rebalance being computed while a smaller rebalance is running.
        """
        self.concurrency = concurrency
        self._beside_smaller = min(beside_smaller, concurrency)
        self._running: list[RunningRebalance] = []
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Portfolios of all rebalances that are begun and not yet finished."""
        return sum(running.in_flight for running in self._running)

    @contextmanager
    def rebalance(self, portfolios: int) -> Iterator[RunningRebalance]:
        """Register a rebalance of this number of portfolios as running for as long as the block lasts."""
        rebalance = RunningRebalance(self, portfolios)
        self._running.append(rebalance)
        self._idle.clear()
        try:
            yield rebalance
        finally:
            self._running.remove(rebalance)
            if not self._running:
                self._idle.set()
            for other in self._running:
                other.admit_waiting()

    async def idle(self, seconds: float) -> None:
        """Wait until no rebalance is running, or until this many seconds have passed: for work that may wait."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    def limit(self, rebalance: RunningRebalance) -> int:
        """Return how many portfolios of a rebalance may be computed now."""
        smallest = min(running.portfolios for running in self._running)
        return self.concurrency if rebalance.portfolios == smallest else self._beside_smaller


class ScheduleFigures(Collector):
    """The portfolios in flight, as a metric."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the current figure."""
        yield GaugeMetricFamily(
            "order_generation_portfolios_in_flight",
            "Portfolios being read, waiting for a solver process, being solved or being recorded.",
            self._schedule.in_flight,
        )
