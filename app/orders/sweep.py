"""The background work on order plans: everything that is due, by any process, a bounded number at a time.

A call that stores plans wakes the sweep. Otherwise it looks for due plans when the next one is due, and at least once
per sweep interval, because another process may have stored or left some.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from typing import Final

import structlog

from app.background import running
from app.observability.metrics import Metrics
from app.orders.sending import OrderSender
from app.orders.steps import OrderLimits
from app.orders.telemetry import OrderObserver
from integrations import Orders
from persistence import DatabaseUnavailable, DocumentUnreadable, OrderRepository

log = structlog.get_logger(__name__)

_CLOSING_SECONDS: Final = 15.0
_PAUSE_SECONDS: Final = 1.0
_SHORTEST_WAIT_SECONDS: Final = 0.01
_FOUND: Final = 50
"""Due plans that are found by one query and then worked on one after the other."""


class OrderSweep:
    """Works on due plans.

    Args:
        repository: where the plans are stored.
        orders: the Order Service; while its circuit breaker is open, one plan per sweep is tried.
        sender: works on one plan.
        limits: durations, and how many plans are worked on at a time.
        observer: notified of the backlog.
    """

    def __init__(
        self,
        repository: OrderRepository,
        orders: Orders,
        sender: OrderSender,
        limits: OrderLimits,
        observer: OrderObserver,
    ) -> None:
        self._repository = repository
        self._orders = orders
        self._sender = sender
        self._limits = limits
        self._observer = observer
        self._sweep_seconds = limits.sweep.total_seconds()
        self._woken = asyncio.Event()
        self._working: dict[str, asyncio.Task[None]] = {}
        self._found: list[str] = []
        self._next_probe = 0.0
        self._next_report = 0.0

    @property
    def blocked(self) -> bool:
        """Whether the Order Service is known to be unavailable, so that plans wait."""
        return not self._orders.available

    def wake(self) -> None:
        """Check for due plans at once."""
        self._woken.set()

    @asynccontextmanager
    async def running(self, metrics: Metrics) -> AsyncIterator[None]:
        """Sweep until the block ends, and again if a sweep fails; posts under way then have a few seconds to end."""
        try:
            async with running("order-sweep", self._run, metrics):
                yield
        finally:
            if self._working:
                await asyncio.wait(self._working.values(), timeout=_CLOSING_SECONDS)
            for task in self._working.values():
                task.cancel()

    async def _run(self) -> None:
        """Sweep again and again, also while the database is unavailable."""
        while True:
            try:
                await self._sweep()
            except DatabaseUnavailable:
                self._observer.problem("orders wait for the database")
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _sweep(self) -> None:
        """Start what is due and can be started, then wait for a reason to look again."""
        self._woken.clear()
        wait = self._sweep_seconds
        if time.monotonic() >= self._next_report:
            await self._repository.discard_expired()
            self._observer.backlog(await self._repository.backlog())
            self._next_report = time.monotonic() + self._sweep_seconds
        free = self._free()
        if free > 0 and not self._found:
            due, following = await self._repository.due(limit=_FOUND + len(self._working))
            self._found = [plan_id for plan_id in due if plan_id not in self._working]
            # Processes that look at the same time would otherwise compete for the same plans.
            random.shuffle(self._found)
            if following is not None:
                wait = min(wait, max(following, _SHORTEST_WAIT_SECONDS))
        for _ in range(min(free, len(self._found))):
            self._start(self._found.pop())
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._woken.wait()

    def _free(self) -> int:
        free = self._limits.concurrency - len(self._working)
        if not self.blocked:
            return free
        if time.monotonic() < self._next_probe:
            return 0
        self._next_probe = time.monotonic() + self._sweep_seconds
        return min(free, 1)

    def _start(self, plan_id: str) -> None:
        # A trace of its own, and none of this task's suppressed instrumentation.
        task = asyncio.create_task(self._work(plan_id), context=Context())
        self._working[plan_id] = task

        def done(_: asyncio.Task[None]) -> None:
            del self._working[plan_id]
            self._woken.set()

        task.add_done_callback(done)

    async def _work(self, plan_id: str) -> None:
        try:
            await self._sender.process(plan_id)
        except DocumentUnreadable:
            # Reported; the lease keeps it from being found before the lease ends, and no other plan depends on it.
            self._observer.problem("unreadable order plan", plan=plan_id)
        except DatabaseUnavailable:
            self._observer.problem("order plan waits for the database", plan=plan_id)
            await asyncio.sleep(_PAUSE_SECONDS)
        except Exception:
            log.exception("order plan failed", plan=plan_id)
            self._observer.sweep_failed()
            await asyncio.sleep(_PAUSE_SECONDS)
