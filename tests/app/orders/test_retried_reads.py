"""Reads and changes of plans that fail are repeated, until it is known what is stored and what was created."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from app.orders.lease import LeaseLost, PlanLease
from app.orders.steps import OrderLimits
from integrations.simulator import Creation, ErrorStatus, OrderFault, OrderResponse
from persistence import Database, DatabaseUnavailable, OrderPlan, PlannedOrder
from tests.harness.failpoints import failpoint
from tests.harness.faults import ORDER_POST, ORDER_QUERY
from tests.harness.ordering import BOUGHT, OrderingService, OrderServiceControl, check_created, statuses

INTERNAL = 8
"""An error number that the driver does not retry by itself."""
LIMITS = OrderLimits(
    lease=timedelta(seconds=60),
    timeout=timedelta(seconds=20),
    quiet=timedelta(seconds=60),
    query_interval=timedelta(seconds=10),
    sweep=timedelta(seconds=10),
    watch=timedelta(hours=24),
    concurrency=1,
)


@pytest.fixture
def failing_mongodb_url(mongodb_url: str) -> str:
    """The server, if its commands can be made to fail."""
    with MongoClient[dict[str, object]](mongodb_url) as client:
        if not client.admin.command("getParameter", enableTestCommands=True)["enableTestCommands"]:
            pytest.skip("the server has no test commands")
    return mongodb_url


@pytest.fixture
def plans_namespace(failing_mongodb_url: str, database_name: str) -> str:
    """The collection of plans of the tests that need no service."""
    return f"{database_name}.order_plans"


@pytest.fixture
async def lease(database: Database) -> PlanLease:
    """The lease of a plan with one order."""
    now, rebalance_id, portfolio_id = datetime.now(UTC), ObjectId(), "p" * 24
    plan_id = f"{rebalance_id}/{portfolio_id}"
    order = PlannedOrder("s" * 24, None, "BUY", Decimal(10), Decimal(5))
    plan = OrderPlan(
        id=plan_id, rebalance_id=rebalance_id, portfolio_id=portfolio_id, place=0, sequence=1, orders=(order,),
        posts=(), cash=Decimal(100), fee_rate=Decimal(0), fee_per_order=Decimal(0), submit=False, correlation_id="c",
        user=None, created_at=now, updated_at=now, open=True, due=now - timedelta(days=1),
    )  # fmt: skip
    await database.orders.insert([plan])
    started = time.monotonic()
    acquired = await database.orders.acquire(plan_id, ObjectId(), LIMITS.lease)
    assert acquired is not None
    return PlanLease(database.orders, acquired, LIMITS, started)


def later() -> float:
    return time.monotonic() + 100


async def test_a_change_that_failed_is_read_again_until_that_succeeds_and_then_made(
    lease: PlanLease, failing_mongodb_url: str, plans_namespace: str
) -> None:
    """The change fails once and reading it twice; the change is stored once."""
    before = lease.plan
    with failpoint(
        failing_mongodb_url, "findAndModify", "find", times=3, errorCode=INTERNAL, namespace=plans_namespace
    ):
        await lease.store({"failures": 7}, until=later)
    assert (lease.plan.failures, lease.plan.revision) == (7, before.revision + 1)
    await lease.reread()
    assert (lease.plan.failures, lease.plan.revision) == (7, before.revision + 1)


async def test_a_change_that_was_made_although_it_was_reported_as_failed_is_not_made_again(
    lease: PlanLease, failing_mongodb_url: str, plans_namespace: str
) -> None:
    """A further change without content confirms it."""
    before = lease.plan
    failed = {"code": INTERNAL, "errmsg": "caused by a test"}
    post = {"timestamp": 5, "orders": [0], "state": "SENDING", "startedAt": before.updated_at}
    with failpoint(failing_mongodb_url, "findAndModify", times=1, writeConcernError=failed, namespace=plans_namespace):
        await lease.store({"posts.0": post}, now=["lastSentAt"], until=later)
    assert [each.timestamp for each in lease.plan.posts] == [5]
    assert lease.plan.revision == before.revision + 2


async def test_a_change_that_is_made_late_is_recognised(
    lease: PlanLease, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database reports a failure, and makes the change just before it is repeated."""
    before, change, calls = lease.plan, database.orders.change, 0

    async def late(plan: OrderPlan, *arguments: Any, **options: Any) -> OrderPlan | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise DatabaseUnavailable("caused by a test")
        if calls == 2:
            await change(plan, *arguments, **options)
        return await change(plan, *arguments, **options)

    monkeypatch.setattr(database.orders, "change", late)
    await lease.store({"failures": 7}, until=later)
    assert (calls, lease.plan.failures, lease.plan.revision) == (3, 7, before.revision + 2)


async def test_a_lease_that_is_lost_after_a_failure_ends_the_change(
    lease: PlanLease, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the plan does not show the change, and the change is refused, it is not repeated for ever."""
    outcomes = iter((DatabaseUnavailable("caused by a test"), None))

    async def refused(*_arguments: Any, **_options: Any) -> None:
        if (outcome := next(outcomes)) is not None:
            raise outcome

    monkeypatch.setattr(database.orders, "change", refused)
    with pytest.raises(LeaseLost):
        await lease.store({"failures": 7}, until=later)


async def test_a_change_is_given_up_when_its_time_is_over(
    lease: PlanLease, failing_mongodb_url: str, plans_namespace: str
) -> None:
    """The failure is raised, and the lease keeps others from the plan until it ends."""
    with (
        failpoint(failing_mongodb_url, "findAndModify", "find", errorCode=INTERNAL, namespace=plans_namespace),
        pytest.raises(DatabaseUnavailable),
    ):
        await lease.store({"failures": 7}, until=lambda: 0.0)
    await lease.reread()
    assert lease.plan.failures == 0


def test_a_failing_query_is_repeated_and_the_orders_that_it_finds_are_not_sent_again(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """The response to the only post is lost, two queries fail, and the third finds all orders."""
    portfolio = order_service.portfolio()
    rebalance_id = service.rebalance([portfolio], order_service.world)
    order_service.inject(
        OrderFault(responds=OrderResponse.CUT_BEFORE, creates=Creation.YES, calls=1),
        ErrorStatus(status=500, route=ORDER_QUERY, calls=2),
    )
    service.send(rebalance_id)
    state = service.finished(rebalance_id)
    assert statuses(state) == {"CREATED": BOUGHT}
    check_created(state, order_service.orders(portfolio))
    assert {order["message"] for order in state["portfolios"][0]["orders"]} == {"Found by its timestamp."}
    assert order_service.calls(ORDER_POST) == 1
    # Abandoned posts of other tests are queried as well.
    assert order_service.calls(ORDER_QUERY) >= 3


def test_a_call_whose_plan_is_stored_repeats_what_fails_afterwards(
    service: OrderingService,
    ordering: Mapping[str, str],
    order_service: OrderServiceControl,
    failing_mongodb_url: str,
) -> None:
    """The plan cannot be accepted twice in a row; the caller gets the outcomes and no error."""
    portfolio = order_service.portfolio()
    rebalance_id = service.rebalance([portfolio], order_service.world)
    namespace = f"{ordering['DATABASE_NAME']}.order_plans"
    with failpoint(failing_mongodb_url, "update", times=2, errorCode=INTERNAL, namespace=namespace):
        response = service.send(rebalance_id)
    assert (response.status_code, statuses(response.json())) == (200, {"CREATED": BOUGHT})
    check_created(response.json(), order_service.orders(portfolio))
