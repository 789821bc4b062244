"""Access to the database: applies the indexes first, and raises one error for every kind of outage."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context
from typing import Final

import pymongo
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, ConnectionFailure, OperationFailure, PyMongoError

from persistence.codec import Document
from persistence.errors import DatabaseUnavailable, IndexConflict, PersistenceError
from persistence.indexes import INDEXES

# A collection that has grown large without an index takes its time, and would start again from nothing if cut short.
_INDEX_SECONDS: Final = 600
_INDEX_CONFLICTS: Final = (85, 86)  # other options, or another key, under the same name
_DUPLICATE_KEY: Final = 11000
# What a server that is shutting down, changing its primary, unsure of its writes or refusing the login answers.
_UNAVAILABLE_CODES: Final = frozenset(
    {
        *(6, 7, 89, 9001),  # the server's own network trouble
        *(11600, 11602, 91, 189, 10107, 13435, 13436),  # shutting down or not the primary
        *(50, 64, 262, 202),  # out of time
        *(13, 18, 8000),  # the login is missing or refused
        14031,  # the disk is full
        *(117, 12587, 276),  # another process is building or dropping the same indexes
        20,  # PyMongo tried a write again whose connection could not be made, as only a replica set lets it
    }
)


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


@contextmanager
def unavailability() -> Iterator[None]:
    """Turns every PyMongo error that means an unreachable or unfit database into `DatabaseUnavailable`."""
    try:
        yield
    except BulkWriteError as error:
        details = error.details or {}
        codes = {fault["code"] for fault in (*details["writeErrors"], *details["writeConcernErrors"])}
        if error.timeout or codes & _UNAVAILABLE_CODES:
            raise DatabaseUnavailable("The database is not available.") from None
        # PyMongo's message would repeat every document.
        raise PersistenceError(f"{len(details['writeErrors'])} writes failed with {sorted(codes)}.") from None
    except PyMongoError as error:
        if _is_unavailability(error):
            raise DatabaseUnavailable("The database is not available.") from error
        raise


def duplicates(error: BulkWriteError) -> set[int]:
    """Which documents of an insert were there already, by index; an error that has other causes is raised again."""
    details = error.details or {}
    faults = details.get("writeErrors", [])
    if details.get("writeConcernErrors") or any(fault["code"] != _DUPLICATE_KEY for fault in faults):
        raise error
    return {fault["index"] for fault in faults}


def _is_unavailability(error: PyMongoError) -> bool:
    if isinstance(error, ConnectionFailure) or error.timeout:
        return True
    return isinstance(error, OperationFailure) and (
        error.code in _UNAVAILABLE_CODES or error.has_error_label("RetryableWriteError")
    )
