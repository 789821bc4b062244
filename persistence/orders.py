"""Order plans: what is sent to the Order Service for one portfolio of one rebalance, and what has become of it.

A plan is one document, so that inserting it claims the portfolio and stores all its orders at once, without
transactions. Plans of a portfolio are numbered: `{portfolioId, sequence}` is unique, so of two rebalances that plan for
a portfolio at the same time one fails. A plan changes only under a lease: every change names the lease's owner and the
revision that it is based on, and is refused otherwise. All times that decide anything are the database's.

A post of orders is found again by its timestamp, which an index keeps unique over all plans.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from msgspec.structs import replace
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from persistence.access import Access, duplicates
from persistence.codec import CODEC_OPTIONS, Document
from persistence.errors import DocumentUnreadable, DuplicateTimestamp
from persistence.indexes import ORDER_PLANS
from persistence.order_format import (
    BACKLOG,
    DUE,
    EPOCH,
    LEASE_EXPIRED,
    NO_DRAFT,
    REVISION_READABLE,
    changed_orders,
    is_claim,
    plan_document,
    read_plan,
    read_valid_plan,
)
from persistence.order_plan import ORDER_DRAFT, UNFINISHED_ORDER_STATES, Backlog, Claim, OrderPlan
from persistence.unreadable import UnreadableDocuments

_READ_AHEAD_PLANS: Final = 8
_KIND: Final = "order plan"
_NEXT_DAY: Final = timedelta(days=1)


class OrderRepository:
    """Collection `order_plans`.

    Every method raises DatabaseUnavailable if the database cannot be reached or does not respond in time. A document
    that is not in this service's format is reported; it is an error only if it is requested or decides something.
    """

    def __init__(self, access: Access, unreadable: UnreadableDocuments) -> None:
        """Use the plans of a database, and report unreadable ones."""
        self._access = access
        self._unreadable = unreadable
        self._plans = access.database[ORDER_PLANS]

    async def now(self) -> datetime:
        """Return the database's time."""
        async with self._access():
            return await self._now()

    async def _now(self) -> datetime:
        hello = await self._access.database.command("hello", codec_options=CODEC_OPTIONS)
        time: datetime = hello["localTime"]
        return time

    async def claims(self, rebalance_id: ObjectId, portfolio_ids: Collection[str]) -> dict[str, Claim]:
        """Return what other rebalances have planned for portfolios; a portfolio without any plan is missing.

        The sequence counts the plans of every rebalance.

        Raises:
            DocumentUnreadable: a plan does not show whether it is finished.
        """
        claims: dict[str, Claim] = {}
        async with self._access():
            found = await self._plans.aggregate(
                [
                    {"$match": {"portfolioId": {"$in": list(portfolio_ids)}}},
                    {
                        "$project": {
                            "portfolioId": True,
                            "sequence": True,
                            "rebalanceId": True,
                            "open": True,
                            "lastSentAt": True,
                        }
                    },
                    {"$sort": {"portfolioId": 1, "sequence": 1}},
                ]
            )
            async for each in found:
                if not is_claim(each):
                    raise self._unreadable_plan(each, "does not show whether its orders are finished")
                before = claims.get(each["portfolioId"], Claim())
                other = each["rebalanceId"] != rebalance_id
                sent = each.get("lastSentAt") if other else None
                later = sent is not None and (before.last_sent_at is None or sent > before.last_sent_at)
                claims[each["portfolioId"]] = Claim(
                    sequence=each["sequence"],
                    open_for=each["rebalanceId"] if other and each.get("open") else before.open_for,
                    last_sent_for=each["rebalanceId"] if later else before.last_sent_for,
                    last_sent_at=sent if later else before.last_sent_at,
                )
        return claims

    async def planned(self, rebalance_id: ObjectId) -> set[str]:
        """Return the ids of the portfolios of a rebalance that have a plan.

        Raises:
            DocumentUnreadable: a plan does not name its portfolio.
        """
        portfolio_ids: set[str] = set()
        async with self._access():
            async for document in self._plans.find({"rebalanceId": rebalance_id}, {"portfolioId": True}):
                portfolio_id = document.get("portfolioId")
                if not isinstance(portfolio_id, str):
                    raise self._unreadable_plan(document, "portfolioId is not a text")
                portfolio_ids.add(portfolio_id)
        return portfolio_ids

    async def insert(self, plans: Sequence[OrderPlan]) -> int:
        """Insert plans in their order, up to the first whose portfolio or number is taken.

        Returns:
            How many were inserted.
        """
        async with self._access():
            try:
                await self._plans.insert_many([plan_document(plan) for plan in plans])
            except BulkWriteError as error:
                [index] = duplicates(error)
                return index
        return len(plans)

    async def accept(self, rebalance_id: ObjectId, portfolio_ids: Collection[str]) -> None:
        """Turn the drafts of these portfolios, from any caller, into plans that are due."""
        async with self._access():
            await self._plans.update_many(
                {"rebalanceId": rebalance_id, "portfolioId": {"$in": list(portfolio_ids)}, "draft": {"$exists": True}},
                {"$unset": {"draft": ""}, "$currentDate": {"due": True}},
            )

    async def prolong(self, rebalance_id: ObjectId, call: ObjectId) -> None:
        """Have the drafts of a call that is still inserting expire no sooner than one that it inserts now."""
        async with self._access():
            await self._plans.update_many(
                {"rebalanceId": rebalance_id, "draft": call}, {"$set": {"due": await self._now() + ORDER_DRAFT}}
            )

    async def discard(self, rebalance_id: ObjectId, call: ObjectId) -> None:
        """Remove the drafts of a call that was rejected; a draft that another call accepted stays."""
        async with self._access():
            await self._plans.delete_many({"rebalanceId": rebalance_id, "draft": call})

    async def discard_expired(self) -> None:
        """Remove the drafts of calls that died before they were accepted."""
        async with self._access():
            await self._plans.delete_many({"due": {"$lte": await self._now()}, "draft": {"$type": "objectId"}})

    async def request_submission(self, rebalance_id: ObjectId, portfolio_ids: Collection[str]) -> None:
        """Have the created orders of these portfolios submitted, also those whose submission was given up."""
        async with self._access():
            await self._plans.update_many(
                {
                    "rebalanceId": rebalance_id,
                    "portfolioId": {"$in": list(portfolio_ids)},
                    "orders.state": {"$in": [*UNFINISHED_ORDER_STATES, "CREATED"]},
                },
                {"$set": {"submit": True, "submissions": 0}, "$unset": {"submitAt": ""}, "$currentDate": {"due": True}},
            )

    async def of_rebalance(self, rebalance_id: ObjectId) -> AsyncIterator[OrderPlan]:
        """Yield the plans of a rebalance by place, one at a time; not those that may still be rejected.

        Raises:
            DocumentUnreadable: a plan is not in this service's format.
        """
        async with (
            self._access(),
            self._plans.find(
                {"rebalanceId": rebalance_id, **NO_DRAFT},
                sort=[("rebalanceId", 1), ("place", 1)],
                batch_size=_READ_AHEAD_PLANS,
            ) as found,
        ):
            async for document in found:
                yield self._read(document)

    async def is_active(self, rebalance_id: ObjectId) -> bool:
        """Return whether a plan of this rebalance is being processed, or is due."""
        async with self._access():
            found = await self._plans.find_one(
                {
                    "rebalanceId": rebalance_id,
                    **NO_DRAFT,
                    "$or": [{"owner": {"$exists": True}}, {"$expr": {"$and": [{"$gt": ["$due", None]}, DUE]}}],
                },
                {"_id": True},
            )
        return found is not None

    async def due(self, limit: int) -> tuple[list[str], float | None]:
        """Return the ids of due plans without a lease, and the seconds until the next is due, if within a day."""
        async with self._access():
            now = await self._now()
            # A plan that another process works on would be found, and refused, again and again.
            free = {"due": {"$lte": now}, **NO_DRAFT, "$expr": {"$and": [REVISION_READABLE, LEASE_EXPIRED]}}
            found = self._plans.find(free, {"_id": True}, sort=[("due", 1)], limit=limit)
            ids = [document["_id"] async for document in found]
            later = {"due": {"$gt": now, "$lt": now + _NEXT_DAY}, **NO_DRAFT}
            following = await self._plans.find_one(later, {"due": True}, sort=[("due", 1)])
        due = None if following is None else following["due"]
        return ids, (due - now).total_seconds() if isinstance(due, datetime) else None

    async def acquire(self, plan_id: str, owner: ObjectId, lease: timedelta) -> OrderPlan | None:
        """Acquire the lease of a plan that is due; None if it is not due, or another process has the lease.

        An unreadable plan is reported, and its lease keeps it from being tried again before the lease ends.

        Args:
            plan_id: which.
            owner: unique to this acquisition.
            lease: how long the lease lasts unless a change renews it.
        """
        async with self._access():
            document = await self._plans.find_one_and_update(
                {
                    "_id": plan_id,
                    "due": {"$gt": EPOCH},
                    **NO_DRAFT,
                    "$expr": {"$and": [DUE, REVISION_READABLE, LEASE_EXPIRED]},
                },
                {
                    "$set": {"owner": owner, "leaseMilliseconds": lease // timedelta(milliseconds=1)},
                    "$currentDate": {"leaseFrom": True, "updatedAt": True},
                    "$inc": {"revision": 1},
                },
                return_document=ReturnDocument.AFTER,
            )
        try:
            return None if document is None else self._read(document)
        except DocumentUnreadable:
            return None

    async def change(
        self,
        plan: OrderPlan,
        fields: Mapping[str, Any] | None = None,
        *,
        now: Iterable[str] = (),
        drop_last_post: bool = False,
    ) -> OrderPlan | None:
        """Change a plan under its lease, which is renewed.

        Args:
            plan: as it was read, with the owner of the lease.
            fields: new values by the path of the field.
            now: paths of fields that get the database's time.
            drop_last_post: whether the last post is removed.

        Returns:
            The plan as it is then; None if somebody else has changed it or has its lease.

        Raises:
            DuplicateTimestamp: another post has the timestamp.
        """
        orders = changed_orders(plan.orders, fields or {})
        update: Document = {
            "$set": {path: _stored(value) for path, value in (fields or {}).items()},
            "$currentDate": dict.fromkeys(("leaseFrom", "updatedAt", *now), True),
            "$inc": {"revision": 1},
        }
        if drop_last_post:
            update["$pop"] = {"posts": 1}
        if orders != plan.orders:
            # At once: another rebalance of the portfolio need not wait until the lease is returned.
            update["$set"]["open"] = any(order.state in UNFINISHED_ORDER_STATES for order in orders)
        changed = await self._compare_and_set(plan, update)
        return None if changed is None else replace(changed, orders=orders)

    async def release(self, plan: OrderPlan, due: datetime | None, *, is_open: bool) -> OrderPlan | None:
        """Return the lease of a plan, and store when it is due next and whether an order of it is unfinished.

        Returns:
            The plan; None if somebody else has its lease, has changed it, or has requested a submission meanwhile.
        """
        update: Document = {
            "$set": {},
            "$unset": {"owner": "", "leaseMilliseconds": "", "leaseFrom": ""},
            "$currentDate": {"updatedAt": True},
            "$inc": {"revision": 1},
        }
        for name, value in (("due", due), ("open", is_open or None)):
            update["$unset" if value is None else "$set"][name] = "" if value is None else value
        if not update["$set"]:
            del update["$set"]
        return await self._compare_and_set(plan, update, submit=plan.submit, submissions=plan.submissions)

    async def reread(self, plan: OrderPlan) -> OrderPlan | None:
        """Return the plan if the same owner still has the lease, after a change whose result is unknown."""
        async with self._access():
            document = await self._plans.find_one({"_id": plan.id, "owner": plan.owner})
        return None if document is None else self._read(document)

    async def backlog(self) -> Backlog:
        """Return what is unfinished."""
        pending = unknown = 0
        oldest_pending = oldest_unknown = 0.0
        async with self._access():
            found = await self._plans.aggregate(BACKLOG)
            async for total in found:
                pending, unknown = total["pending"], total["unknown"]
                oldest_pending, oldest_unknown = (total["age"] or 0) / 1000, (total["unknownAge"] or 0) / 1000
        return Backlog(pending, unknown, max(0.0, oldest_pending), max(0.0, oldest_unknown))

    async def _compare_and_set(self, plan: OrderPlan, update: Document, **unchanged: object) -> OrderPlan | None:
        """Change a plan and return it with the orders it had: to return them all costs more than the change itself."""
        async with self._access():
            try:
                document = await self._plans.find_one_and_update(
                    {"_id": plan.id, "owner": plan.owner, "revision": plan.revision, **unchanged},
                    update,
                    {"orders": False},
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError as error:
                raise DuplicateTimestamp from error
        if document is None:
            return None
        return replace(self._read({**document, "orders": ()}, read_valid_plan), orders=plan.orders)

    def _read(self, document: Document, read: Callable[[Document], OrderPlan] = read_plan) -> OrderPlan:
        try:
            return read(document)
        except ValueError as error:
            raise self._unreadable_plan(document, error) from error

    def _unreadable_plan(self, document: Document, reason: object) -> DocumentUnreadable:
        plan_id = str(document["_id"])
        self._unreadable.report(ORDER_PLANS, plan_id, reason)
        return DocumentUnreadable(_KIND, plan_id)


def _stored(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
