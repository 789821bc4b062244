"""Removes rebalances: deleted ones, given up ones, and those that a crash left without a header."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import MaxKey, MinKey, ObjectId
from pymongo import DeleteMany
from pymongo.errors import DuplicateKeyError

from persistence.access import Access
from persistence.codec import Document
from persistence.indexes import REBALANCES, SWEEPS

_MARKED: Final[Mapping[str, Any]] = {"abandonedAt": {"$exists": True}}
_ONLY_ID: Final = {"_id": True}
# What a sweep looks at in one call: a tenth of a second's work for the server, and little enough to be answered in time
# by one that is busy.
_STEP_PORTFOLIOS: Final = 20_000
_BEGINNING_OF_TIME: Final = ObjectId(bytes(12))


class RebalanceRemoval:
    """The ways in which rebalances leave the collection `rebalances`; the collection `sweeps` knows how far one got."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._rebalances = access.database[REBALANCES]
        self._sweeps = access.database[SWEEPS]

    async def remove_hidden(self, rebalance_id: ObjectId) -> None:
        """Removes a rebalance whose header was hidden for that; the header last, so that it can be found until then."""
        async with self._access():
            await self._rebalances.delete_many({"_id": every_place(rebalance_id)})
            await self._rebalances.delete_one({"_id": rebalance_id, "hiddenSince": {"$exists": True}})

    async def abandon(self, rebalance_id: ObjectId) -> None:
        """Gives up a rebalance that has no header, for good; one that has a header is left."""
        async with self._access():
            try:
                # In the header's place, so that a writer that still lives cannot insert the header any more.
                await self._rebalances.insert_one({"_id": rebalance_id, "abandonedAt": datetime.now(UTC)})
            except DuplicateKeyError:
                if await self._rebalances.find_one({"_id": rebalance_id, **_MARKED}, _ONLY_ID) is None:
                    return
            await self._rebalances.delete_many({"_id": every_place(rebalance_id)})

    async def sweep(self, lease: timedelta) -> None:
        """Removes what crashed processes left; nothing that is younger than `lease`."""
        before = datetime.now(UTC) - lease
        async with self._access():
            found = self._rebalances.find({"hiddenSince": {"$lte": before}}, _ONLY_ID)
            hidden = [document["_id"] async for document in found]
        for rebalance_id in hidden:
            await self.remove_hidden(rebalance_id)
        await self._remove_marked()
        await self._abandon_orphans(before, lease)

    async def _remove_marked(self) -> None:
        """Removes what slow writers inserted after they were given up, or what whoever gave them up did not get to."""
        async with self._access():
            found = self._rebalances.find(_MARKED, _ONLY_ID)
            removals = [DeleteMany({"_id": every_place(document["_id"])}) async for document in found]
            if removals:
                await self._rebalances.bulk_write(removals, ordered=False)

    async def _abandon_orphans(self, before: datetime, lease: timedelta) -> None:
        """Gives up rebalances whose ids were made before a moment, and which have portfolios but no header.

        The id of a rebalance begins with the second it was made in, so its portfolios lie by time. What was looked at
        once need not be again, but for the last while: the clocks of servers differ, though by less than a lease.
        """
        async with self._access():
            swept = await self._sweeps.find_one({"_id": REBALANCES})
        since = ObjectId.from_datetime(swept["until"] - lease) if swept else _BEGINNING_OF_TIME
        after = {"rebalanceId": since, "place": MinKey()}
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
            async with self._access():
                until = {"until": last.generation_time}
                await self._sweeps.update_one({"_id": REBALANCES}, {"$max": until}, upsert=True)
            if last == end:
                return
            after = {"rebalanceId": last, "place": MaxKey()}

    async def _orphans(self, after: Document, last: ObjectId) -> list[ObjectId]:
        """Rebalances that have portfolios after one key, and no header or mark; `last` is the last one looked at.

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
    """The range of `_id` that the portfolios of a rebalance lie in, so that the one index serves and orders them.

    Args:
        rebalance_id: of the rebalance.
        after: only places greater than this; they count from 0.
    """
    return {
        "$gt": {"rebalanceId": rebalance_id, "place": after},
        "$lte": {"rebalanceId": rebalance_id, "place": MaxKey()},
    }
