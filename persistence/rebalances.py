"""Rebalances: a header each and a document for every portfolio, of which readers see all or nothing.

The header is written first, hidden, then the portfolios as they finish, and one atomic update of the header makes it
all visible. A deletion hides the header first and removes it last. So whatever a crash leaves is hidden and can be
found: the sweep removes what has been hidden for longer than any request lasts. Each step compares the state it
expects, so a sweep and a slow writer cannot both win.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio
from bson import MaxKey, MinKey, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.errors import DuplicateKeyError

from persistence.codec import Document, from_document, to_document
from persistence.documents import Rebalance, RebalancedPortfolio
from persistence.errors import DatabaseUnavailable, RebalanceNotFound, StorageLost, VersionConflict
from persistence.portfolio_record import PortfolioRecord, portfolio_of
from persistence.schema import REBALANCE_PORTFOLIOS, REBALANCES, Access
from persistence.sorting import RebalanceField, SortKey, sort_specification

_VISIBLE: Final[Mapping[str, Any]] = {"hiddenSince": {"$exists": False}}
_WITHOUT_PORTFOLIO_IDS: Final = {"portfolioIds": False}
_NEWEST_FIRST: Final = (SortKey(RebalanceField.REBALANCE_DATE, descending=True),)
# What may wait in memory for one insert, of one rebalance, and little enough to be on disk long before an insert times
# out; a portfolio of 500 positions is about 110,000 bytes.
_BATCH_BYTES: Final = 500_000
_BATCH_PORTFOLIOS: Final = 200
_READ_AHEAD_PORTFOLIOS: Final = 10
_CLEANING_SECONDS: Final = 5


class RebalanceStorage:
    """One rebalance on its way into the database; made by `RebalanceRepository.storing`."""

    def __init__(self, access: Access, rebalance_id: ObjectId) -> None:
        self._access = access
        self._rebalances = access.database[REBALANCES]
        self._portfolios = access.database[REBALANCE_PORTFOLIOS]
        self._rebalance_id = rebalance_id
        self._portfolio_ids: dict[int, str] = {}
        self._batch: list[RawBSONDocument] = []
        self._batch_bytes = 0
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
        content = to_document(header)
        content["portfolioIds"] = [self._portfolio_ids[place] for place in range(header.number_of_portfolios)]
        async with self._access():
            shown = await self._rebalances.update_one(
                {"_id": self._rebalance_id, "hiddenSince": {"$exists": True}, "doomed": {"$exists": False}},
                {"$set": content, "$unset": {"hiddenSince": ""}},
            )
        if shown.matched_count == 0:
            raise StorageLost(self._rebalance_id)
        self.finished = True

    async def _flush(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if batch:
            async with self._access():
                await self._portfolios.insert_many(batch, ordered=False)


class RebalanceRepository:
    """Collections `rebalances` and `rebalance_portfolios`.

    Every method raises DatabaseUnavailable where the database cannot be reached or does not answer in time.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._rebalances = access.database[REBALANCES]
        self._portfolios = access.database[REBALANCE_PORTFOLIOS]

    @asynccontextmanager
    async def storing(self, rebalance_id: ObjectId) -> AsyncIterator[RebalanceStorage]:
        """Stores a rebalance: `add` every portfolio, then `finish`; a block left before that stores nothing.

        Raises:
            StorageLost: the rebalance was given up before it began, or its id is in use.
        """
        async with self._access():
            try:
                await self._rebalances.insert_one({"_id": rebalance_id, "hiddenSince": datetime.now(UTC)})
            except DuplicateKeyError as error:
                raise StorageLost(rebalance_id) from error
        storage = RebalanceStorage(self._access, rebalance_id)
        try:
            yield storage
        finally:
            if not storage.finished:
                with anyio.move_on_after(_CLEANING_SECONDS, shield=True), suppress(DatabaseUnavailable):
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
                {"$set": {"hiddenSince": datetime.now(UTC), "doomed": True}},
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
