"""Removes rebalances: deleted ones, given up ones, and those that a crash left without a header."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import MaxKey, MinKey, ObjectId
from pymongo import DeleteMany
from pymongo.errors import DuplicateKeyError

from persistence.access import Access
from persistence.clocks import CLOCK_TOLERANCE, server_time
from persistence.codec import Document
from persistence.indexes import REBALANCES, SWEEPS

_MARKED: Final[Mapping[str, Any]] = {"abandonedAt": {"$exists": True}}
_ONLY_ID: Final = {"_id": True}
# What a sweep reads in one call: a tenth of a second's work for the server, and little enough to finish in time
# by one that is busy.
_STEP_PORTFOLIOS: Final = 20_000
# Ids hold seconds since 1970 in 32 bits.
_BEGINNING_OF_TIME: Final = datetime.fromtimestamp(0, UTC)
_END_OF_TIME: Final = datetime.fromtimestamp(2**32 - 1, UTC)
# An id made so far in the future comes from a clock that was ahead. Portfolios under such an id are searched in every
# sweep, as the time of their ids says nothing; a clock that is ahead by less is caught up with.
_FAR_AHEAD: Final = timedelta(days=1)
_AFTER_ALL_PORTFOLIOS: Final = {"rebalanceId": ObjectId(b"\xff" * 12), "place": MaxKey()}

log = logging.getLogger(__name__)


class RebalanceRemoval:
    """The ways in which rebalances leave the collection `rebalances`; the collection `sweeps` knows how far one got."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._rebalances = access.database[REBALANCES]
        self._sweeps = access.database[SWEEPS]

    async def remove_hidden(self, rebalance_id: ObjectId) -> None:
        """Remove a rebalance whose header was hidden; the header last, so that it can be found until then."""
        async with self._access():
            await self._rebalances.delete_many({"_id": every_place(rebalance_id)})
            await self._rebalances.delete_one({"_id": rebalance_id, "hiddenSince": {"$exists": True}})

    async def abandon(self, rebalance_id: ObjectId) -> None:
        """Permanently abandon a rebalance that has no header; one that has a header is not changed."""
        async with self._access():
            try:
                # In the header's place, so that a writer that still lives cannot insert the header any more.
                await self._rebalances.insert_one({"_id": rebalance_id, "abandonedAt": datetime.now(UTC)})
            except DuplicateKeyError:
                if await self._rebalances.find_one({"_id": rebalance_id, **_MARKED}, _ONLY_ID) is None:
                    return
            await self._rebalances.delete_many({"_id": every_place(rebalance_id)})

    async def sweep(self, lease: timedelta) -> None:
        """Remove what crashed processes left; nothing that is younger than `lease`."""
        async with self._access():
            now = await server_time(self._access.database)
            before = now - lease
            # A clock that was ahead may have hidden a rebalance at a time in the future.
            abandoned = [{"hiddenSince": {"$lte": before}}, {"hiddenSince": {"$gt": now + lease}}]
            found = self._rebalances.find({"$or": abandoned}, _ONLY_ID)
            hidden = [document["_id"] async for document in found]
        for rebalance_id in hidden:
            await self.remove_hidden(rebalance_id)
        await self._remove_marked()
        since = await self._swept_until(now) - lease
        await self._abandon_orphans(max(since, _BEGINNING_OF_TIME), before)
        if await self._has_portfolios_from(now + _FAR_AHEAD):
            await self._abandon_orphans(now + _FAR_AHEAD, _END_OF_TIME)

    async def _remove_marked(self) -> None:
        """Remove portfolios of abandoned rebalances that were inserted later or that a removal did not reach."""
        async with self._access():
            found = self._rebalances.find(_MARKED, _ONLY_ID)
            removals = [DeleteMany({"_id": every_place(document["_id"])}) async for document in found]
            if removals:
                await self._rebalances.bulk_write(removals, ordered=False)

    async def _swept_until(self, now: datetime) -> datetime:
        """Return the time up to which sweeps have searched; the beginning if that is unknown or cannot be true."""
        async with self._access():
            swept = await self._sweeps.find_one({"_id": REBALANCES})
        until = swept and swept.get("until")
        if not isinstance(until, datetime):
            return _BEGINNING_OF_TIME
        if until > now + CLOCK_TOLERANCE:
            log.warning("The last sweep was recorded at a time in the future, %s; searching from the beginning", until)
            return _BEGINNING_OF_TIME
        return until

    async def _has_portfolios_from(self, since: datetime) -> bool:
        after = {"$gt": {"rebalanceId": ObjectId.from_datetime(since), "place": MinKey()}}
        async with self._access():
            found = await self._rebalances.find_one({"_id": {**after, "$lt": _AFTER_ALL_PORTFOLIOS}}, _ONLY_ID)
        return found is not None

    async def _abandon_orphans(self, since: datetime, before: datetime) -> None:
        """Abandon rebalances with ids made in a period, exclusive of its end, that have portfolios but no header.

        The id of a rebalance begins with the second it was made in, so its portfolios lie by time. What was searched
        once need not be searched again, except for the last while: the clocks of servers differ, though by less than a
        lease.
        """
        after = {"rebalanceId": ObjectId.from_datetime(since), "place": MinKey()}
        end = ObjectId.from_datetime(before)
        while True:
            rest = {"$gt": after, "$lt": {"rebalanceId": end, "place": MinKey()}}
            async with self._access():
                furthest = await self._rebalances.find_one(
                    {"_id": rest}, _ONLY_ID, sort=[("_id", 1)], skip=_STEP_PORTFOLIOS
                )
                last = furthest["_id"]["rebalanceId"] if furthest else end
                orphans = await self._orphans(after, last)
            for rebalance_id in orphans:
                await self.abandon(rebalance_id)
            if before != _END_OF_TIME:
                await self._record(last.generation_time)
            if last == end:
                return
            after = {"rebalanceId": last, "place": MaxKey()}

    async def _record(self, until: datetime) -> None:
        """Record how far a sweep got. A faster sweep has got further, but not to a time that cannot be true."""
        latest_possible = {"$add": ["$$NOW", CLOCK_TOLERANCE // timedelta(milliseconds=1)]}
        is_possible = {"$and": [{"$eq": [{"$type": "$until"}, "date"]}, {"$lte": ["$until", latest_possible]}]}
        furthest = {"$max": [{"$cond": [is_possible, "$until", None]}, until]}
        async with self._access():
            await self._sweeps.update_one({"_id": REBALANCES}, [{"$set": {"until": furthest}}], upsert=True)

    async def _orphans(self, after: Document, last: ObjectId) -> list[ObjectId]:
        """Return rebalances that have portfolios after one key, and no header or mark; `last` is the last one read.

        Reads nothing but the index on `_id`, where portfolios and headers of the same time are two ranges.
        """
        portfolios = {"$gt": after, "$lte": {"rebalanceId": last, "place": MaxKey()}}
        headers = {"$gte": after["rebalanceId"], "$lte": last}
        found = await self._rebalances.aggregate(
            [
                {"$match": {"$or": [{"_id": portfolios}, {"_id": headers}]}},
                {"$project": _ONLY_ID},
                {
                    "$group": {
                        "_id": {"$ifNull": ["$_id.rebalanceId", "$_id"]},
                        "hasHeader": {"$max": {"$eq": [{"$type": "$_id"}, "objectId"]}},
                    }
                },
                {"$match": {"hasHeader": False}},
            ]
        )
        return [document["_id"] async for document in found]


def every_place(rebalance_id: ObjectId, *, after: int = -1) -> Document:
    """Return the range of `_id` of the portfolios of a rebalance, which the index on `_id` serves and orders.

    Args:
        rebalance_id: of the rebalance.
        after: only places greater than this; they count from 0.
    """
    return {
        "$gt": {"rebalanceId": rebalance_id, "place": after},
        "$lte": {"rebalanceId": rebalance_id, "place": MaxKey()},
    }
