"""Works on one order plan under its lease, step by step, until nothing is left to do now.

Every step stores its result before the next one is decided from what is stored. A process that dies, stalls or loses
the database leaves a plan that any process continues when the lease has expired.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from bson import ObjectId

from app.orders.lease import LeaseLost, PlanLease
from app.orders.outcomes import (
    EPOCH,
    MICROSECOND,
    found_fields,
    late_fields,
    new_timestamp,
    order_to_post,
    result_fields,
)
from app.orders.steps import (
    ABSENCES,
    FIRST_RETRIES,
    OrderLimits,
    Query,
    Refuse,
    Send,
    Step,
    Submit,
    TakeOver,
    Wait,
    Watch,
    next_step,
    proves_absence,
)
from app.orders.telemetry import OrderObserver
from integrations import FoundOrder, OrderOutcome, Orders, PostResult, ServiceError
from persistence import DuplicateTimestamp, OrderPost, OrderRepository

_TIMESTAMP_ATTEMPTS: Final = 5
_COURTESY_SECONDS: Final = 0.25
"""How long a post waits for running rebalances to end, whose callers wait for responses and need the same cores."""
_SENT_AGAIN: Final = "The Order Service did not create this order by the last post; it is sent again."
_NOT_CREATED: Final = "The Order Service did not create this order in {posts} attempts."


class OrderSender:
    """Works on order plans.

    Args:
        repository: where they are stored.
        orders: the Order Service.
        limits: durations.
        observer: notified of every step.
        idle: waits until no rebalance is running, for at most as many seconds as it is called with.
        sending: whether orders may be posted and submitted; without it only unknown outcomes are resolved.
    """

    def __init__(
        self,
        repository: OrderRepository,
        orders: Orders,
        limits: OrderLimits,
        observer: OrderObserver,
        idle: Callable[[float], Awaitable[None]],
        *,
        sending: bool,
    ) -> None:
        self.repository = repository
        self.orders = orders
        self.limits = limits
        self.observer = observer
        self.idle = idle
        self.sending = sending

    async def process(self, plan_id: str) -> None:
        """Do everything that can be done now for a plan that is due; nothing if another process has its lease.

        Raises:
            DatabaseUnavailable: the database could not be reached; the lease expires by itself.
        """
        with self.observer.processing() as processed:
            started = time.monotonic()
            plan = await self.repository.acquire(plan_id, ObjectId(), self.limits.lease)
            if plan is None:
                return
            processed(plan)
            try:
                await _Work(self, PlanLease(self.repository, plan, self.limits, started)).run()
            except LeaseLost as lost:
                self.observer.problem("lease of an order plan lost", reason=str(lost))


class _Work:
    """One acquisition of one plan."""

    def __init__(self, sender: OrderSender, lease: PlanLease) -> None:
        self._orders = sender.orders
        self._limits = sender.limits
        self._observer = sender.observer
        self._idle = sender.idle
        self._sending = sender.sending
        self._lease = lease
        self._checked: set[int] = set()

    async def run(self) -> None:
        """Perform one step after the other until none is due, then return the lease."""
        while True:
            step = next_step(self._lease.plan, self._limits, checked=self._checked, sending=self._sending)
            if not isinstance(step, Wait):
                if not await self._perform(step):
                    due = self._lease.plan.updated_at + self._limits.query_interval
                    await self._lease.release(due, is_open=self._lease.plan.open)
                    return
                continue
            if await self._lease.release(step.due, is_open=step.is_open):
                return
            # A caller changed the plan while it was processed.
            await self._lease.reread()

    async def _perform(self, step: Step) -> bool:
        """Perform a step; return whether the next one may follow at once."""
        match step:
            case TakeOver(post=post):
                await self._take_over(post)
            case Query(post=post):
                await self._query(post)
            case Watch(post=post):
                return await self._watch(post)
            case Refuse(orders=orders, message=message):
                await self._refuse(orders, message)
            case Send(orders=orders):
                await self._send(orders)
            case Submit(orders=orders):
                await self._submit(orders)
        return True

    async def _take_over(self, index: int) -> None:
        """Treat a post whose sender lost its lease as one whose outcome is unknown, and which has ended just now."""
        message = "The outcome is unknown: the sending process stopped."
        fields = self._states(self._lease.plan.posts[index].orders, "UNKNOWN", message)
        await self._change(
            "orders with unknown outcome found",
            {f"posts.{index}.state": "UNKNOWN", **fields},
            now=[f"posts.{index}.endedAt"],
        )

    async def _refuse(self, orders: Sequence[int], message: str) -> None:
        await self._change("orders refused before they were sent", self._states(orders, "REFUSED", message))

    async def _send(self, indexes: Sequence[int]) -> None:
        """Store the post, send it, and store what is certain about its outcome."""
        await self._idle(_COURTESY_SECONDS)
        index = len(self._lease.plan.posts)
        timestamp = await self._begin_post(index, indexes)
        batch = [order_to_post(self._lease.plan, self._lease.plan.orders[each], timestamp) for each in indexes]
        result = await self._orders.post(batch, before_body=self._lease.check)
        if result.nothing_created:
            await self._record_nothing(indexes, result)
        else:
            await self._record(index, indexes, result)

    async def _begin_post(self, index: int, indexes: Sequence[int]) -> datetime:
        for _ in range(_TIMESTAMP_ATTEMPTS):
            timestamp = new_timestamp(self._lease.plan.updated_at)
            path = f"posts.{index}"
            try:
                await self._lease.store(
                    {
                        f"{path}.timestamp": (timestamp - EPOCH) // MICROSECOND,
                        f"{path}.orders": list(indexes),
                        f"{path}.state": "SENDING",
                    },
                    now=[f"{path}.startedAt", "lastSentAt"],
                    until=self._lease.sending_ends,
                )
            except DuplicateTimestamp:
                continue
            return timestamp
        raise LeaseLost("no timestamp that is not in use was found")

    async def _record_nothing(self, indexes: Sequence[int], result: PostResult) -> None:
        """Remove a post that clearly created nothing, and wait before the next one."""
        failures = self._lease.plan.failures
        wait = FIRST_RETRIES[failures] if failures < len(FIRST_RETRIES) else self._limits.sweep
        self._observer.problem("orders not sent", reason=result.message, wait_seconds=wait.total_seconds())
        await self._lease.store(
            {
                "failures": failures + 1,
                "retryAt": self._lease.plan.updated_at + wait,
                **{
                    f"orders.{each}.message": f"Not created yet; the last attempt failed: {result.message}."
                    for each in indexes
                },
            },
            drop_last_post=True,
            until=self._lease.ends,
        )

    async def _record(self, index: int, indexes: Sequence[int], result: PostResult) -> None:
        timestamp = self._lease.plan.posts[index].timestamp
        fields: dict[str, Any] = {"failures": 0, "retryAt": None}
        for place, each in zip(indexes, result.orders, strict=True):
            fields |= result_fields(place, each, timestamp)
        unknown = any(each.outcome is OrderOutcome.UNKNOWN for each in result.orders)
        fields[f"posts.{index}.state"] = "UNKNOWN" if unknown else "CLOSED"
        now = [f"posts.{index}.endedAt", "lastSentAt"]
        await self._change("orders sent", fields, now=now, reason=result.message or None)

    async def _query(self, index: int) -> None:
        """Resolve the unknown orders of a post as far as the Order Service shows what exists."""
        post = self._lease.plan.posts[index]
        asked_at = self._lease.plan.updated_at
        found = await self._find(post)
        if found is None:
            await self._lease.store({}, now=[f"posts.{index}.queriedAt"], until=self._lease.ends)
            return
        fields = found_fields(self._lease.plan, post, found)
        missing = [
            each
            for each in post.orders
            if self._lease.plan.orders[each].state == "UNKNOWN" and f"orders.{each}.state" not in fields
        ]
        now = [f"posts.{index}.queriedAt"]
        if not missing:
            fields[f"posts.{index}.state"] = "CLOSED"
        elif proves_absence(post, self._limits, asked_at):
            if post.missed_at is None:
                now.append(f"posts.{index}.missedAt")
            else:
                fields[f"posts.{index}.state"] = "ABANDONED"
                fields |= self._absent_fields(missing)
        await self._change("unknown orders queried", fields, now=now, still_unknown=len(missing))

    def _absent_fields(self, missing: Sequence[int]) -> dict[str, Any]:
        """Return the changes of orders that were proven absent: sent again, or refused after the fifth time."""
        fields: dict[str, Any] = {}
        for each in missing:
            order = self._lease.plan.orders[each]
            fields[f"orders.{each}.absences"] = order.absences + 1
            if order.absences + 1 >= ABSENCES:
                fields[f"orders.{each}.state"] = "REFUSED"
                fields[f"orders.{each}.message"] = (
                    f"{_NOT_CREATED.format(posts=ABSENCES)} {order.message or ''}".strip()
                )
            else:
                fields[f"orders.{each}.state"] = "PENDING"
                fields[f"orders.{each}.message"] = _SENT_AGAIN
        return fields

    async def _watch(self, index: int) -> bool:
        """Find orders that an abandoned post created late; return whether the query succeeded."""
        post = self._lease.plan.posts[index]
        found = await self._find(post)
        if found is None:
            await self._lease.store({}, now=[f"posts.{index}.queriedAt"], until=self._lease.ends)
            return False
        self._checked.add(index)
        fields = late_fields(self._lease.plan, post, found)
        await self._change("abandoned post queried", fields, now=[f"posts.{index}.queriedAt"])
        return True

    async def _find(self, post: OrderPost) -> tuple[FoundOrder, ...] | None:
        try:
            return await self._orders.find(EPOCH + post.timestamp * MICROSECOND)
        except ServiceError as error:
            self._observer.problem("orders cannot be queried", reason=error.reason)
            return None

    async def _submit(self, indexes: Sequence[int]) -> None:
        """Submit orders, then ask which of them are submitted: the response of the submission does not show it."""
        submissions = self._lease.plan.submissions + 1
        await self._lease.store(
            {
                "submissions": submissions,
                "submitAt": self._lease.plan.updated_at + self._limits.query_interval * submissions,
            },
            until=self._lease.sending_ends,
        )
        orders = [self._lease.plan.orders[each] for each in indexes]
        reason = None
        try:
            ids = [order.order_id for order in orders if order.order_id is not None]
            await self._orders.submit(ids, before_body=self._lease.check)
        except ServiceError as error:
            reason = error.reason
        submitted: set[int] = set()
        for timestamp in sorted({order.timestamp for order in orders if order.timestamp is not None}):
            try:
                found = await self._orders.find(EPOCH + timestamp * MICROSECOND)
            except ServiceError as error:
                reason = error.reason
                continue
            submitted |= {row.order_id for row in found if row.submitted}
            await self._lease.store({}, until=self._lease.ends)
        done = [each for each in indexes if self._lease.plan.orders[each].order_id in submitted]
        fields: dict[str, Any] = {f"orders.{each}.state": "SUBMITTED" for each in done}
        if len(done) < len(indexes):
            note = f"Created, but not submitted: {reason or 'the Order Service still shows it as new'}."
            fields |= {f"orders.{each}.message": note for each in indexes if each not in done}
        else:
            fields |= {"submissions": 0, "submitAt": None}
        await self._change("orders submitted", fields, reason=reason)

    def _states(self, indexes: Sequence[int], state: str, message: str) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for each in indexes:
            fields |= {f"orders.{each}.state": state, f"orders.{each}.message": message}
        return fields

    async def _change(self, event: str, fields: Mapping[str, Any], *, now: Sequence[str] = (), **facts: object) -> None:
        before = self._lease.plan
        await self._lease.store(fields, now=now, until=self._lease.ends)
        if fields:
            self._observer.changed(before, self._lease.plan, event, **facts)
