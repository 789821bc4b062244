"""Order plans: what is sent to the Order Service for one portfolio of one rebalance, and what has become of it.

A plan is one document, so that inserting it claims the portfolio and stores all its orders at once, without
transactions. Plans of a portfolio are numbered: `{portfolioId, sequence}` is unique, so of two rebalances that plan for
a portfolio at the same time one fails. A plan changes only under a lease: every change names the lease's owner and the
revision that it is based on, and is refused otherwise. All times that decide anything are the database's.

A post of orders is found again by its timestamp, which an index keeps unique over all plans.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from persistence.access import Access, duplicates
from persistence.codec import CODEC_OPTIONS, Document, from_document, to_document
from persistence.errors import DuplicateTimestamp
from persistence.indexes import ORDER_PLANS
from persistence.order_plan import UNFINISHED_ORDER_STATES, Backlog, Claim, OrderPlan, OrderState

_READ_AHEAD_PLANS: Final = 20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class OrderRepository:
    """Collection `order_plans`.

    Every method raises DatabaseUnavailable if the database cannot be reached or does not respond in time.
    """

    def __init__(self, access: Access) -> None:
        """Use the plans of a database."""
        self._access = access
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
        """Return the ids of the portfolios of a rebalance that have a plan."""
        async with self._access():
            found = self._plans.find({"rebalanceId": rebalance_id}, {"portfolioId": True})
            return {document["portfolioId"] async for document in found}

    async def insert(self, plans: Sequence[OrderPlan]) -> int:
        """Insert plans in their order, up to the first whose portfolio or number is taken.

        Returns:
            How many were inserted.
        """
        async with self._access():
            try:
                await self._plans.insert_many([_document(plan) for plan in plans])
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

    async def discard(self, rebalance_id: ObjectId, call: ObjectId) -> None:
        """Remove the drafts of a call that was rejected; a draft that another call accepted stays."""
        async with self._access():
            await self._plans.delete_many({"rebalanceId": rebalance_id, "draft": call})

    async def discard_expired(self) -> None:
        """Remove the drafts of calls that died before they were accepted."""
        async with self._access():
            await self._plans.delete_many({"due": {"$lte": await self._now()}, "draft": {"$exists": True}})

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
        """Yield the plans of a rebalance by place, one at a time; not those that may still be rejected."""
        async with (
            self._access(),
            self._plans.find(
                {"rebalanceId": rebalance_id, **_NO_DRAFT},
                sort=[("rebalanceId", 1), ("place", 1)],
                batch_size=_READ_AHEAD_PLANS,
            ) as found,
        ):
            async for document in found:
                yield _plan(document)

    async def is_active(self, rebalance_id: ObjectId) -> bool:
        """Return whether a plan of this rebalance is being processed, or is due."""
        async with self._access():
            found = await self._plans.find_one(
                {
                    "rebalanceId": rebalance_id,
                    **_NO_DRAFT,
                    "$or": [{"owner": {"$exists": True}}, {"$expr": {"$and": [{"$gt": ["$due", None]}, _DUE]}}],
                },
                {"_id": True},
            )
        return found is not None

    async def due(self, limit: int) -> tuple[list[str], float | None]:
        """Return the ids of due plans that nobody works on, and the seconds until the next is due; None for never."""
        async with self._access():
            now = await self._now()
            # A plan that another process works on would be found, and refused, again and again.
            free = {"due": {"$lte": now}, **_NO_DRAFT, "$expr": _LEASE_EXPIRED}
            found = self._plans.find(free, {"_id": True}, sort=[("due", 1)], limit=limit)
            ids = [document["_id"] async for document in found]
            following = await self._plans.find_one({"due": {"$gt": now}, **_NO_DRAFT}, {"due": True}, sort=[("due", 1)])
        return ids, None if following is None else (following["due"] - now).total_seconds()

    async def acquire(self, plan_id: str, owner: ObjectId, lease: timedelta) -> OrderPlan | None:
        """Acquire the lease of a plan that is due; None if it is not due, or another process has the lease.

        Args:
            plan_id: which.
            owner: unique to this acquisition.
            lease: how long the lease lasts unless a change renews it.
        """
        async with self._access():
            document = await self._plans.find_one_and_update(
                {"_id": plan_id, "due": {"$gt": _EPOCH}, **_NO_DRAFT, "$expr": {"$and": [_DUE, _LEASE_EXPIRED]}},
                {
                    "$set": {"owner": owner, "leaseMilliseconds": lease // timedelta(milliseconds=1)},
                    "$currentDate": {"leaseFrom": True, "updatedAt": True},
                    "$inc": {"revision": 1},
                },
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else _plan(document)

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
        update: Document = {
            "$set": {path: _stored(value) for path, value in (fields or {}).items()},
            "$currentDate": dict.fromkeys(("leaseFrom", "updatedAt", *now), True),
            "$inc": {"revision": 1},
        }
        if drop_last_post:
            update["$pop"] = {"posts": 1}
        return await self._compare_and_set(plan, update)

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
        return None if document is None else _plan(document)

    async def backlog(self) -> Backlog:
        """Return what is unfinished."""
        pending = unknown = 0
        oldest_pending = oldest_unknown = 0.0
        async with self._access():
            found = await self._plans.aggregate(
                [
                    {"$match": {"open": True}},
                    {
                        "$project": {
                            "pending": _count("PENDING"),
                            "unknown": _count("UNKNOWN"),
                            "age": {"$subtract": ["$$NOW", "$createdAt"]},
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
            )
            async for total in found:
                pending, unknown = total["pending"], total["unknown"]
                oldest_pending, oldest_unknown = (total["age"] or 0) / 1000, (total["unknownAge"] or 0) / 1000
        return Backlog(pending, unknown, max(0.0, oldest_pending), max(0.0, oldest_unknown))

    async def _compare_and_set(self, plan: OrderPlan, update: Document, **unchanged: object) -> OrderPlan | None:
        async with self._access():
            try:
                document = await self._plans.find_one_and_update(
                    {"_id": plan.id, "owner": plan.owner, "revision": plan.revision, **unchanged},
                    update,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError as error:
                raise DuplicateTimestamp from error
        return None if document is None else _plan(document)


_NO_DRAFT: Final = {"draft": {"$exists": False}}
_DUE: Final = {"$lte": ["$due", "$$NOW"]}
_LEASE_EXPIRED: Final = {
    "$lt": [
        {"$add": [{"$ifNull": ["$leaseFrom", _EPOCH]}, {"$ifNull": ["$leaseMilliseconds", 0]}]},
        "$$NOW",
    ]
}
_ENDS_OF_UNKNOWN_POSTS: Final = {
    "$map": {
        "input": {"$filter": {"input": "$posts", "cond": {"$eq": ["$$this.state", "UNKNOWN"]}}},
        "in": "$$this.endedAt",
    }
}


def _count(state: OrderState) -> Document:
    return {"$size": {"$filter": {"input": "$orders", "cond": {"$eq": ["$$this.state", state]}}}}


def _document(plan: OrderPlan) -> Document:
    document = to_document(plan)
    document["_id"] = document.pop("id")
    # A field that is missing takes no part in an index, and can be asked for by its existence.
    return {name: value for name, value in document.items() if value is not None and not (name == "open" and not value)}


def _plan(document: Document) -> OrderPlan:
    return from_document({"user": None, **document, "id": document["_id"]}, OrderPlan)


def _stored(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
