"""The collections and their indexes, declared once, and applied by whoever comes first."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Final

import pymongo
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from persistence.codec import Document
from persistence.errors import DatabaseUnavailable, IndexConflict, unavailability

MODELS: Final = "models"
MODEL_HISTORY: Final = "model_history"
REBALANCES: Final = "rebalances"
SWEEPS: Final = "sweeps"
IDEMPOTENCY_KEYS: Final = "idempotency_keys"

# A collection that has grown large without an index takes its time, and would start again from nothing if cut short.
_INDEX_SECONDS: Final = 600
_INDEX_CONFLICTS: Final = (85, 86)  # other options, or another key, under the same name

IDEMPOTENCY_SECONDS: Final = 24 * 60 * 60
# How long the mark of an abandoned rebalance keeps its writer from storing it: no process stands still for longer and
# then goes on.
ABANDONED_SECONDS: Final = 24 * 60 * 60

type Keys = tuple[tuple[str, int], ...]
"""Fields of an index and their directions, as a hint names it."""

HEADERS_BY: Final[Mapping[str, Keys]] = {
    "_id": (("visible", ASCENDING), ("_id", ASCENDING)),
    "modelName": (("visible", ASCENDING), ("modelName", ASCENDING), ("_id", ASCENDING)),
    "numberOfPortfolios": (("visible", ASCENDING), ("numberOfPortfolios", ASCENDING), ("_id", ASCENDING)),
}
"""Indexes of the headers of rebalances by the field that they are ordered by."""

WHOLE_HEADERS: Final[Keys] = (
    ("visible", ASCENDING),
    ("rebalanceDate", ASCENDING),
    ("_id", ASCENDING),
    *((each, ASCENDING) for each in ("modelName", "numberOfPortfolios", "modelId", "pricedAt", "createdAt", "version")),
)
"""The index of headers by date, which holds all that a listing shows of them. Headers lie scattered among their
portfolios; any order that no index has is sorted from this one, without reading a document."""

HEADERS_BY_PORTFOLIO: Final[Keys] = (("portfolioIds", ASCENDING), ("rebalanceDate", ASCENDING), ("_id", ASCENDING))

# Named as MongoDB itself would name them, so that an equal index made by another tool is recognised as the same.
INDEXES: Final[Mapping[str, tuple[IndexModel, ...]]] = {
    MODELS: (
        IndexModel([("name", ASCENDING)], unique=True),
        IndexModel([("portfolios", ASCENDING)]),
        IndexModel([("positions.securityId", ASCENDING)], sparse=True),
        # The sort orders that the unique name and _id do not already serve.
        IndexModel([("lastRebalanceDate", ASCENDING), ("_id", ASCENDING)]),
        IndexModel([("lastRebalanceDate", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("lastRebalanceDate", ASCENDING), ("name", ASCENDING)]),
        IndexModel([("lastRebalanceDate", ASCENDING), ("name", DESCENDING)]),
        # Only models whose audit entry a crash left behind.
        IndexModel([("pending.at", ASCENDING)], sparse=True),
    ),
    MODEL_HISTORY: (IndexModel([("modelId", ASCENDING), ("version", DESCENDING)], unique=True),),
    REBALANCES: (
        # Every listing asks for what is visible. As the first field of the key that is a bound of the index rather than
        # a question to each document, so that documents before the page are not read. Portfolios are in no index but
        # `_id`, which is all that they are looked up and ordered by, and cost that much less to write.
        *(
            IndexModel(list(keys), partialFilterExpression={"visible": True})
            for keys in (*HEADERS_BY.values(), WHOLE_HEADERS, HEADERS_BY_PORTFOLIO)
        ),
        # Only rebalances that are being deleted.
        IndexModel([("hiddenSince", ASCENDING)], sparse=True),
        # Only the marks of those that were given up.
        IndexModel([("abandonedAt", ASCENDING)], sparse=True, expireAfterSeconds=ABANDONED_SECONDS),
    ),
    IDEMPOTENCY_KEYS: (IndexModel([("createdAt", ASCENDING)], expireAfterSeconds=IDEMPOTENCY_SECONDS),),
}


class Access:
    """The way to the database: nothing is read or written before the indexes exist, and an outage has one name."""

    def __init__(self, database: AsyncDatabase[Document], patience: float) -> None:
        """Access to `database`, whose indexes a call waits for during `patience` seconds."""
        self.database = database
        self._patience = patience
        self._applying: asyncio.Task[None] | None = None
        self._applied = False

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        """A block of database calls.

        Raises:
            DatabaseUnavailable: the database cannot be reached, did not answer in time, or cannot take writes now.
            IndexConflict: a collection has an index that is none of ours.
        """
        with unavailability():
            if not self._applied:
                await self.apply_indexes(self._patience)
            yield

    async def apply_indexes(self, seconds: float) -> None:
        """Waits for the indexes, at most so long; they are applied in the background, by one task for all who wait.

        Raises:
            DatabaseUnavailable: they are not there yet.
            IndexConflict: a collection has an index that is none of ours.
        """
        if self._applied:
            return
        applying = self._applying
        if applying is None or applying.done():
            # In a context of its own, or it would inherit the time-outs of the call that happened to come first.
            applying = self._applying = asyncio.create_task(self._apply_indexes(), context=Context())
        # Before whoever waits for an attempt hears of its end, somebody else may have begun the next.
        done, _ = await asyncio.wait({applying}, timeout=seconds)
        if not done:
            raise DatabaseUnavailable("The indexes of the database are not ready.")
        with unavailability():
            applying.result()

    async def close(self) -> None:
        """Gives up on indexes that are still being applied."""
        if self._applying is not None:
            self._applying.cancel()
            await asyncio.wait({self._applying})

    async def _apply_indexes(self) -> None:
        """Idempotent, and safe in many processes at once; an index that exists costs one round trip."""
        with pymongo.timeout(_INDEX_SECONDS):
            for collection, indexes in INDEXES.items():
                try:
                    await self.database[collection].create_indexes(list(indexes))
                except OperationFailure as error:
                    if error.code in _INDEX_CONFLICTS:
                        raise IndexConflict(collection) from error
                    raise
        self._applied = True
