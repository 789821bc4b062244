"""The audit trail of models: entries wait in the model's own document until they are copied to the history.

A change of a model and its audit entry are one write: the entry goes into the array `pending` of the model. Settling
copies pending entries to `model_history` and removes them from the model. A process that dies in between leaves an
entry that the next writer, the next reader of the history, or the sweep copies; copying twice is harmless, because the
history is unique on model and version.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec
from bson import ObjectId
from pymongo import DESCENDING
from pymongo.errors import BulkWriteError

from persistence.access import Access, duplicates
from persistence.clocks import server_time
from persistence.codec import Document, from_document
from persistence.documents import AuditNote, Model, ModelContent, ModelHistoryEntry
from persistence.errors import ModelNotFound
from persistence.indexes import MODEL_HISTORY, MODELS
from persistence.unreadable import UnreadableDocuments

_INTEGER_VERSION: Final[Mapping[str, Any]] = {"version": {"$type": ["int", "long"]}}


class AuditTrail:
    """Collection `model_history`, and the array `pending` of each model."""

    def __init__(self, access: Access, unreadable: UnreadableDocuments) -> None:
        self._access = access
        self._models = access.database[MODELS]
        self._history = access.database[MODEL_HISTORY]
        self._unreadable = unreadable

    async def entries(self, model_id: ObjectId, *, offset: int, limit: int) -> list[ModelHistoryEntry]:
        """Return audit entries of a model, newest first; unreadable ones are left out.

        Raises:
            ModelNotFound: no model ever had this id.
        """
        async with self._access():
            document = await self._models.find_one({"_id": model_id}, {"pending": True, "deletedAt": True})
            if document is not None:
                await self.settle(document)
            if document is None and await self._history.find_one({"modelId": model_id}, {"_id": True}) is None:
                raise ModelNotFound(model_id)
            found = self._history.find(
                {"modelId": model_id, **_INTEGER_VERSION}, sort=[("version", DESCENDING)], skip=offset, limit=limit
            )
            return [entry async for document in found if (entry := self._read(document)) is not None]

    async def count(self, model_id: ObjectId) -> int:
        """Return how many entries a model has."""
        async with self._access():
            return await self._history.count_documents({"modelId": model_id, **_INTEGER_VERSION})

    async def has(self, entry: ModelHistoryEntry) -> bool:
        """Return whether an entry has been copied to the history."""
        key = {"modelId": entry.model_id, "version": entry.version}
        found = await self._history.find_one(key, {"_id": True})
        return found is not None and found["_id"] == entry.id

    async def latest_version(self, model_id: ObjectId) -> int:
        """Return the version that the newest entry of a model records; 0 without entries."""
        async with self._access():
            newest = await self._history.find_one(
                {"modelId": model_id, **_INTEGER_VERSION}, {"version": True}, sort=[("version", DESCENDING)]
            )
        return int(newest["version"]) if newest else 0

    async def settle(self, document: Document) -> None:
        """Copy the pending entries of a model to the history and remove them from it; remove a deleted model.

        Entries of the wrong shape are reported and stay where they are.
        """
        pending = document.get("pending")
        entries = [entry for entry in pending if self._read(entry)] if isinstance(pending, list) else []
        if entries:
            try:
                await self._history.insert_many(entries, ordered=False)
            except BulkWriteError as error:
                duplicates(error)  # copied before
        if "deletedAt" in document:
            await self._models.delete_one({"_id": document["_id"], "deletedAt": document["deletedAt"]})
        elif entries:
            settled = [entry["_id"] for entry in entries]
            await self._models.update_one({"_id": document["_id"]}, {"$pull": {"pending": {"_id": {"$in": settled}}}})

    async def sweep(self, pending_for: timedelta) -> None:
        """Settle entries that are older than `pending_for`, or dated in the future by a clock that was ahead."""
        async with self._access():
            now = await server_time(self._access.database)
            abandoned = [{"pending.at": {"$lte": now - pending_for}}, {"pending.at": {"$gt": now + pending_for}}]
            async for document in self._models.find({"$or": abandoned}, {"pending": True, "deletedAt": True}):
                await self.settle(document)

    def _read(self, document: object) -> ModelHistoryEntry | None:
        """Return the entry, or report it and return None if it has the wrong shape."""
        if not isinstance(document, dict):
            self._unreadable.report(MODEL_HISTORY, document, "not an object")
            return None
        try:
            return from_document(document, ModelHistoryEntry)
        except msgspec.ValidationError as error:
            self._unreadable.report(MODEL_HISTORY, document.get("_id"), error)
            return None


def new_entry(
    model_id: ObjectId, version: int, change: AuditNote, *, before: ModelContent | None, after: ModelContent | None
) -> ModelHistoryEntry:
    """Return the audit entry of the change that leads to `version`."""
    return ModelHistoryEntry(
        id=ObjectId(),
        model_id=model_id,
        version=version,
        action=change.action,
        at=change.at,
        correlation_id=change.correlation_id,
        before=before,
        after=after,
    )


def content_of(model: Model) -> ModelContent:
    """Return what an audit entry records of a model."""
    return ModelContent(model.name, model.positions, model.portfolios, model.last_rebalance_date)
