"""Rebalances: a header each and a document for every portfolio, of which readers see all or nothing.

The header is written first, hidden, then the portfolios as they finish, and one atomic update of the header makes it
all visible. A deletion hides the header first and removes it last. So whatever a crash leaves is hidden and can be
found: the sweep removes what has been hidden for longer than any request lasts. Each step compares the state it
expects, so a sweep and a slow writer cannot both win.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Final

import anyio
from bson import MaxKey, MinKey, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from persistence.batching import Batching
from persistence.codec import Document, from_document, to_document
from persistence.documents import Rebalance, RebalancedPortfolio
from persistence.errors import DatabaseUnavailable, RebalanceNotFound, StorageLost, VersionConflict, duplicates
from persistence.portfolio_record import PortfolioRecord, portfolio_of
from persistence.schema import REBALANCE_PORTFOLIOS, REBALANCES, Access
from persistence.sorting import RebalanceField, SortKey, sort_specification

_VISIBLE: Final[Mapping[str, Any]] = {"visible": True}
_WITHOUT_PORTFOLIO_IDS: Final = {"portfolioIds": False}
_NEWEST_FIRST: Final = (SortKey(RebalanceField.REBALANCE_DATE, descending=True),)
# What may wait in memory for one insert, of one rebalance, and little enough to be on disk long before an insert times
# out; a portfolio of 500 positions is about 110,000 bytes.
_BATCH_BYTES: Final = 500_000
_BATCH_PORTFOLIOS: Final = 200
# Less than this waits for the inserts of other rebalances; more is worth a round trip of its own.
_SMALL_BYTES: Final = 100_000
_READ_AHEAD_PORTFOLIOS: Final = 10
_CLEANING_SECONDS: Final = 5


class RebalanceStorage:
    """One rebalance on its way into the database; made by `RebalanceRepository.storing`."""

    def __init__(self, writes: "_Writes", rebalance_id: ObjectId) -> None:
        self._writes = writes
        self._rebalance_id = rebalance_id
        # Nobody needs it before there is something to insert.
        self._hidden = asyncio.ensure_future(writes.hide(rebalance_id))
        self._portfolio_ids: dict[int, str] = {}
        self._batch: list[RawBSONDocument] = []
        self._batch_bytes = 0
        self._inserting: set[asyncio.Future[list[None] | None]] = set()
        self.finished = False

    async def add(self, record: PortfolioRecord) -> None:
        """Takes one portfolio, in any order of places; several tasks may add at once.

        Raises:
            DatabaseUnavailable: as everywhere.
            pymongo.errors.DocumentTooLarge: more than 16 MB, or about 60,000 positions.
        """
        self._portfolio_ids[record.place] = record.portfolio_id
        self._batch.append(RawBSONDocument(record.document))
        self._batch_bytes += len(record.document)
        if self._batch_bytes >= _BATCH_BYTES or len(self._batch) >= _BATCH_PORTFOLIOS:
            await self._flush()

    async def finish(self, header: Rebalance) -> None:
        """Stores what is left and makes the whole rebalance visible.

        Raises:
            StorageLost: it took so long that the sweep removed it.
            ValueError: the header counts other portfolios than were added.
        """
        if sorted(self._portfolio_ids) != list(range(header.number_of_portfolios)):
            raise ValueError(f"{header.number_of_portfolios} portfolios were to be stored")
        await self._flush()
        await asyncio.shield(self._hidden)
        content = to_document(header)
        content["portfolioIds"] = [self._portfolio_ids[place] for place in range(header.number_of_portfolios)]
        await self._writes.show((self._rebalance_id, content))
        self.finished = True

    async def _flush(self) -> None:
        batch, size = self._batch, self._batch_bytes
        self._batch, self._batch_bytes = [], 0
        if batch:
            await asyncio.shield(self._hidden)
            inserting = asyncio.ensure_future(
                self._writes.insert(batch) if size < _SMALL_BYTES else self._writes.insert_together([batch])
            )
            self._inserting.add(inserting)
            inserting.add_done_callback(self._inserting.discard)
            await asyncio.shield(inserting)

    async def settle(self) -> None:
        """Waits until nothing is being inserted any more, which outlives a caller that was cancelled."""
        await asyncio.gather(self._hidden, *self._inserting, return_exceptions=True)


class _Writes:
    """The writes that every rebalance takes, made together for all that are being stored."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._rebalances = access.database[REBALANCES]
        self._portfolios = access.database[REBALANCE_PORTFOLIOS]
        self.hide: Batching[ObjectId, None] = Batching(self._hide_together)
        self.insert: Batching[list[RawBSONDocument], None] = Batching(self.insert_together)
        self.show: Batching[tuple[ObjectId, Document], None] = Batching(self._show_together)

    async def _hide_together(self, rebalance_ids: list[ObjectId]) -> list[Exception | None]:
        """Inserts hidden headers."""
        since = datetime.now(UTC)
        lost: set[int] = set()
        async with self._access():
            try:
                await self._rebalances.insert_many(
                    [{"_id": each, "hiddenSince": since} for each in rebalance_ids], ordered=False
                )
            except BulkWriteError as error:
                lost = duplicates(error)
        return [StorageLost(each) if index in lost else None for index, each in enumerate(rebalance_ids)]

    async def insert_together(self, batches: list[list[RawBSONDocument]]) -> list[None]:
        """Inserts portfolios."""
        async with self._access():
            await self._portfolios.insert_many(list(chain.from_iterable(batches)), ordered=False)
        return [None] * len(batches)

    async def _show_together(self, headers: list[tuple[ObjectId, Document]]) -> list[Exception | None]:
        """Makes hidden headers visible, unless they were given up."""
        updates = [
            UpdateOne(
                {"_id": rebalance_id, "hiddenSince": {"$exists": True}, "doomed": {"$exists": False}},
                {"$set": {**content, **_VISIBLE}, "$unset": {"hiddenSince": ""}},
            )
            for rebalance_id, content in headers
        ]
        async with self._access():
            shown = await self._rebalances.bulk_write(updates, ordered=False)
            if shown.matched_count == len(headers):
                return [None] * len(headers)
            # A rebalance has one writer, so of these no others can be visible than those that were shown just now.
            ids = [rebalance_id for rebalance_id, _ in headers]
            found = self._rebalances.find({"_id": {"$in": ids}, **_VISIBLE}, {"_id": True})
            visible = {document["_id"] async for document in found}
        return [None if each in visible else StorageLost(each) for each in ids]


class RebalanceRepository:
    """Collections `rebalances` and `rebalance_portfolios`.

    Every method raises DatabaseUnavailable where the database cannot be reached or does not answer in time.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._rebalances = access.database[REBALANCES]
        self._portfolios = access.database[REBALANCE_PORTFOLIOS]
        self._writes = _Writes(access)

    @asynccontextmanager
    async def storing(self, rebalance_id: ObjectId) -> AsyncIterator[RebalanceStorage]:
        """Stores a rebalance: `add` every portfolio, then `finish`; a block left before that stores nothing.

        What is given raises StorageLost where the rebalance was given up before it began, or its id is in use.
        """
        storage = RebalanceStorage(self._writes, rebalance_id)
        try:
            yield storage
        except DatabaseUnavailable:
            # The caller is told without waiting for another time-out; the sweep removes what there is to remove.
            await storage.settle()
            raise
        except BaseException:
            await self._give_up(storage, rebalance_id)
            raise
        if not storage.finished:
            await self._give_up(storage, rebalance_id)

    async def _give_up(self, storage: RebalanceStorage, rebalance_id: ObjectId) -> None:
        with anyio.move_on_after(_CLEANING_SECONDS, shield=True), suppress(DatabaseUnavailable):
            await storage.settle()
            await self.abandon(rebalance_id)

    async def get(self, rebalance_id: ObjectId) -> Rebalance:
        """The header.

        Raises:
            RebalanceNotFound: there is none, or it was deleted.
        """
        async with self._access():
            document = await self._rebalances.find_one({"_id": rebalance_id, **_VISIBLE}, _WITHOUT_PORTFOLIO_IDS)
        if document is None:
            raise RebalanceNotFound(rebalance_id)
        return from_document(document, Rebalance)

    async def page(
        self, *, offset: int = 0, limit: int, sort: Sequence[SortKey[RebalanceField]] = _NEWEST_FIRST
    ) -> list[Rebalance]:
        """Headers in the order of `sort`, ties by id."""
        return await self._headers({}, offset, limit, sort)

    async def with_portfolios(self, portfolio_ids: Sequence[str], *, offset: int = 0, limit: int) -> list[Rebalance]:
        """Headers of the rebalances that any of these portfolios was part of, newest first."""
        return await self._headers({"portfolioIds": {"$in": list(portfolio_ids)}}, offset, limit, _NEWEST_FIRST)

    async def portfolios(self, header: Rebalance, *, positions: bool = True) -> AsyncIterator[RebalancedPortfolio]:
        """The portfolios of a rebalance by place, one at a time; without positions where they are not wanted.

        Raises:
            RebalanceNotFound: it is being deleted; the portfolios given so far were right.
        """
        count = 0
        async with (
            self._access(),
            self._portfolios.find(
                {"_id": _all_places(header.id)},
                None if positions else {"positions": False},
                sort=[("_id", 1)],
                batch_size=_READ_AHEAD_PORTFOLIOS,
            ) as found,
        ):
            async for document in found:
                yield portfolio_of(document)
                count += 1
        if count != header.number_of_portfolios:
            raise RebalanceNotFound(header.id)

    async def portfolio(self, rebalance_id: ObjectId, portfolio_id: str) -> RebalancedPortfolio | None:
        """One portfolio of a rebalance; None if it was not part of it.

        Raises:
            RebalanceNotFound: there is no such rebalance.
        """
        async with self._access():
            header = await self._rebalances.find_one({"_id": rebalance_id, **_VISIBLE}, {"portfolioIds": True})
            if header is None:
                raise RebalanceNotFound(rebalance_id)
            if portfolio_id not in header["portfolioIds"]:
                return None
            place = header["portfolioIds"].index(portfolio_id)
            document = await self._portfolios.find_one({"_id": {"rebalanceId": rebalance_id, "place": place}})
        if document is None:
            raise RebalanceNotFound(rebalance_id)
        return portfolio_of(document)

    async def delete(self, rebalance_id: ObjectId, version: int) -> None:
        """Removes the rebalance and its portfolios if `version` is still its version.

        Raises:
            RebalanceNotFound: there is none, or it was deleted.
            VersionConflict: it has another version.
        """
        async with self._access():
            hidden = await self._rebalances.update_one(
                {"_id": rebalance_id, "version": version, **_VISIBLE},
                {"$set": {"hiddenSince": datetime.now(UTC), "doomed": True}, "$unset": dict.fromkeys(_VISIBLE, "")},
            )
        if hidden.matched_count == 0:
            raise VersionConflict((await self.get(rebalance_id)).version)
        # It is deleted for every reader; where the database goes away now, the sweep removes the rest.
        with suppress(DatabaseUnavailable):
            await self._remove(rebalance_id)

    async def abandon(self, rebalance_id: ObjectId) -> None:
        """Gives up a rebalance that is not visible yet; its writer, if it still lives, cannot finish it any more."""
        async with self._access():
            try:
                doomed = await self._rebalances.update_one(
                    {"_id": rebalance_id, "hiddenSince": {"$exists": True}},
                    {"$set": {"doomed": True}, "$setOnInsert": {"hiddenSince": datetime.now(UTC)}},
                    upsert=True,
                )
            except DuplicateKeyError:
                return  # it is visible
        # A mark that was not there before stays until the sweep: the writer may have yet to begin.
        if doomed.matched_count:
            await self._remove(rebalance_id)

    async def sweep(self, hidden_for: timedelta) -> None:
        """Removes what crashed processes left half stored or half deleted, if hidden for longer than `hidden_for`."""
        async with self._access():
            found = self._rebalances.find({"hiddenSince": {"$lte": datetime.now(UTC) - hidden_for}}, {"_id": True})
            abandoned = [document["_id"] async for document in found]
        for rebalance_id in abandoned:
            await self.abandon(rebalance_id)

    async def _headers(
        self, chosen: Mapping[str, Any], offset: int, limit: int, sort: Sequence[SortKey[RebalanceField]]
    ) -> list[Rebalance]:
        if limit == 0:  # which MongoDB would take for no limit
            return []
        async with self._access():
            found = self._rebalances.find(
                {**chosen, **_VISIBLE},
                _WITHOUT_PORTFOLIO_IDS,
                sort=sort_specification(sort),
                skip=offset,
                limit=limit,
            )
            return [from_document(document, Rebalance) async for document in found]

    async def _remove(self, rebalance_id: ObjectId) -> None:
        async with self._access():
            await self._portfolios.delete_many({"_id": _all_places(rebalance_id)})
            await self._rebalances.delete_one({"_id": rebalance_id, "doomed": True})


def _all_places(rebalance_id: ObjectId) -> Document:
    """The range of `_id` that the portfolios of a rebalance lie in, so that the one index serves and orders them."""
    return {
        "$gte": {"rebalanceId": rebalance_id, "place": MinKey()},
        "$lte": {"rebalanceId": rebalance_id, "place": MaxKey()},
    }
