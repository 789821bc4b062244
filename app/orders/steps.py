"""What a plan needs next, decided from the stored plan alone: the life of a post as a state machine.

    PENDING -> SENDING -> CREATED, REFUSED            a clear response
               SENDING -> PENDING                     clearly nothing was created
               SENDING -> UNKNOWN                     anything else, and a post whose sender lost its lease
    UNKNOWN -> CREATED                                a query found the order
               PENDING, REFUSED after five times      two complete responses without the order, after the quiet time

SELLs are sent before BUYs, and BUYs only when every SELL has an outcome. A post that is proven to have created nothing
is ABANDONED: its timestamp is queried for another day, in case the Order Service creates the orders late after all.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from app.orders.trades import HELD_BACK, NOT_STORABLE, is_storable, unaffordable
from persistence import UNFINISHED_ORDER_STATES, OrderPlan, OrderPost

BATCH: Final = 15
"""Orders of one post: the Order Service creates this many at once, which limits how many can be late."""
ABSENCES: Final = 5
"""Posts of one order, each proven to have created nothing, after which it is refused."""
SUBMISSIONS: Final = 5
SUBMISSION_BATCH: Final = 100
FIRST_RETRIES: Final = (timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4))
"""Waits after posts that clearly created nothing; then the sweep's interval."""

_LONGEST_WATCH_INTERVAL: Final = timedelta(minutes=10)


class OrderLimits(Struct, frozen=True, kw_only=True):
    """The durations that decide.

    Attributes:
        lease: how long one process may work on a plan without renewing its lease; longer than a post takes.
        timeout: of a post.
        quiet: after a post has ended, before a missing order means anything.
        query_interval: between two queries of a post.
        sweep: the longest wait before unfinished plans are looked for.
        watch: how long abandoned timestamps are queried.
        concurrency: plans that one process works on at the same time.
    """

    lease: timedelta
    timeout: timedelta
    quiet: timedelta
    query_interval: timedelta
    sweep: timedelta
    watch: timedelta
    concurrency: int


class TakeOver(Struct, frozen=True):
    """A post was being sent by a process that lost its lease."""

    post: int


class Query(Struct, frozen=True):
    """A post has orders whose outcome is unknown."""

    post: int


class Watch(Struct, frozen=True):
    """An abandoned post may have created its orders after all."""

    post: int


class Refuse(Struct, frozen=True):
    """Orders that are not sent, by index, with the reason."""

    orders: tuple[int, ...]
    message: str


class Send(Struct, frozen=True):
    """Orders to post together, by index."""

    orders: tuple[int, ...]


class Submit(Struct, frozen=True):
    """Created orders to submit, by index."""

    orders: tuple[int, ...]


class Wait(Struct, frozen=True):
    """Nothing to do before `due`; never again if it is None."""

    due: datetime | None
    is_open: bool


type Step = TakeOver | Query | Watch | Refuse | Send | Submit | Wait


def next_step(plan: OrderPlan, limits: OrderLimits, *, checked: Collection[int] = (), sending: bool = True) -> Step:
    """Return what to do next.

    Args:
        plan: as it is stored, updated a moment ago; `updated_at` is the database's time.
        limits: the durations.
        checked: abandoned posts that were queried since the plan was acquired.
        sending: whether posts and submissions are allowed at all.
    """
    now = plan.updated_at
    for index, post in enumerate(plan.posts):
        if post.state == "SENDING":
            return TakeOver(index)
    for index, post in enumerate(plan.posts):
        if post.state == "UNKNOWN" and next_query(post, limits) <= now:
            return Query(index)
    if sending and (step := _next_post(plan, checked)) is not None:
        return step
    for index, post in enumerate(plan.posts):
        if (due := next_watch(post, limits, now)) is not None and due <= now:
            return Watch(index)
    if sending and (created := submittable(plan)) and (plan.submit_at is None or plan.submit_at <= now):
        return Submit(created[:SUBMISSION_BATCH])
    return Wait(min(_due(plan, limits, sending=sending), default=None), is_open(plan))


def is_open(plan: OrderPlan) -> bool:
    """Return whether an order of a plan has no outcome yet."""
    return any(order.state in UNFINISHED_ORDER_STATES for order in plan.orders)


def next_query(post: OrderPost, limits: OrderLimits) -> datetime:
    """Return when a post with unknown orders is to be queried."""
    assert post.ended_at is not None
    return post.ended_at if post.queried_at is None else post.queried_at + limits.query_interval


def proves_absence(post: OrderPost, limits: OrderLimits, asked_at: datetime) -> bool:
    """Return whether a complete response to a query at this time counts as a missing order."""
    assert post.ended_at is not None
    earliest = post.ended_at + limits.quiet
    if post.missed_at is not None:
        earliest = max(earliest, post.missed_at + limits.query_interval)
    return asked_at >= earliest


def next_watch(post: OrderPost, limits: OrderLimits, now: datetime) -> datetime | None:
    """Return when an abandoned post is to be queried, less and less often; None for any other, and after a day."""
    if post.state != "ABANDONED" or post.ended_at is None or now - post.ended_at > limits.watch:
        return None
    since = post.queried_at or post.ended_at
    interval = min(max((since - post.ended_at) / 10, limits.query_interval), _LONGEST_WATCH_INTERVAL)
    return since + interval


def submittable(plan: OrderPlan) -> tuple[int, ...]:
    """Return the created orders that are still to be submitted, by index."""
    if not plan.submit or plan.submissions >= SUBMISSIONS:
        return ()
    return tuple(index for index, order in enumerate(plan.orders) if order.state == "CREATED")


def _next_post(plan: OrderPlan, checked: Collection[int]) -> Step | None:
    """Return the next step towards creating a PENDING order, or None if nothing is due."""
    pending = [index for index, order in enumerate(plan.orders) if order.state == "PENDING"]
    if unstorable := tuple(index for index in pending if not is_storable(plan.orders[index].quantity)):
        return Refuse(unstorable, NOT_STORABLE)
    sells = [index for index in pending if plan.orders[index].side == "SELL"]
    if not sells and any(order.side == "SELL" and order.state == "UNKNOWN" for order in plan.orders):
        return None
    if not sells and (held := unaffordable(plan)):
        return Refuse(held, HELD_BACK)
    batch = tuple((sells or pending)[:BATCH])
    if not batch or (plan.retry_at is not None and plan.retry_at > plan.updated_at):
        return None
    for index, post in enumerate(plan.posts):
        # An order that was missing may have been created since; it must not be sent again then.
        if post.state == "ABANDONED" and index not in checked and not set(batch).isdisjoint(post.orders):
            return Watch(index)
    return Send(batch)


def _due(plan: OrderPlan, limits: OrderLimits, *, sending: bool) -> Iterator[datetime]:
    """Yield every time at which something will be to do."""
    for post in plan.posts:
        if post.state == "UNKNOWN":
            yield next_query(post, limits)
        watch = next_watch(post, limits, plan.updated_at)
        if watch is not None:
            yield watch
    waits = (
        (any(order.state == "PENDING" for order in plan.orders), plan.retry_at),
        (bool(submittable(plan)), plan.submit_at),
    )
    for waiting, at in waits:
        if waiting:
            yield at if sending and at is not None and at > plan.updated_at else plan.updated_at + limits.sweep
