"""Writes one rebalance: its portfolios in batches as they finish, and its header as the last document of the last."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Final

from bson import ObjectId, encode
from bson.raw_bson import RawBSONDocument
from msgspec import Struct
from pymongo.errors import BulkWriteError

from persistence.access import Access, confirmed, duplicates
from persistence.batching import Batching
from persistence.codec import CODEC_OPTIONS, to_document
from persistence.documents import Rebalance
from persistence.errors import StorageLost
from persistence.indexes import REBALANCES
from persistence.rebalances.record import PortfolioRecord

# What may wait in memory for one insert, of one rebalance, and little enough to be on disk long before an insert times
# out; a portfolio of 500 positions is about 110,000 bytes.
_BATCH_BYTES: Final = 500_000
_BATCH_PORTFOLIOS: Final = 200
# Less than this waits for the inserts of other rebalances; more is worth a round trip of its own.
_SMALL_BYTES: Final = 200_000


class Batch(Struct, frozen=True):
    """Documents of one rebalance, to be inserted in this order."""

    rebalance_id: ObjectId
    documents: list[RawBSONDocument]


class RebalanceInserts:
    """The inserts that all rebalances share.

    Attributes:
        one: inserts a small batch, together with those of other rebalances; raises StorageLost if a document of it
            exists already.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._rebalances = access.database[REBALANCES]
        self.one: Batching[Batch, None] = Batching(self.together)

    async def together(self, batches: Sequence[Batch]) -> list[StorageLost | None]:
        """Insert batches one after the other, and return the outcome of each.

        The server stops at the first document that is there already. Batches before it are stored then, its own is
        lost, and those after it are sent again.
        """
        results: list[StorageLost | None] = []
        async with self._access():
            while rest := batches[len(results) :]:
                try:
                    await self._rebalances.insert_many(list(chain.from_iterable(each.documents for each in rest)))
                except BulkWriteError as error:
                    if await confirmed(error, lambda: self._are_stored(rest)):
                        return [*results, *[None] * len(rest)]
                    [index] = duplicates(error)
                    ends = list(accumulate(len(each.documents) for each in rest))
                    stored = bisect_right(ends, index)
                    results += [*[None] * stored, StorageLost(rest[stored].rebalance_id)]
                else:
                    results += [None] * len(rest)
        return results

    async def _are_stored(self, batches: Sequence[Batch]) -> bool:
        """Return whether a majority has the last document of each batch; they were inserted in order."""
        last = [batch.documents[-1]["_id"] for batch in batches]
        return await self._rebalances.count_documents({"_id": {"$in": last}}) == len(last)


class RebalanceStorage:
    """One rebalance on its way into the database; made by `RebalanceRepository.storing`.

    Attributes:
        begun: whether anything of it may be in the database.
        finished: whether all of it is.
    """

    def __init__(self, inserts: RebalanceInserts, rebalance_id: ObjectId) -> None:
        self._inserts = inserts
        self._rebalance_id = rebalance_id
        self._portfolio_ids: dict[int, str] = {}
        self._documents: list[RawBSONDocument] = []
        self._bytes = 0
        self._inserting: set[asyncio.Future[None]] = set()
        self.begun = False
        self.finished = False

    async def add(self, record: PortfolioRecord) -> None:
        """Add one portfolio, in any order of places; several tasks may add at once.

        Raises:
            DatabaseUnavailable: as everywhere.
            StorageLost: the id is in use.
            pymongo.errors.DocumentTooLarge: more than 16 MB, or about 60,000 positions.
        """
        self._portfolio_ids[record.place] = record.portfolio_id
        self._take(record.document)
        if self._bytes >= _BATCH_BYTES or len(self._documents) >= _BATCH_PORTFOLIOS:
            await self._insert()

    async def finish(self, header: Rebalance) -> None:
        """Store the rest and then the header, with which readers see the whole rebalance; call it after every `add`.

        Raises:
            StorageLost: it took so long that it was abandoned, or the id is in use.
            ValueError: the header counts other portfolios than were added.
        """
        if sorted(self._portfolio_ids) != list(range(header.number_of_portfolios)):
            raise ValueError(f"{header.number_of_portfolios} portfolios were to be stored")
        content = to_document(header)
        content["portfolioIds"] = [self._portfolio_ids[place] for place in range(header.number_of_portfolios)]
        content["visible"] = True
        self._take(encode(content, codec_options=CODEC_OPTIONS))
        await self._insert()
        self.finished = True

    async def settle(self) -> None:
        """Wait for inserts that are still running, which outlive a cancelled caller."""
        await asyncio.gather(*self._inserting, return_exceptions=True)

    def _take(self, document: bytes) -> None:
        self._documents.append(RawBSONDocument(document))
        self._bytes += len(document)

    async def _insert(self) -> None:
        batch, small = Batch(self._rebalance_id, self._documents), self._bytes < _SMALL_BYTES
        self._documents, self._bytes = [], 0
        self.begun = True
        inserting = asyncio.ensure_future(self._inserts.one(batch) if small else self._insert_alone(batch))
        self._inserting.add(inserting)
        inserting.add_done_callback(self._inserting.discard)
        await asyncio.shield(inserting)

    async def _insert_alone(self, batch: Batch) -> None:
        [lost] = await self._inserts.together([batch])
        if lost:
            raise lost
