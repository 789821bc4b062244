"""Order plans as MongoDB holds them, collection `order_plans`: one document for one portfolio of one rebalance."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from bson import ObjectId
from msgspec import Struct

type OrderState = Literal["PENDING", "CREATED", "SUBMITTED", "REFUSED", "UNKNOWN"]
type PostState = Literal["SENDING", "UNKNOWN", "ABANDONED", "CLOSED"]

UNFINISHED_ORDER_STATES: Final = ("PENDING", "UNKNOWN")
ORDER_DRAFT: Final = timedelta(seconds=60)
"""How long a draft is kept for the call that inserted it, or for another call that accepts it."""


class PlannedOrder(Struct, frozen=True, rename="camel"):
    """One order of a plan.

    Attributes:
        quantity: shares, above 0.
        price: of the rebalance's snapshot.
        order_id: the Order Service's id; None until it is known.
        timestamp: of the post that created it, in microseconds since the epoch; None until it is known.
        absences: posts of it that were proven to have created nothing.
        duplicates: ids of further orders that the Order Service created for it.
    """

    security_id: str
    ticker: str | None
    side: Literal["BUY", "SELL"]
    quantity: Decimal
    price: Decimal
    state: OrderState = "PENDING"
    order_id: int | None = None
    message: str | None = None
    timestamp: int | None = None
    absences: int = 0
    duplicates: tuple[int, ...] = ()


class OrderPost(Struct, frozen=True, rename="camel"):
    """One post of at most 15 orders.

    Attributes:
        timestamp: the `orderTimestamp` of its orders, in microseconds since the epoch; no other post has it.
        orders: which orders of the plan, by index.
        started_at: when it was stored, before anything was sent.
        ended_at: when it was over, or known to be over.
        queried_at: the last query for it.
        missed_at: when a complete response first lacked an order of it, after the quiet time.
    """

    timestamp: int
    orders: tuple[int, ...]
    state: PostState
    started_at: datetime
    ended_at: datetime | None = None
    queried_at: datetime | None = None
    missed_at: datetime | None = None


class OrderPlan(Struct, frozen=True, rename="camel"):
    """The orders of one portfolio of one rebalance, collection `order_plans`.

    Attributes:
        place: of the portfolio in its rebalance.
        sequence: of the portfolio's plans.
        cash: of the portfolio, before the rebalance, that may pay for BUYs.
        fee_rate, fee_per_order: of every order.
        submit: whether created orders are to be submitted.
        submissions: how many times they were.
        correlation_id, user: of the call that requested it.
        created_at: when it was stored.
        updated_at: when it last changed.
        revision: grows by one with every change.
        open: whether an order has no outcome yet.
        due: when it is to be processed next; None for never.
        failures: posts in a row that clearly created nothing.
        retry_at: no post is sent before.
        submit_at: nothing is submitted before.
        last_sent_at: when the last post started, or ended with an outcome.
        owner: of the lease; None without one.
        draft: the call that inserted it, while that call may still be rejected.
    """

    id: str
    rebalance_id: ObjectId
    portfolio_id: str
    place: int
    sequence: int
    orders: tuple[PlannedOrder, ...]
    posts: tuple[OrderPost, ...]
    cash: Decimal
    fee_rate: Decimal
    fee_per_order: Decimal
    submit: bool
    correlation_id: str
    user: str | None
    created_at: datetime
    updated_at: datetime
    submissions: int = 0
    revision: int = 0
    open: bool = False
    due: datetime | None = None
    failures: int = 0
    retry_at: datetime | None = None
    submit_at: datetime | None = None
    last_sent_at: datetime | None = None
    owner: ObjectId | None = None
    draft: ObjectId | None = None


class Claim(Struct, frozen=True):
    """The state of all plans of one portfolio.

    Attributes:
        sequence: the highest.
        open_for: a rebalance whose orders of this portfolio are unfinished.
        last_sent_for, last_sent_at: the rebalance that sent orders last, and when.
    """

    sequence: int = 0
    open_for: ObjectId | None = None
    last_sent_for: ObjectId | None = None
    last_sent_at: datetime | None = None


class Backlog(Struct, frozen=True):
    """Unfinished work over all plans: the number of orders, and the age of the oldest in seconds."""

    pending: int = 0
    unknown: int = 0
    oldest_pending_seconds: float = 0.0
    oldest_unknown_seconds: float = 0.0
