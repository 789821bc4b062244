"""The lease of one order plan: every change is stored under it, and a change whose result is unknown is settled."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from app.orders.steps import OrderLimits
from integrations import NotSent
from persistence import DatabaseUnavailable, OrderPlan, OrderRepository

_DATABASE_RETRY_SECONDS: Final = 0.2


class LeaseLost(Exception):
    """Another process works on the plan, or the lease has expired."""


class PlanLease:
    """A plan and its lease.

    Args:
        repository: where the plan is stored.
        plan: as it was acquired.
        limits: durations.
        started: a moment before the acquisition, of `time.monotonic()`.

    Attributes:
        plan: as it is stored now.
    """

    def __init__(self, repository: OrderRepository, plan: OrderPlan, limits: OrderLimits, started: float) -> None:
        self._repository = repository
        self._limits = limits
        self.plan = plan
        # In the database, the lease ends its duration after this moment at the earliest.
        self._renewed = started

    def ends(self) -> float:
        """Return when the lease ends, of `time.monotonic()`."""
        return self._renewed + self._limits.lease.total_seconds()

    def sending_ends(self) -> float:
        """Return the last moment at which a post can begin and be over before the lease ends."""
        return self.ends() - self._limits.timeout.total_seconds()

    def check(self) -> None:
        """Raise NotSent if it is too late to begin a post."""
        if time.monotonic() > self.sending_ends():
            raise NotSent("the lease was too short for another post")

    async def store(
        self,
        fields: Mapping[str, Any],
        *,
        now: Sequence[str] = (),
        drop_last_post: bool = False,
        until: Callable[[], float],
    ) -> None:
        """Store a change, which renews the lease; a change whose result is unknown is read again until it is known.

        Args:
            fields: as in `OrderRepository.change`.
            now: as in `OrderRepository.change`.
            drop_last_post: as in `OrderRepository.change`.
            until: how long to try, of `time.monotonic()`.

        Raises:
            LeaseLost: another process has changed the plan.
            DatabaseUnavailable: the database was not available until the time was up.
        """
        # Whether the database reported a change as failed, which it may still make.
        is_unknown = False
        while True:
            renewed = time.monotonic()
            try:
                changed = await self._repository.change(self.plan, fields, now=now, drop_last_post=drop_last_post)
            except DatabaseUnavailable:
                if time.monotonic() > until():
                    raise
                await asyncio.sleep(_DATABASE_RETRY_SECONDS)
                is_unknown = True
                was_made = await self._was_changed(until)
            else:
                if changed is not None:
                    self.plan, self._renewed = changed, renewed
                    return
                # It may have made the change after the plan was read, and before the change was repeated.
                was_made = is_unknown and await self._was_changed(until)
                if not was_made:
                    raise LeaseLost("another process changed the plan")
            if was_made:
                # Read, but perhaps not yet on a majority of the servers: they acknowledge a further change.
                fields, now, drop_last_post, is_unknown = {}, (), False, False

    async def reread(self) -> None:
        """Read the plan as others have changed it.

        Raises:
            LeaseLost: another process has the lease.
        """
        current = await self._repository.reread(self.plan)
        if current is None:
            raise LeaseLost("another process has the lease")
        self.plan = current

    async def release(self, due: datetime | None, *, is_open: bool) -> bool:
        """Return the lease; return whether that was possible: the plan was not changed meanwhile."""
        return await self._repository.release(self.plan, due, is_open=is_open) is not None

    async def _was_changed(self, until: Callable[[], float]) -> bool:
        while True:
            before = self.plan.revision
            try:
                await self.reread()
            except DatabaseUnavailable:
                if time.monotonic() > until():
                    raise
                await asyncio.sleep(_DATABASE_RETRY_SECONDS)
                continue
            return self.plan.revision > before
