"""The collections and their indexes, declared once, and applied by whoever comes first."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from persistence.codec import Document
from persistence.errors import IndexConflict, unavailability

MODELS: Final = "models"
MODEL_HISTORY: Final = "model_history"
REBALANCES: Final = "rebalances"
REBALANCE_PORTFOLIOS: Final = "rebalance_portfolios"
IDEMPOTENCY_KEYS: Final = "idempotency_keys"

_INDEX_CONFLICTS: Final = (85, 86)  # other options, or another key, under the same name

IDEMPOTENCY_SECONDS: Final = 24 * 60 * 60

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
        IndexModel([("rebalanceDate", ASCENDING), ("_id", ASCENDING)]),
        IndexModel([("modelName", ASCENDING), ("_id", ASCENDING)]),
        IndexModel([("numberOfPortfolios", ASCENDING), ("_id", ASCENDING)]),
        IndexModel([("portfolioIds", ASCENDING), ("rebalanceDate", ASCENDING), ("_id", ASCENDING)]),
        # Only rebalances that are being stored or deleted.
        IndexModel([("hiddenSince", ASCENDING)], sparse=True),
    ),
    # `_id` holds rebalance and place, which is all that portfolios are looked up and ordered by.
    REBALANCE_PORTFOLIOS: (),
    IDEMPOTENCY_KEYS: (IndexModel([("createdAt", ASCENDING)], expireAfterSeconds=IDEMPOTENCY_SECONDS),),
}


class Access:
    """The way to the database: nothing is read or written before the indexes exist, and an outage has one name."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self.database = database
        self._indexed = False

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        """A block of database calls.

        Raises:
            DatabaseUnavailable: the database cannot be reached, did not answer in time, or cannot take writes now.
            IndexConflict: a collection has an index that is none of ours.
        """
        with unavailability():
            if not self._indexed:
                await self._apply_indexes()
            yield

    async def _apply_indexes(self) -> None:
        """Idempotent, and safe in many processes at once; an index that exists costs one round trip."""
        for collection, indexes in INDEXES.items():
            if indexes:
                try:
                    await self.database[collection].create_indexes(list(indexes))
                except OperationFailure as error:
                    if error.code in _INDEX_CONFLICTS:
                        raise IndexConflict(collection) from error
                    raise
        self._indexed = True
