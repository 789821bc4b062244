"""What a plan needs next, decided from its stored state alone."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId
from msgspec.structs import replace

from app.orders.steps import (
    BATCH,
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
from app.orders.trades import HELD_BACK, NOT_STORABLE, Costs, is_storable
from persistence import OrderPlan, OrderPost, PlannedOrder

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LIMITS = OrderLimits(
    lease=timedelta(seconds=60),
    timeout=timedelta(seconds=40),
    quiet=timedelta(seconds=60),
    query_interval=timedelta(seconds=10),
    sweep=timedelta(seconds=10),
    watch=timedelta(hours=24),
    concurrency=4,
)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def order(side: str = "BUY", state: str = "PENDING", **more: Any) -> PlannedOrder:
    fields = {"security_id": "s", "ticker": None, "quantity": Decimal(10), "price": Decimal(5), **more}
    return PlannedOrder(side=side, state=state, **fields)  # type: ignore[arg-type]


def post(state: str, *orders: int, **more: Any) -> OrderPost:
    fields = {"timestamp": 1, "started_at": NOW - seconds(90), "ended_at": NOW - seconds(80), **more}
    return OrderPost(orders=orders, state=state, **fields)  # type: ignore[arg-type]


def plan(*orders: PlannedOrder, posts: tuple[OrderPost, ...] = (), **more: Any) -> OrderPlan:
    fields = {"cash": Decimal(1000), "fee_rate": Decimal(0), "fee_per_order": Decimal(0), "submit": False, **more}
    return OrderPlan(
        id="r/p", rebalance_id=ObjectId(), portfolio_id="p", place=0, sequence=1, orders=orders, posts=posts,
        correlation_id="c", user=None, created_at=NOW, updated_at=NOW, **fields,
    )  # fmt: skip


def step(*orders: PlannedOrder, **more: Any) -> Step:
    return next_step(plan(*orders, **more), LIMITS)


def test_sells_are_sent_before_buys_in_batches() -> None:
    """At most fifteen orders are posted together, and never SELLs with BUYs."""
    orders = [order("SELL")] * 17 + [order()] * 2
    assert step(*orders) == Send(tuple(range(BATCH)))
    orders[:BATCH] = [order("SELL", "CREATED")] * BATCH
    assert step(*orders) == Send((15, 16))
    orders[BATCH:17] = [order("SELL", "REFUSED"), order("SELL", "CREATED")]
    assert step(*orders) == Send((17, 18))


def test_buys_wait_for_the_outcome_of_every_sell() -> None:
    """UNKNOWN is not an outcome."""
    queried = post("UNKNOWN", 0, queried_at=NOW - seconds(3))
    assert step(order("SELL", "UNKNOWN"), order(), posts=(queried,)) == Wait(NOW + seconds(7), is_open=True)


@pytest.mark.parametrize(
    ("cash", "held"),
    [("1000", ()), ("100", (4,)), ("99", (3, 4)), ("50", (3, 4)), ("49", (2, 3, 4)), ("-300", (2, 3, 4))],
)
def test_refused_sells_hold_back_what_the_money_does_not_pay_for(cash: str, held: tuple[int, ...]) -> None:
    """BUYs are kept in order while cash and created SELLs pay for them; each costs 50 here."""
    sells = (order("SELL", "REFUSED"), order("SELL", "CREATED", quantity=Decimal(1), price=Decimal("0.01")))
    expected = Refuse(held, HELD_BACK) if held else Send((2, 3, 4))
    assert step(*sells, order(), order(), order(), cash=Decimal(cash)) == expected


def test_a_refused_buy_costs_nothing() -> None:
    """Money for one BUY pays for the next one if the first was refused."""
    sell = order("SELL", "REFUSED")
    assert step(sell, order("BUY", "REFUSED"), order(), cash=Decimal(50)) == Send((2,))
    assert step(sell, order("BUY", "CREATED"), order(), cash=Decimal(50)) == Refuse((2,), HELD_BACK)


def test_fees_and_reserved_money_reduce_what_pays_for_buys() -> None:
    """A BUY that is affordable without fees can be unaffordable with them."""
    sell = order("SELL", "REFUSED")
    assert step(sell, order(), cash=Decimal(50)) == Send((1,))
    assert step(sell, order(), cash=Decimal(50), fee_per_order=Decimal("0.01")) == Refuse((1,), HELD_BACK)
    rules = {"feeRate": Decimal("0.001"), "minimumCash": "100", "withdrawal": None}
    assert Costs.of(rules) == Costs(Decimal("0.001"), Decimal(0), Decimal(100))
    assert Costs.of(None) == Costs()


@pytest.mark.parametrize(
    ("quantity", "storable"),
    [
        ("9999999999.99999999", True),
        ("10000000000", False),
        ("0.000000001", False),
        ("1.500000000", True),
        ("1E+3", True),
    ],
)
def test_what_the_order_service_cannot_store_is_refused(quantity: str, storable: bool) -> None:
    """A decimal(18,8) has ten digits before the point and eight after it."""
    assert is_storable(Decimal(quantity)) is storable
    expected = Send((0,)) if storable else Refuse((0,), NOT_STORABLE)
    assert step(order(quantity=Decimal(quantity))) == expected


def test_a_post_that_its_sender_did_not_finish_is_taken_over_first() -> None:
    """Nothing else happens before its outcome is stored as unknown."""
    assert step(order(), order(), posts=(post("CLOSED", 0), post("SENDING", 1))) == TakeOver(1)


def test_unknown_orders_are_queried_at_once_and_then_at_intervals() -> None:
    """Other orders of the plan continue meanwhile."""
    unknown = order("BUY", "UNKNOWN")
    assert step(unknown, order(), posts=(post("UNKNOWN", 0),)) == Query(0)
    recent = post("UNKNOWN", 0, queried_at=NOW - seconds(9))
    assert step(unknown, order(), posts=(recent,)) == Send((1,))
    assert step(unknown, posts=(recent,)) == Wait(NOW + seconds(1), is_open=True)


@pytest.mark.parametrize(
    ("ended", "missed", "proves"),
    [(61, None, True), (60, None, True), (59, None, False), (75, 10, True), (75, 9, False), (5, 30, False)],
)
def test_absence_is_proven_only_after_the_quiet_time_and_an_interval(
    ended: float, missed: float | None, proves: bool
) -> None:
    """Times are the database's, in seconds before the query."""
    missed_at = None if missed is None else NOW - seconds(missed)
    asked = post("UNKNOWN", 0, ended_at=NOW - seconds(ended), missed_at=missed_at)
    assert proves_absence(asked, LIMITS, NOW) is proves


def test_an_abandoned_post_is_queried_before_its_orders_are_sent_again() -> None:
    """An order that was missing may have been created since."""
    abandoned = post("ABANDONED", 0, queried_at=NOW - seconds(1))
    again = plan(order(), order(), posts=(abandoned,))
    assert next_step(again, LIMITS) == Watch(0)
    assert next_step(again, LIMITS, checked={0}) == Send((0, 1))


def test_abandoned_posts_are_watched_for_a_day_less_and_less_often() -> None:
    """The interval grows with the time since the post, to ten minutes at most."""
    created = order("BUY", "CREATED")

    def watched(ended: timedelta, queried: timedelta) -> Step:
        return step(created, posts=(post("ABANDONED", 0, ended_at=NOW - ended, queried_at=NOW - queried),))

    assert watched(seconds(90), seconds(11)) == Watch(0)
    assert watched(seconds(90), seconds(9)) == Wait(NOW + seconds(1), is_open=False)
    assert watched(timedelta(hours=5), timedelta(minutes=9)) == Wait(NOW + timedelta(minutes=1), is_open=False)
    assert watched(timedelta(hours=25), timedelta(minutes=30)) == Wait(None, is_open=False)


def test_posts_that_created_nothing_are_followed_by_a_wait() -> None:
    """No post is sent before the time of the next attempt; without posts allowed, the sweep looks again."""
    waiting = plan(order(), retry_at=NOW + seconds(2))
    assert next_step(waiting, LIMITS) == Wait(NOW + seconds(2), is_open=True)
    assert next_step(replace(waiting, retry_at=NOW), LIMITS) == Send((0,))
    assert next_step(replace(waiting, retry_at=None), LIMITS, sending=False) == Wait(NOW + seconds(10), is_open=True)


def test_created_orders_are_submitted_up_to_five_times() -> None:
    """Only if that was requested, and again after an interval."""
    created = order("BUY", "CREATED", order_id=1)
    assert step(created) == Wait(None, is_open=False)
    assert step(created, submit=True) == Submit((0,))
    assert step(created, submit=True, submit_at=NOW + seconds(5)) == Wait(NOW + seconds(5), is_open=False)
    assert step(created, submit=True, submissions=5) == Wait(None, is_open=False)
