"""Stored documents that are not in this service's format: reported once each, and kept out of listings."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import pymongo
from pymongo.asynchronous.collection import AsyncCollection

from persistence.access import Access
from persistence.codec import Document
from persistence.errors import DatabaseUnavailable
from persistence.indexes import Keys

log = logging.getLogger(__name__)

# A foreign database can have any number of foreign documents; above this many, listings skip them one by one.
_MOST_EXCLUDED: Final = 1_000
_MOST_REMEMBERED: Final = 10_000
# An inspection reads the whole collection, so its duration decides how soon the next one may start.
_REST: Final = 20
_WAIT_SECONDS: Final = 0.1
_SEARCH_SECONDS: Final = 60

INSPECTION: Final = "inspection"
"""The comment by which the server's profiler shows these searches."""

type Observer = Callable[[str], None]
"""Called with the collection of each document that is found unreadable, once for each document."""


class UnreadableDocuments:
    """Reports each unreadable document once: in the log, by id, and to an observer that counts them."""

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer
        self._reported: set[tuple[str, str]] = set()

    def report(self, collection: str, document_id: object, reason: object) -> None:
        """Log a document unless it was reported before; `reason` says what is wrong with it."""
        key = (collection, str(document_id))
        if key in self._reported:
            return
        if len(self._reported) < _MOST_REMEMBERED:
            self._reported.add(key)
        log.warning("Unreadable document in collection %s: %s (%s)", *key, reason)
        if self._observer is not None:
            self._observer(collection)


class Inspection:
    """Knows which documents of a collection are unreadable, so that listings and their counts leave them out.

    Every listing asks. The collection is searched again unless the last search is recent compared with its duration: a
    search of a millisecond is repeated after 20, one of a second after 20 seconds. A listing waits for a search only
    briefly; one that takes longer serves later listings.
    """

    def __init__(
        self,
        access: Access,
        collection: AsyncCollection[Document],
        wrong: Sequence[Mapping[str, Any]],
        read: Callable[[Document], object],
        unreadable: UnreadableDocuments,
        *,
        index: Keys | None = None,
    ) -> None:
        """Inspect a collection.

        Args:
            access: to the database.
            collection: to inspect.
            wrong: stages of an aggregation that find unreadable documents, as far as the server can tell.
            read: raises ValueError for an unreadable document.
            unreadable: reports what is found.
            index: that serves the first stage.
        """
        self._access = access
        self._collection = collection
        self._wrong = wrong
        self._read = read
        self._unreadable = unreadable
        self._options: dict[str, Any] = {"hint": dict(index)} if index else {}
        self._found: frozenset[Any] = frozenset()
        self._noticed: set[Any] = set()
        self._not_before = 0.0
        self._searching: asyncio.Task[None] | None = None

    async def ids(self) -> frozenset[Any]:
        """Return the ids of unreadable documents."""
        if self._searching is None and time.monotonic() >= self._not_before:
            self._searching = self._access.in_background(self._search())
        if self._searching is not None and self._access.is_reachable:
            await asyncio.wait({self._searching}, timeout=_WAIT_SECONDS)
        return self._found | self._noticed

    async def readable(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a filter that matches the readable documents among those that `wanted` matches."""
        excluded = await self.ids()
        return {**wanted, "_id": {"$nin": list(excluded)}} if excluded else wanted

    def notice(self, document_id: object, reason: object) -> None:
        """Report a document that turned out to be unreadable, and leave it out of the next listings."""
        self._unreadable.report(self._collection.name, document_id, reason)
        if len(self._noticed) < _MOST_EXCLUDED:
            self._noticed.add(document_id)

    async def _search(self) -> None:
        began = time.monotonic()
        try:
            with suppress(DatabaseUnavailable), pymongo.timeout(_SEARCH_SECONDS):
                async with self._access():
                    found = await self._collection.aggregate(
                        [*self._wrong, {"$limit": _MOST_EXCLUDED}, {"$project": {"_id": True}}],
                        comment=INSPECTION,
                        **self._options,
                    )
                    self._found = frozenset([document["_id"] async for document in found])
                    noticed = {"_id": {"$in": list(self._noticed)}}
                    again = self._collection.find(noticed, comment=INSPECTION)
                    self._noticed = {document["_id"] async for document in again if self._is_unreadable(document)}
        finally:
            ended = time.monotonic()
            self._not_before = ended + (ended - began) * _REST
            self._searching = None
        for document_id in self._found:
            self._unreadable.report(self._collection.name, document_id, "not in this service's format")

    def _is_unreadable(self, document: Document) -> bool:
        try:
            self._read(document)
        except ValueError:
            return True
        return False
