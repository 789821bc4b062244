"""Access to the database: applies the indexes first, and raises one kind of error for every failure of the database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any, Final

import pymongo
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError, WriteConcernError

from persistence.causes import no_response, unavailable
from persistence.codec import Document
from persistence.errors import DatabaseUnavailable, DuplicatesFound, IndexConflict
from persistence.indexes import INDEXES

# Building an index of a large collection takes its time, and would start again from nothing if interrupted.
_INDEX_SECONDS: Final = 600
_INDEX_CONFLICTS: Final = (85, 86)  # other options, or another key, under the same name
_DUPLICATE_KEY: Final = 11000

_CONFIRMATION_SECONDS: Final = 0.5
_CONFIRMATION_PAUSE_SECONDS: Final = 0.02


class Access:
    """The way to the database: nothing is read or written before the indexes exist."""

    def __init__(self, database: AsyncDatabase[Document], patience: float) -> None:
        """Access `database`; a call waits up to `patience` seconds for the indexes."""
        self.database = database
        self._patience = patience
        self._applying: asyncio.Task[None] | None = None
        self._applied = False
        self._index_fault: DatabaseUnavailable | None = None
        self._background: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        """Run a block of database calls.

        Raises:
            DatabaseUnavailable: the database failed, whatever the failure; its `reason` says how.
        """
        try:
            if not self._applied:
                await self.apply_indexes(self._patience)
            yield
        except BulkWriteError as error:
            # PyMongo's message would repeat every document.
            raise unavailable(_first_failure(error), self.database.client) from None
        except PyMongoError as error:
            raise unavailable(error, self.database.client) from error

    async def apply_indexes(self, seconds: float) -> None:
        """Wait up to `seconds` for the indexes; one background task applies them for all callers.

        Raises:
            DatabaseUnavailable: they do not exist yet; IndexConflict or DuplicatesFound if a person has to act.
        """
        if self._applied:
            return
        applying = self._applying
        if applying is None or applying.done():
            applying = self._applying = self.in_background(self._apply_indexes())
        # Before every caller that waits for an attempt learns of its end, another may have begun the next attempt.
        done, _ = await asyncio.wait({applying}, timeout=seconds)
        if not done:
            # A repeated attempt most likely fails like the last one.
            raise self._index_fault or no_response(self.database.client, default="its indexes are not ready yet")
        applying.result()

    @property
    def is_reachable(self) -> bool:
        """Whether the driver knows of a server that accepts reads and writes."""
        return self.database.client.topology_description.has_writable_server()

    def in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start work that outlives the call that happens to start it, and therefore has no time limit of that call."""
        task = asyncio.create_task(work, context=Context())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def close(self) -> None:
        """Cancel what still runs in the background."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _apply_indexes(self) -> None:
        try:
            with pymongo.timeout(_INDEX_SECONDS):
                await self._create_indexes()
        except PyMongoError as error:
            self._index_fault = unavailable(error, self.database.client)
            raise self._index_fault from error
        except DatabaseUnavailable as fault:
            self._index_fault = fault
            raise
        self._applied = True

    async def _create_indexes(self) -> None:
        """Create the missing indexes; safe in many processes at once, and one round trip for each collection."""
        for collection, indexes in INDEXES.items():
            try:
                await self.database[collection].create_indexes(list(indexes))
            except OperationFailure as error:
                if error.code in _INDEX_CONFLICTS:
                    raise IndexConflict(collection) from error
                if error.code == _DUPLICATE_KEY:
                    raise DuplicatesFound(collection, _duplicate(error)) from error
                raise


async def confirmed(error: PyMongoError | AttributeError, is_made: Callable[[], Awaitable[bool]]) -> bool:
    """Find out whether a failed write was made after all.

    A server that applied a write, but failed before it knew that a majority has it, reports an error. If a majority
    has the write shortly after, the write was made and must be reported as made.

    Args:
        error: of the write; any other kind than described means that the write was not made, or that nothing is known.
        is_made: reads what a majority has.
    """
    if not _is_applied(error):
        return False
    clock = asyncio.get_running_loop().time
    # A write that waited for the majority in vain until its time limit is read once.
    deadline = clock() + (0 if isinstance(error, PyMongoError) and error.timeout else _CONFIRMATION_SECONDS)
    while not await is_made():
        if clock() >= deadline:
            return False
        await asyncio.sleep(_CONFIRMATION_PAUSE_SECONDS)
    return True


def duplicates(error: BulkWriteError) -> set[int]:
    """Return which documents of an insert existed already, by index; raise the error again if it has other causes."""
    details = error.details or {}
    faults = details.get("writeErrors", [])
    if details.get("writeConcernErrors") or any(fault["code"] != _DUPLICATE_KEY for fault in faults):
        raise error
    return {fault["index"] for fault in faults}


def _is_applied(error: PyMongoError | AttributeError) -> bool:
    if isinstance(error, BulkWriteError):
        details = error.details or {}
        return bool(details.get("writeConcernErrors")) and not details.get("writeErrors")
    return isinstance(error, WriteConcernError | AttributeError)


def _first_failure(error: BulkWriteError) -> OperationFailure:
    details = error.details or {}
    faults = [*details.get("writeErrors", []), *details.get("writeConcernErrors", [])]
    if not faults:
        return OperationFailure("the write failed", error.code)
    first = faults[0]
    return OperationFailure("the write failed", first.get("code"), {"codeName": first.get("codeName", "")})


def _duplicate(error: OperationFailure) -> str:
    """Return the values that occur twice, such as `name 'Growth'`."""
    values = (error.details or {}).get("keyValue") or {}
    return ", ".join(f"{name} {value!r}" for name, value in values.items()) or "the same values"
