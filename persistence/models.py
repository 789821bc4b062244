"""Investment models: every change is one atomic compare-and-set that carries its own audit entry.

A change writes the model's document once: new content, next version, and the audit entry in the array `pending`. Only
then is the entry copied to `model_history` and taken out of `pending` ("settled"). Whoever dies in between leaves an
entry that the next writer, the next reader of the history, or the sweep copies; copying twice is harmless, as the
history is unique on model and version. A deletion turns the model into a hidden document without content, which goes
when its entries are settled. So there is exactly one entry for each version, without transactions.
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
from pymongo import DESCENDING, ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from persistence.access import Access, duplicates
from persistence.batching import Batching
from persistence.codec import Document, from_document, to_document
from persistence.documents import Change, Model, ModelContent, ModelHistoryEntry
from persistence.errors import DatabaseUnavailable, DuplicateName, ModelNotFound, VersionConflict
from persistence.indexes import MODEL_HISTORY, MODELS
from persistence.sorting import ModelField, SortKey, sort_specification

_ALIVE: Final[Mapping[str, Any]] = {"deletedAt": {"$exists": False}}
_READ_AHEAD_MODELS: Final = 100
_ATTEMPTS: Final = 200
_LONGEST_WAIT_SECONDS: Final = 0.05


class ModelRepository:
    """Collections `models` and `model_history`.

    Every method raises DatabaseUnavailable where the database cannot be reached or does not answer in time.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._models = access.database[MODELS]
        self._history = access.database[MODEL_HISTORY]
        self._find: Batching[ObjectId, Model] = Batching(self._find_together)
        self._touch: Batching[tuple[ObjectId, datetime], None] = Batching(self._touch_together)

    async def insert(self, model: Model, change: Change) -> None:
        """Adds a model at its first version.

        Raises:
            DuplicateName: another model has its name.
        """
        entry = _entry(model.id, model.version, change, before=None, after=_content(model))
        document = to_document(model) | {"pending": [to_document(entry)]}
        async with self._access():
            try:
                await self._models.insert_one(document)
            except DuplicateKeyError as error:
                raise DuplicateName(model.name) from error
        await self._settle_if_possible(document)

    async def get(self, model_id: ObjectId) -> Model:
        """The model.

        Raises:
            ModelNotFound: there is none, or it was deleted.
        """
        return await self._find(model_id)

    async def page(
        self, *, offset: int = 0, limit: int | None = None, sort: Sequence[SortKey[ModelField]] = ()
    ) -> list[Model]:
        """Models in the order of `sort`, ties by id; all of them without `limit`."""
        return [model async for model in self.each(offset=offset, limit=limit, sort=sort)]

    async def each(
        self, *, offset: int = 0, limit: int | None = None, sort: Sequence[SortKey[ModelField]] = ()
    ) -> AsyncIterator[Model]:
        """The models of a page one at a time, however many they are."""
        if limit == 0:  # which MongoDB would take for no limit
            return
        async with (
            self._access(),
            self._models.find(
                _ALIVE, sort=sort_specification(sort), skip=offset, limit=limit or 0, batch_size=_READ_AHEAD_MODELS
            ) as found,
        ):
            async for document in found:
                yield from_document(document, Model)

    async def with_portfolio(self, portfolio_id: str) -> list[Model]:
        """The models that a portfolio follows, by id."""
        async with self._access():
            found = self._models.find({"portfolios": portfolio_id, **_ALIVE}, sort=[("_id", 1)])
            return [from_document(document, Model) async for document in found]

    async def replace(self, model: Model, change: Change) -> Model:
        """Gives the model a new content if `model.version` is still its version.

        A `last_rebalance_date` of None, or before the stored one, leaves the stored one.

        Returns:
            The model as stored, at the next version.

        Raises:
            ModelNotFound: there is none, or it was deleted.
            VersionConflict: somebody changed it first.
            DuplicateName: another model has the new name.
        """

        def replaced(current: Model) -> Model:
            if current.version != model.version:
                raise VersionConflict(current.version)
            dates = [date for date in (current.last_rebalance_date, model.last_rebalance_date) if date]
            return msgspec.structs.replace(model, last_rebalance_date=max(dates, default=None))

        return await self._write(model.id, replaced, change, always=True)

    async def change(self, model_id: ObjectId, alter: Callable[[Model], Model], change: Change) -> Model:
        """Changes the model as it is now, whatever its version, again and again until nobody came in between.

        Args:
            model_id: which.
            alter: makes the new content from the current model; may be called several times, and may raise. What it
                leaves as it was is not a change: no version, no audit entry.
            change: who, what and when.

        Returns:
            The model as stored.

        Raises:
            ModelNotFound: there is none, or it was deleted.
            VersionConflict: others came in between every time.
            DuplicateName: another model has the new name.
        """
        return await self._write(model_id, alter, change, always=False)

    async def delete(self, model_id: ObjectId, version: int, change: Change) -> None:
        """Deletes the model if `version` is still its version; its history stays.

        Raises:
            ModelNotFound: there is none, or it was deleted.
            VersionConflict: somebody changed it first.
        """
        for attempt in count():
            current = await self.get(model_id)
            if current.version != version:
                raise VersionConflict(current.version)
            entry = _entry(model_id, version + 1, change, before=_content(current), after=None)
            # The id in place of the name: unique as an index wants it, and no string that a new model could be named.
            tombstone = {"name": model_id, "positions": [], "portfolios": [], "deletedAt": datetime.now(UTC)}
            if await self._compare_and_set(current, tombstone, entry):
                return
            await _wait_or_give_up(attempt, current)
        raise AssertionError

    async def touch_last_rebalance_date(self, model_id: ObjectId, date: datetime) -> None:
        """Moves `last_rebalance_date` up to `date`, never back; not a change of version. A deleted model is left."""
        await self._touch((model_id, date))

    async def history(self, model_id: ObjectId, *, offset: int = 0, limit: int) -> list[ModelHistoryEntry]:
        """The model's audit entries, newest first; also those of a deleted model.

        Raises:
            ModelNotFound: there never was such a model.
        """
        async with self._access():
            document = await self._models.find_one({"_id": model_id}, {"pending": True, "deletedAt": True})
            if document is not None:
                await self._settle(document)
            if document is None and await self._history.find_one({"modelId": model_id}, {"_id": True}) is None:
                raise ModelNotFound(model_id)
            found = self._history.find({"modelId": model_id}, sort=[("version", DESCENDING)], skip=offset, limit=limit)
            return [from_document(entry, ModelHistoryEntry) async for entry in found]

    async def sweep(self, pending_for: timedelta) -> None:
        """Completes what crashed processes left: copies entries older than `pending_for`, removes deleted models."""
        async with self._access():
            async for document in self._models.find({"pending.at": {"$lte": datetime.now(UTC) - pending_for}}):
                await self._settle(document)

    async def _find_together(self, model_ids: list[ObjectId]) -> list[Model | Exception]:
        async with self._access():
            found = self._models.find({"_id": {"$in": list(set(model_ids))}, **_ALIVE})
            models = {document["_id"]: from_document(document, Model) async for document in found}
        return [models.get(each) or ModelNotFound(each) for each in model_ids]

    async def _touch_together(self, touches: list[tuple[ObjectId, datetime]]) -> list[None]:
        latest: dict[ObjectId, datetime] = {}
        for model_id, date in touches:
            latest[model_id] = max(date, latest.get(model_id, date))
        updates = [
            UpdateOne({"_id": model_id, **_ALIVE}, {"$max": {"lastRebalanceDate": date}})
            for model_id, date in latest.items()
        ]
        async with self._access():
            await self._models.bulk_write(updates, ordered=False)
        return [None] * len(touches)

    async def _write(
        self, model_id: ObjectId, alter: Callable[[Model], Model], change: Change, *, always: bool
    ) -> Model:
        for attempt in count():
            current = await self.get(model_id)
            content = _content(alter(current))
            if content == _content(current) and not always:
                return current
            entry = _entry(model_id, current.version + 1, change, before=_content(current), after=content)
            document = await self._compare_and_set(current, to_document(content), entry)
            if document is not None:
                return from_document(document, Model)
            await _wait_or_give_up(attempt, current)
        raise AssertionError

    async def _compare_and_set(self, current: Model, fields: Document, entry: ModelHistoryEntry) -> Document | None:
        """Sets `fields` and the audit entry if the model is still `current`; else None."""
        unchanged = {
            "_id": current.id,
            "version": current.version,
            # Moves without a new version, and the audit entry has said what it was.
            "lastRebalanceDate": current.last_rebalance_date,
            **_ALIVE,
        }
        update = {"$set": fields, "$inc": {"version": 1}, "$push": {"pending": to_document(entry)}}
        async with self._access():
            try:
                document = await self._models.find_one_and_update(
                    unchanged, update, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError as error:
                raise DuplicateName(fields["name"]) from error
            except AttributeError as error:
                # PyMongo stumbles over what a server answers that shuts down, or is no longer the primary, when it has
                # made the change and does not know whether it will last.
                raise DatabaseUnavailable("The database is not available.") from error
        if document is not None:
            await self._settle_if_possible(document)
        return document

    async def _settle_if_possible(self, document: Document) -> None:
        """What was changed is changed: losing the database now only leaves the settling to somebody else."""
        with suppress(DatabaseUnavailable):
            async with self._access():
                await self._settle(document)

    async def _settle(self, document: Document) -> None:
        """Copies the pending audit entries of a model to the history, then takes them out; a deleted model goes."""
        pending = document.get("pending", [])
        if pending:
            try:
                await self._history.insert_many(pending, ordered=False)
            except BulkWriteError as error:
                duplicates(error)  # copied before
        if "deletedAt" in document:
            await self._models.delete_one({"_id": document["_id"], "deletedAt": document["deletedAt"]})
        elif pending:
            newest = max(entry["version"] for entry in pending)
            await self._models.update_one(
                {"_id": document["_id"]}, {"$pull": {"pending": {"version": {"$lte": newest}}}}
            )


def _entry(
    model_id: ObjectId, version: int, change: Change, *, before: ModelContent | None, after: ModelContent | None
) -> ModelHistoryEntry:
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


def _content(model: Model) -> ModelContent:
    return ModelContent(model.name, model.positions, model.portfolios, model.last_rebalance_date)


async def _wait_or_give_up(attempt: int, current: Model) -> None:
    """Spreads writers who met, so that they do not meet again."""
    if attempt == _ATTEMPTS:
        raise VersionConflict(current.version)
    longest = min(_LONGEST_WAIT_SECONDS, 0.001 * 2**attempt)
    await asyncio.sleep(random.uniform(0, longest))  # noqa: S311
