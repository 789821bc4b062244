"""What responses of the Order Service change in a stored plan: fields of the plan's document by their path."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from integrations import FoundOrder, Order, OrderOutcome, OrderResult, OrderType
from persistence import OrderPlan, OrderPost, PlannedOrder

MICROSECOND: Final = timedelta(microseconds=1)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def new_timestamp(now: datetime) -> datetime:
    """Return a timestamp for a post: never a whole millisecond, as other senders use those."""
    whole = now.replace(microsecond=now.microsecond // 1000 * 1000)
    return whole + random.randint(1, 999) * MICROSECOND  # noqa: S311 - not secret; an index keeps it unique


def order_to_post(plan: OrderPlan, order: PlannedOrder, timestamp: datetime) -> Order:
    """Return a planned order as the Order Service is sent it."""
    return Order(
        portfolio_id=plan.portfolio_id,
        order_type=OrderType[order.side],
        security_id=order.security_id,
        quantity=Decimal(f"{order.quantity:f}"),
        order_timestamp=timestamp,
    )


def result_fields(place: int, result: OrderResult, timestamp: int) -> dict[str, Any]:
    """Return the changes that the result of a post makes to one order."""
    fields: dict[str, Any] = {f"orders.{place}.message": result.message}
    match result.outcome:
        case OrderOutcome.CREATED:
            fields |= _created_fields(place, result.order_id, timestamp)
        case OrderOutcome.REFUSED:
            fields[f"orders.{place}.state"] = "REFUSED"
        case OrderOutcome.UNKNOWN:
            fields[f"orders.{place}.state"] = "UNKNOWN"
    return fields


def _created_fields(place: int, order_id: int | None, timestamp: int) -> dict[str, Any]:
    return {
        f"orders.{place}.state": "CREATED",
        f"orders.{place}.orderId": order_id,
        f"orders.{place}.timestamp": timestamp,
    }


def _matching(plan: OrderPlan, order: PlannedOrder, found: Sequence[FoundOrder]) -> list[int]:
    """Return the ids of the found orders that are this order, lowest first."""
    return sorted(
        row.order_id
        for row in found
        if row.portfolio_id == plan.portfolio_id
        and row.security_id == order.security_id
        and row.order_type == OrderType[order.side]
        and row.quantity == order.quantity
    )


def found_fields(plan: OrderPlan, post: OrderPost, found: Sequence[FoundOrder]) -> dict[str, Any]:
    """Return the changes that the orders found for a post with unknown orders make."""
    fields: dict[str, Any] = {}
    for place in post.orders:
        order = plan.orders[place]
        ids = _matching(plan, order, found)
        if ids and order.state == "UNKNOWN":
            fields |= _created_fields(place, ids[0], post.timestamp)
            fields[f"orders.{place}.message"] = "Found by its timestamp."
            fields |= _duplicate_fields(place, order, ids[1:])
        elif order.order_id is not None:
            fields |= _duplicate_fields(place, order, [each for each in ids if each != order.order_id])
    return fields


def late_fields(plan: OrderPlan, post: OrderPost, found: Sequence[FoundOrder]) -> dict[str, Any]:
    """Return the changes that the orders found for an abandoned post make: the order itself, or a duplicate of it.

    An order whose replacement has no outcome yet is left for the next query.
    """
    fields: dict[str, Any] = {}
    for place in post.orders:
        order = plan.orders[place]
        ids = _matching(plan, order, found)
        if not ids:
            continue
        if order.order_id is not None:
            fields |= _duplicate_fields(place, order, [each for each in ids if each != order.order_id])
        elif order.state in ("PENDING", "REFUSED"):
            fields |= _created_fields(place, ids[0], post.timestamp)
            fields[f"orders.{place}.message"] = "Found by its timestamp, after it had been missing."
            fields |= _duplicate_fields(place, order, ids[1:])
    return fields


def _duplicate_fields(place: int, order: PlannedOrder, ids: Sequence[int]) -> dict[str, Any]:
    fresh = [each for each in ids if each not in order.duplicates]
    return {f"orders.{place}.duplicates": [*order.duplicates, *fresh]} if fresh else {}
