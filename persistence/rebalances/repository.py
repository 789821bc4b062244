"""Rebalances: a header each and a document for every portfolio, of which readers see all or nothing.

Both are in one collection: the `_id` of a header is an ObjectId, that of a portfolio {rebalanceId, place}. A rebalance
exists when its header does, and the header is inserted last: as the last document of an ordered insert, which for most
rebalances is the only one. A deletion hides the header first and removes it last.

So a crash leaves portfolios without a header, or a hidden header. The sweep removes either when it is older than any
request lasts. Before it removes portfolios it inserts a mark with the `_id` that their header would have: of the mark
and the header of a slow writer only one can be inserted, so no rebalance is both removed and stored.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio
from bson import ObjectId
from msgspec.structs import fields
from pymongo.errors import WriteConcernError

from persistence.access import Access, confirmed
from persistence.codec import Document
from persistence.documents import Rebalance, RebalancedPortfolio
from persistence.errors import (
    DatabaseUnavailable,
    DocumentUnreadable,
    OrdersSent,
    RebalanceNotFound,
    VersionConflict,
)
from persistence.formats import WRONG_HEADERS, read_header
from persistence.indexes import HEADERS_BY, HEADERS_BY_PORTFOLIO, ORDER_PLANS, REBALANCES, WHOLE_HEADERS, Keys
from persistence.rebalances.order_requests import no_order_calls, stored_portfolio_ids
from persistence.rebalances.packed import PackedPortfolio
from persistence.rebalances.portfolios import KIND, PortfolioCheck, StoredPortfolios
from persistence.rebalances.removal import RebalanceRemoval
from persistence.rebalances.writer import RebalanceInserts, RebalanceStorage
from persistence.sorting import RebalanceField, SortKey, sort_specification
from persistence.unreadable import Inspection, UnreadableDocuments

_VISIBLE: Final[Mapping[str, Any]] = {"visible": True}
_NOT_REMOVED: Final[Mapping[str, Any]] = {"hiddenSince": {"$exists": False}, "abandonedAt": {"$exists": False}}
_HEADER: Final = {field.encode_name: True for field in fields(Rebalance)}
"""All of a header but the ids of its portfolios."""
_COVERED: Final = {name: True for name in _HEADER if name not in ("rules", "calculatedAt")}
"""The part of a header that the index `WHOLE_HEADERS` holds."""
_NEWEST_FIRST: Final = (SortKey(RebalanceField.REBALANCE_DATE, descending=True),)
_CLEANING_SECONDS: Final = 5
_PAGE_ATTEMPTS: Final = 10


class RebalanceRepository:
    """Collection `rebalances`.

    Every method raises DatabaseUnavailable if the database fails.
    """

    def __init__(
        self, access: Access, unreadable: UnreadableDocuments, check_portfolio: PortfolioCheck | None = None
    ) -> None:
        self._access = access
        self._rebalances = access.database[REBALANCES]
        self._portfolios = StoredPortfolios(access, unreadable, check_portfolio)
        self._plans = access.database[ORDER_PLANS]
        self._unreadable = unreadable
        self._inspection = Inspection(
            access, self._rebalances, WRONG_HEADERS, read_header, unreadable, index=WHOLE_HEADERS
        )
        self._inserts = RebalanceInserts(access)
        self._removal = RebalanceRemoval(access)

    @asynccontextmanager
    async def storing(self, rebalance_id: ObjectId) -> AsyncIterator[RebalanceStorage]:
        """Store a rebalance: `add` every portfolio, then `finish`; a block left before that stores nothing.

        `finish` raises StorageLost if the rebalance was abandoned meanwhile, or its id is in use.
        """
        storage = RebalanceStorage(self._inserts, rebalance_id)
        try:
            yield storage
        except DatabaseUnavailable:
            # The caller learns of it without waiting for another timeout; the sweep removes what was stored.
            await storage.settle()
            raise
        except BaseException:
            await self._give_up(storage, rebalance_id)
            raise
        if not storage.finished:
            await self._give_up(storage, rebalance_id)

    async def _give_up(self, storage: RebalanceStorage, rebalance_id: ObjectId) -> None:
        if not storage.begun:
            return
        with anyio.move_on_after(_CLEANING_SECONDS, shield=True), suppress(DatabaseUnavailable):
            await storage.settle()
            await self.abandon(rebalance_id)

    async def get(self, rebalance_id: ObjectId) -> Rebalance:
        """Return the header.

        Raises:
            RebalanceNotFound: unknown or deleted.
            DocumentUnreadable: the stored document is not in this service's format.
        """
        return self._header(rebalance_id, await self._stored(rebalance_id, _HEADER))

    async def page(
        self, *, offset: int = 0, limit: int, sort: Sequence[SortKey[RebalanceField]] = _NEWEST_FIRST
    ) -> list[Rebalance]:
        """Return headers in the order of `sort`, ties by id; unreadable ones are left out."""
        order = sort_specification(sort)
        one_direction = len({direction for _, direction in order}) == 1
        own = HEADERS_BY.get(order[0][0]) if one_direction and len(order) <= 2 else None
        return await self._headers({}, offset, limit, order, own or WHOLE_HEADERS)

    async def with_portfolios(self, portfolio_ids: Sequence[str], *, offset: int = 0, limit: int) -> list[Rebalance]:
        """Return the headers of rebalances that included any of these portfolios, newest first."""
        chosen = {"portfolioIds": {"$in": list(portfolio_ids)}}
        return await self._headers(chosen, offset, limit, sort_specification(_NEWEST_FIRST), HEADERS_BY_PORTFOLIO)

    async def count(self) -> int:
        """Return how many rebalances `page` can list."""
        wanted = await self._inspection.readable(_VISIBLE)
        async with self._access():
            return await self._rebalances.count_documents(wanted, hint=HEADERS_BY["_id"])

    async def count_with_portfolios(self, portfolio_ids: Sequence[str]) -> int:
        """Return how many rebalances `with_portfolios` can list."""
        wanted = await self._inspection.readable({**_VISIBLE, "portfolioIds": {"$in": list(portfolio_ids)}})
        async with self._access():
            return await self._rebalances.count_documents(wanted, hint=HEADERS_BY_PORTFOLIO)

    async def of_model_at(self, model_id: ObjectId, rebalance_date: datetime) -> Rebalance | None:
        """Return the header of a model's rebalance of that moment; None if unknown or deleted."""
        chosen = {"rebalanceDate": rebalance_date, "modelId": model_id}
        found = await self._headers(chosen, 0, 1, sort_specification(_NEWEST_FIRST), WHOLE_HEADERS)
        return found[0] if found else None

    def portfolios(
        self, header: Rebalance, *, positions: bool = True, skip_unreadable: bool = False
    ) -> AsyncIterator[RebalancedPortfolio]:
        """Yield the portfolios of a rebalance by place, one at a time.

        Args:
            header: of the rebalance.
            positions: whether to read their positions.
            skip_unreadable: whether to leave out portfolios that are not in this service's format.

        Raises:
            RebalanceNotFound: it is being deleted; the portfolios yielded so far are correct.
            DocumentUnreadable: a portfolio is not in this service's format.
        """
        return self._portfolios.of(header, positions=positions, skip_unreadable=skip_unreadable)

    def packed_portfolios(
        self, header: Rebalance, *, skip_unreadable: bool = False
    ) -> AsyncIterator[RebalancedPortfolio | PackedPortfolio]:
        """Yield the portfolios of a rebalance as `portfolios` does, but without decoding those that can be packed."""
        return self._portfolios.packed_of(header, skip_unreadable=skip_unreadable)

    async def portfolio(self, rebalance_id: ObjectId, portfolio_id: str) -> RebalancedPortfolio | None:
        """Return one portfolio of a rebalance; None if it was not part of it.

        Raises:
            RebalanceNotFound: there is no such rebalance.
            DocumentUnreadable: the header or the portfolio is not in this service's format.
        """
        header = await self._stored(rebalance_id, {**_HEADER, "portfolioIds": True})
        self._header(rebalance_id, header)
        portfolio_ids = stored_portfolio_ids(rebalance_id, header, self._unreadable)
        if portfolio_id not in portfolio_ids:
            return None
        place = portfolio_ids.index(portfolio_id)
        return await self._portfolios.at(rebalance_id, place, f"{portfolio_id} of rebalance {rebalance_id}")

    async def delete(self, rebalance_id: ObjectId, version: int) -> None:
        """Remove the rebalance and its portfolios if `version` is still its version; any version if it is unreadable.

        Raises:
            RebalanceNotFound: unknown or deleted.
            VersionConflict: it has another version.
            OrdersSent: orders of it were planned or sent.
        """
        async with self._access():
            planned = await self._plans.find_one({"rebalanceId": rebalance_id}, {"_id": True})
        if planned is not None:
            raise OrdersSent(rebalance_id)
        # A call that died before it planned anything prevents the deletion only for a while.
        no_orders = no_order_calls()
        if not await self._hide({"_id": rebalance_id, "version": version, **no_orders, **_VISIBLE}):
            try:
                header = await self.get(rebalance_id)
                if header.version == version:
                    raise OrdersSent(rebalance_id)
                async for _ in self.portfolios(header):
                    pass
            except DocumentUnreadable:
                if not await self._hide({"_id": rebalance_id, **no_orders, **_NOT_REMOVED}):
                    raise RebalanceNotFound(rebalance_id) from None
            else:
                raise VersionConflict(header.version)
        # It is deleted for every reader; if the database fails now, the sweep removes the rest.
        with suppress(DatabaseUnavailable):
            await self._removal.remove_hidden(rebalance_id)

    async def _hide(self, header: Mapping[str, Any]) -> bool:
        """Mark the header that a filter matches as being deleted; return whether there is one."""

        async def is_made() -> bool:
            return await self._rebalances.find_one({"_id": header["_id"], **_NOT_REMOVED}, {"_id": True}) is None

        update = {"$set": {"hiddenSince": datetime.now(UTC)}, "$unset": dict.fromkeys(_VISIBLE, "")}
        async with self._access():
            try:
                return (await self._rebalances.update_one(header, update)).matched_count > 0
            except WriteConcernError as error:
                if await confirmed(error, is_made):
                    return True
                raise

    async def _stored(self, rebalance_id: ObjectId, fields_wanted: Mapping[str, Any]) -> Document:
        """Return the stored header, in whatever format.

        Raises:
            RebalanceNotFound: unknown, deleted or abandoned.
        """
        wanted = {**fields_wanted, **_VISIBLE}
        async with self._access():
            document = await self._rebalances.find_one({"_id": rebalance_id, **_NOT_REMOVED}, wanted)
        if document is None:
            raise RebalanceNotFound(rebalance_id)
        return document

    def _header(self, rebalance_id: ObjectId, document: Document) -> Rebalance:
        try:
            if document.get("visible") is not True:
                raise ValueError("not a rebalance of this service")
            return read_header(document)
        except ValueError as error:
            self._inspection.notice(rebalance_id, error)
            raise DocumentUnreadable(KIND, str(rebalance_id)) from error

    async def abandon(self, rebalance_id: ObjectId) -> None:
        """Permanently abandon a rebalance that is not stored; its writer, if still alive, can no longer store it.

        A rebalance that is stored, or being deleted, is not changed.
        """
        await self._removal.abandon(rebalance_id)

    async def sweep(self, lease: timedelta) -> None:
        """Remove what crashed processes left half stored or half deleted; nothing that is younger than `lease`."""
        await self._removal.sweep(lease)

    async def _headers(
        self, chosen: Mapping[str, Any], offset: int, limit: int, order: Sequence[tuple[str, int]], index: Keys
    ) -> list[Rebalance]:
        if limit == 0:  # which MongoDB would take for no limit
            return []
        headers: list[Rebalance] = []
        for _ in range(_PAGE_ATTEMPTS):
            documents = await self._header_documents(chosen, offset, limit, order, index)
            headers = [header for document in documents if (header := self._listed(document)) is not None]
            if len(headers) == len(documents):
                break
            # What turned out to be unreadable is left out of the next attempt, so that the page is complete.
        return headers

    def _listed(self, document: Document) -> Rebalance | None:
        try:
            return self._header(document["_id"], document)
        except DocumentUnreadable:
            return None

    async def _header_documents(
        self, chosen: Mapping[str, Any], offset: int, limit: int, order: Sequence[tuple[str, int]], index: Keys
    ) -> list[Document]:
        covered = index == WHOLE_HEADERS
        wanted = await self._inspection.readable({**chosen, **_VISIBLE})
        async with self._access():
            found = self._rebalances.find(
                wanted,
                {**(_COVERED if covered else _HEADER), **_VISIBLE},
                sort=order,
                skip=offset,
                limit=limit,
                # Without a hint the server would try several indexes, each as far as the page.
                hint=index,
            )
            documents = [document async for document in found]
            if covered:
                await self._add_rules(documents)
        return documents

    async def _add_rules(self, headers: Sequence[Document]) -> None:
        """Add the rules to the headers of a page, the only ones whose documents have to be read for it."""
        by_id = {header["_id"]: header for header in headers}
        with_rules = {"_id": {"$in": list(by_id)}, "rules": {"$exists": True}}
        async for document in self._rebalances.find(with_rules, {"rules": True}):
            by_id[document["_id"]]["rules"] = document["rules"]
