"""Investment models: every change is one atomic compare-and-set that carries its own audit entry.

A change writes the model's document once: new content, next version, and the audit entry (`persistence/audit.py`). A
deletion turns the model into a hidden document without content, which is removed when its entries are settled. So there
is exactly one entry for each version, without transactions.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

import msgspec
from bson import ObjectId
from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError, WriteConcernError

from persistence.access import Access, confirmed
from persistence.audit import AuditTrail, content_of, new_entry
from persistence.batching import Batching
from persistence.clocks import CLOCK_TOLERANCE, is_possible
from persistence.codec import Document, to_document
from persistence.documents import AuditNote, Model, ModelHistoryEntry
from persistence.errors import (
    DatabaseUnavailable,
    DocumentUnreadable,
    DuplicateName,
    ModelNotFound,
    VersionConflict,
)
from persistence.formats import WRONG_MODELS, read_model
from persistence.indexes import MODELS
from persistence.sorting import ModelField, SortKey, sort_specification
from persistence.unreadable import Inspection, UnreadableDocuments

_ALIVE: Final[Mapping[str, Any]] = {"deletedAt": {"$exists": False}}
_KIND: Final = "model"
_READ_AHEAD_MODELS: Final = 100
_ATTEMPTS: Final = 200
_LONGEST_WAIT_SECONDS: Final = 0.05


class ModelRepository:
    """Collections `models` and `model_history`.

    Every method raises DatabaseUnavailable if the database fails.
    """

    def __init__(self, access: Access, unreadable: UnreadableDocuments) -> None:
        self._access = access
        self._models = access.database[MODELS]
        self._inspection = Inspection(access, self._models, WRONG_MODELS, read_model, unreadable)
        self._audit = AuditTrail(access, unreadable)
        self._find: Batching[ObjectId, Model] = Batching(self._find_together)
        self._touch: Batching[tuple[ObjectId, datetime], None] = Batching(self._touch_together)

    async def insert(self, model: Model, change: AuditNote) -> None:
        """Insert a model at its first version.

        Raises:
            DuplicateName: another model has its name.
        """
        entry = new_entry(model.id, model.version, change, before=None, after=content_of(model))
        document = to_document(model) | {"pending": [to_document(entry)]}

        async def is_made() -> bool:
            return await self._models.find_one({"_id": model.id}, {"_id": True}) is not None

        async with self._access():
            try:
                await self._models.insert_one(document)
            except DuplicateKeyError as error:
                raise DuplicateName(model.name) from error
            except WriteConcernError as error:
                if not await confirmed(error, is_made):
                    raise
        await self._settle_if_possible(document)

    async def get(self, model_id: ObjectId) -> Model:
        """Return the model.

        Raises:
            ModelNotFound: unknown or deleted.
        """
        return await self._find(model_id)

    async def each(
        self, *, offset: int = 0, limit: int | None = None, sort: Sequence[SortKey[ModelField]] = ()
    ) -> AsyncIterator[Model]:
        """Yield the models of a page, one at a time, in the order of `sort`, ties by id; unreadable ones are left out.

        Args:
            offset: how many models precede the page.
            limit: the most models to yield; None for no limit.
            sort: the order.
        """
        if limit == 0:  # which MongoDB would take for no limit
            return
        wanted = await self._inspection.readable(_ALIVE)
        async with (
            self._access(),
            self._models.find(
                wanted, sort=sort_specification(sort), skip=offset, limit=limit or 0, batch_size=_READ_AHEAD_MODELS
            ) as found,
        ):
            async for document in found:
                if (model := self._read(document)) is not None:
                    yield model

    async def count(self) -> int:
        """Return how many models a listing without a limit yields."""
        wanted = await self._inspection.readable(_ALIVE)
        async with self._access():
            return await self._models.count_documents(wanted)

    async def with_portfolio(self, portfolio_id: str) -> list[Model]:
        """Return the readable models that a portfolio follows, by id.

        Raises:
            DocumentUnreadable: none of the models that it follows is readable.
        """
        async with self._access():
            found = self._models.find(
                {"portfolios": portfolio_id, **_ALIVE}, sort=[("_id", 1)], hint=[("portfolios", 1)]
            )
            documents = [document async for document in found]
        models = [model for document in documents if (model := self._read(document)) is not None]
        if documents and not models:
            raise DocumentUnreadable(_KIND, str(documents[0]["_id"]))
        return models

    async def replace(self, model: Model, change: AuditNote) -> Model:
        """Replace the content of the model if `model.version` is still its version.

        A `last_rebalance_date` of None leaves the stored one; so does one before it, unless the stored one lies in the
        future, which cannot be true.

        Returns:
            The model as stored, at the next version.

        Raises:
            ModelNotFound: unknown or deleted.
            VersionConflict: another request changed it first.
            DuplicateName: another model has the new name.
        """

        def replaced(current: Model) -> Model:
            if current.version != model.version:
                raise VersionConflict(current.version)
            stored, given = current.last_rebalance_date, model.last_rebalance_date
            if given is None or (stored is not None and given < stored and is_possible(stored)):
                return msgspec.structs.replace(model, last_rebalance_date=stored)
            return model

        return await self._write(model.id, replaced, change, always=True)

    async def change(self, model_id: ObjectId, alter: Callable[[Model], Model], change: AuditNote) -> Model:
        """Change the model as it is now, whatever its version; repeat until no other change came in between.

        Args:
            model_id: which.
            alter: makes the new content from the current model; may be called several times, and may raise. What it
                leaves as it was is not a change: no version, no audit entry.
            change: who, what and when.

        Returns:
            The model as stored.

        Raises:
            ModelNotFound: unknown or deleted.
            VersionConflict: other changes came in between every time.
            DuplicateName: another model has the new name.
        """
        return await self._write(model_id, alter, change, always=False)

    async def delete(self, model_id: ObjectId, version: int, change: AuditNote) -> None:
        """Delete the model if `version` is still its version; its history stays. Any version deletes an unreadable one.

        Raises:
            ModelNotFound: unknown or deleted.
            VersionConflict: another request changed it first.
        """
        for attempt in count():
            try:
                current = await self.get(model_id)
            except DocumentUnreadable:
                await self._delete_unreadable(model_id, change)
                return
            if current.version != version:
                raise VersionConflict(current.version)
            entry = new_entry(model_id, version + 1, change, before=content_of(current), after=None)
            if await self._compare_and_set(current, _tombstone(model_id), entry):
                return
            await _wait_or_give_up(attempt, current)
        raise AssertionError

    async def touch_last_rebalance_date(self, model_id: ObjectId, date: datetime) -> None:
        """Move `last_rebalance_date` up to `date`, never back; the version stays. A deleted model is ignored."""
        await self._touch((model_id, date))

    async def history(self, model_id: ObjectId, *, offset: int = 0, limit: int) -> list[ModelHistoryEntry]:
        """Return the model's audit entries, newest first; also works for deleted models.

        Raises:
            ModelNotFound: no model ever had this id.
        """
        return await self._audit.entries(model_id, offset=offset, limit=limit)

    async def history_count(self, model_id: ObjectId) -> int:
        """Return how many audit entries the model has."""
        return await self._audit.count(model_id)

    async def sweep(self, pending_for: timedelta) -> None:
        """Complete what crashed processes left: copy entries older than `pending_for`, and remove deleted models."""
        await self._audit.sweep(pending_for)

    def _read(self, document: Document) -> Model | None:
        """Return the model, or report the document and return None if it is unreadable."""
        try:
            return read_model(document)
        except ValueError as error:
            self._inspection.notice(document["_id"], error)
            return None

    async def _find_together(self, model_ids: list[ObjectId]) -> list[Model | Exception]:
        async with self._access():
            found = self._models.find({"_id": {"$in": list(set(model_ids))}, **_ALIVE})
            documents = {document["_id"]: document async for document in found}
        return [
            (self._read(documents[each]) or DocumentUnreadable(_KIND, str(each)))
            if each in documents
            else ModelNotFound(each)
            for each in model_ids
        ]

    async def _touch_together(self, touches: list[tuple[ObjectId, datetime]]) -> list[None]:
        latest: dict[ObjectId, datetime] = {}
        for model_id, date in touches:
            latest[model_id] = max(date, latest.get(model_id, date))
        updates = [UpdateOne({"_id": model_id, **_ALIVE}, _moved_up_to(date)) for model_id, date in latest.items()]
        async with self._access():
            await self._models.bulk_write(updates, ordered=False)
        return [None] * len(touches)

    async def _delete_unreadable(self, model_id: ObjectId, change: AuditNote) -> None:
        """Replace whatever is stored by a hidden document with the audit entry of the deletion, and settle that."""
        entry = new_entry(model_id, await self._audit.latest_version(model_id) + 1, change, before=None, after=None)
        hidden = _tombstone(model_id) | {"pending": [to_document(entry)]}
        async with self._access():
            replaced = await self._models.replace_one({"_id": model_id, **_ALIVE}, hidden)
        if replaced.matched_count == 0:
            raise ModelNotFound(model_id)
        await self._settle_if_possible({"_id": model_id, **hidden})

    async def _write(
        self, model_id: ObjectId, alter: Callable[[Model], Model], change: AuditNote, *, always: bool
    ) -> Model:
        for attempt in count():
            current = await self.get(model_id)
            content = content_of(alter(current))
            if content == content_of(current) and not always:
                return current
            entry = new_entry(model_id, current.version + 1, change, before=content_of(current), after=content)
            document = await self._compare_and_set(current, to_document(content), entry)
            if document is not None:
                return read_model(document)
            await _wait_or_give_up(attempt, current)
        raise AssertionError

    async def _compare_and_set(self, current: Model, fields: Document, entry: ModelHistoryEntry) -> Document | None:
        """Set `fields` and the audit entry if the model is still `current`; otherwise return None."""
        unchanged = {
            "_id": current.id,
            "version": current.version,
            # Moves without a new version, and the audit entry has said what it was.
            "lastRebalanceDate": current.last_rebalance_date,
            **_ALIVE,
        }
        update = {"$set": fields, "$inc": {"version": 1}, "$push": {"pending": to_document(entry)}}

        async def is_made() -> bool:
            return await self._models.find_one(
                {"_id": current.id, "pending._id": entry.id}, {"_id": True}
            ) is not None or await self._audit.has(entry)

        async with self._access():
            try:
                document = await self._models.find_one_and_update(
                    unchanged, update, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError as error:
                raise DuplicateName(fields["name"]) from error
            except (AttributeError, WriteConcernError) as error:
                # PyMongo raises AttributeError if a server that shuts down, or is no longer the primary, has made the
                # change and does not know whether a majority has it.
                if not await confirmed(error, is_made):
                    raise DatabaseUnavailable("the change is not confirmed") from error
                document = {
                    "_id": current.id,
                    **fields,
                    "version": current.version + 1,
                    "pending": [to_document(entry)],
                }
        if document is not None:
            await self._settle_if_possible(document)
        return document

    async def _settle_if_possible(self, document: Document) -> None:
        """Settle the audit entries of a change. The change is made: if the database fails now, the sweep settles."""
        with suppress(DatabaseUnavailable):
            async with self._access():
                await self._audit.settle(document)


def _tombstone(model_id: ObjectId) -> Document:
    """Return the fields of a deleted model until its entries are settled.

    The id replaces the name: unique, as the index requires, and not a string that a new model could have as its name.
    """
    return {"name": model_id, "positions": [], "portfolios": [], "deletedAt": datetime.now(UTC)}


def _moved_up_to(date: datetime) -> list[Document]:
    """Return the update that moves `lastRebalanceDate` up to a date, never back.

    A date in the future of the server's clock was set by a clock that was ahead: a stored one gives way, and a new one
    is limited.
    """
    latest_possible = {"$add": ["$$NOW", CLOCK_TOLERANCE // timedelta(milliseconds=1)]}
    stored = {"$cond": [{"$lte": ["$lastRebalanceDate", latest_possible]}, "$lastRebalanceDate", None]}
    return [{"$set": {"lastRebalanceDate": {"$max": [stored, {"$min": [date, latest_possible]}]}}}]


async def _wait_or_give_up(attempt: int, current: Model) -> None:
    """Wait a random time, so that conflicting writers do not conflict again."""
    if attempt == _ATTEMPTS:
        raise VersionConflict(current.version)
    longest = min(_LONGEST_WAIT_SECONDS, 0.001 * 2**attempt)
    await asyncio.sleep(random.uniform(0, longest))  # noqa: S311
