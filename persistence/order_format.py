"""The format of order plans: what a document must hold to be one, and questions to the server that any document stands.

The collection may hold documents that this service did not write, or corrupted ones. An expression that fails on one
document fails for all, so every expression here checks the types of what it computes with.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from bson import ObjectId
from msgspec.structs import fields as fields_of
from msgspec.structs import replace

from persistence.codec import Document, from_document, to_document
from persistence.order_plan import OrderPlan, OrderPost, OrderState, PlannedOrder

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_TIME_MICROSECONDS: Final = 253_402_300_800 * 1_000_000
_LONGEST_LEASE_MILLISECONDS: Final = 2**40
_LARGEST_REVISION: Final = 2**62
_INTEGER: Final = ("int", "long")
_ORDER_FIELDS: Final = {each.encode_name: each.name for each in fields_of(PlannedOrder)}

NO_DRAFT: Final = {"draft": {"$exists": False}}
DUE: Final = {"$lte": ["$due", "$$NOW"]}
_LEASE_MILLISECONDS: Final = {"$max": [0, {"$min": ["$leaseMilliseconds", _LONGEST_LEASE_MILLISECONDS]}]}
LEASE_EXPIRED: Final = {
    "$or": [
        {"$ne": [{"$type": "$leaseFrom"}, "date"]},
        {"$not": [{"$in": [{"$type": "$leaseMilliseconds"}, _INTEGER]}]},
        {"$lt": ["$leaseFrom", {"$subtract": ["$$NOW", _LEASE_MILLISECONDS]}]},
    ]
}
REVISION_READABLE: Final = {
    "$and": [{"$in": [{"$type": "$revision"}, _INTEGER]}, {"$lt": ["$revision", _LARGEST_REVISION]}]
}
"""A lease cannot be acquired without counting the revision."""


def _array(path: str) -> Document:
    return {"$cond": [{"$isArray": path}, path, []]}


def _is_date(path: str) -> Document:
    return {"$and": [{"$eq": [{"$type": path}, "date"]}, {"$gt": [path, EPOCH]}]}


def _count(state: OrderState) -> Document:
    return {"$size": {"$filter": {"input": _array("$orders"), "cond": {"$eq": ["$$this.state", state]}}}}


_UNKNOWN_POSTS: Final = {
    "$filter": {
        "input": _array("$posts"),
        "cond": {"$and": [{"$eq": ["$$this.state", "UNKNOWN"]}, _is_date("$$this.endedAt")]},
    }
}
_ENDS_OF_UNKNOWN_POSTS: Final = {"$map": {"input": _UNKNOWN_POSTS, "in": "$$this.endedAt"}}

BACKLOG: Final[list[Document]] = [
    {"$match": {"open": True}},
    {
        "$project": {
            "pending": _count("PENDING"),
            "unknown": _count("UNKNOWN"),
            "age": {"$cond": [_is_date("$createdAt"), {"$subtract": ["$$NOW", "$createdAt"]}, 0]},
            "unknownAge": {"$subtract": ["$$NOW", {"$min": _ENDS_OF_UNKNOWN_POSTS}]},
        }
    },
    {
        "$group": {
            "_id": None,
            "pending": {"$sum": "$pending"},
            "unknown": {"$sum": "$unknown"},
            "age": {"$max": {"$cond": [{"$gt": ["$pending", 0]}, "$age", 0]}},
            "unknownAge": {"$max": "$unknownAge"},
        }
    },
]
"""One document: how many orders are unfinished, and the ages of the oldest in milliseconds."""


def plan_document(plan: OrderPlan) -> Document:
    """Return the document that holds a plan."""
    document = to_document(plan)
    document["_id"] = document.pop("id")
    # A field that is missing takes no part in an index, and can be asked for by its existence.
    return {name: value for name, value in document.items() if value is not None and not (name == "open" and not value)}


def is_claim(document: Document) -> bool:
    """Return whether the fields of a plan that decide about its portfolio's other rebalances have their types."""
    return (
        isinstance(document.get("portfolioId"), str)
        and isinstance(document.get("sequence"), int)
        and isinstance(document.get("rebalanceId"), ObjectId)
        and isinstance(document.get("lastSentAt"), datetime | None)
    )


def read_plan(document: Document) -> OrderPlan:
    """Return the plan that a document holds.

    Raises:
        ValueError: the document is not in this service's format, or contradicts itself.
    """
    plan = read_valid_plan(document)
    if plan.id != f"{plan.rebalance_id}/{plan.portfolio_id}":
        raise ValueError("the id is not that of the rebalance and the portfolio")
    if plan.place < 0 or plan.sequence < 1 or not 0 <= plan.revision < _LARGEST_REVISION:
        raise ValueError("place, sequence or revision is out of range")
    for order in plan.orders:
        _check_order(order)
    for post in plan.posts:
        _check_post(post, len(plan.orders))
    return plan


def read_valid_plan(document: Document) -> OrderPlan:
    """Return a plan that was read before, as it is after a change; only the types are checked again.

    Raises:
        ValueError: a type is wrong.
    """
    return from_document({"user": None, **document, "id": document["_id"]}, OrderPlan)


def changed_orders(orders: tuple[PlannedOrder, ...], fields: Mapping[str, Any]) -> tuple[PlannedOrder, ...]:
    """Return orders after a change.

    Args:
        orders: before it.
        fields: new values by path; those of orders are `orders.INDEX.NAME`.
    """
    changes: dict[int, dict[str, Any]] = {}
    for path, value in fields.items():
        match path.split("."):
            case ["orders", index, name]:
                stored = tuple(value) if isinstance(value, list) else value
                changes.setdefault(int(index), {})[_ORDER_FIELDS[name]] = stored
    return tuple(replace(order, **changes[index]) if index in changes else order for index, order in enumerate(orders))


def _check_order(order: PlannedOrder) -> None:
    if order.quantity <= 0 or order.price < 0:
        raise ValueError(f"the order of {order.security_id} has a quantity or price that is too small")
    if order.state in ("CREATED", "SUBMITTED") and order.order_id is None:
        raise ValueError(f"the order of {order.security_id} was created without an id")


def _check_post(post: OrderPost, orders: int) -> None:
    if not 0 <= post.timestamp < _END_OF_TIME_MICROSECONDS:
        raise ValueError(f"{post.timestamp} is not a time")
    if post.ended_at is None and post.state != "SENDING":
        raise ValueError(f"post {post.timestamp} has no end")
    if not all(0 <= index < orders for index in post.orders):
        raise ValueError(f"post {post.timestamp} has orders that do not exist")
