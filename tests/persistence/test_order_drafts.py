"""Drafts of order plans: kept while the call that inserted them may still accept them, and removed afterwards."""

from datetime import datetime, timedelta
from decimal import Decimal

from bson import ObjectId

from persistence import Database, OrderPlan, PlannedOrder
from tests.persistence.conftest import on_one_server

pytestmark = on_one_server


def draft(rebalance_id: ObjectId, call: ObjectId, portfolio_id: str, due: datetime) -> OrderPlan:
    order = PlannedOrder(security_id="s", ticker=None, side="BUY", quantity=Decimal(1), price=Decimal(1))
    return OrderPlan(
        id=f"{rebalance_id}/{portfolio_id}", rebalance_id=rebalance_id, portfolio_id=portfolio_id, place=0, sequence=1,
        orders=(order,), posts=(), cash=Decimal(1), fee_rate=Decimal(0), fee_per_order=Decimal(0), submit=False,
        correlation_id="c", user=None, created_at=due, updated_at=due, open=True, due=due, draft=call,
    )  # fmt: skip


async def test_only_drafts_that_expired_are_removed_and_a_call_can_prolong_its_own(database: Database) -> None:
    """A call that inserts thousands of plans prolongs the first of them; a draft is not due before it is accepted."""
    orders, rebalance_id = database.orders, ObjectId()
    alive, dead = ObjectId(), ObjectId()
    expired = await orders.now() - timedelta(seconds=1)
    await orders.insert([draft(rebalance_id, call, name, expired) for call, name in ((alive, "a"), (dead, "d"))])
    await orders.prolong(rebalance_id, alive)
    await orders.discard_expired()
    assert await orders.planned(rebalance_id) == {"a"}
    assert [plan.portfolio_id async for plan in orders.of_rebalance(rebalance_id)] == []
    assert (await orders.due(10))[0] == []
    await orders.accept(rebalance_id, ["a"])
    assert (await orders.due(10))[0] == [f"{rebalance_id}/a"]


async def test_of_two_drafts_of_one_portfolio_only_the_first_is_inserted(database: Database) -> None:
    """The plan of a rebalance claims the portfolio; another rebalance sees for whom it is open."""
    first, second = ObjectId(), ObjectId()
    due = await database.orders.now() + timedelta(minutes=1)
    assert await database.orders.insert([draft(first, ObjectId(), "p", due)]) == 1
    assert await database.orders.insert([draft(second, ObjectId(), "p", due)]) == 0
    assert (await database.orders.claims(second, ["p"]))["p"].open_for == first
