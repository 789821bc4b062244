"""What the header of a rebalance records about requests for its orders; the orders themselves are order plans."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import ObjectId

from persistence.access import Access
from persistence.codec import Document
from persistence.errors import DocumentUnreadable, RebalanceNotFound
from persistence.indexes import REBALANCES
from persistence.unreadable import UnreadableDocuments

_VISIBLE: Final[Mapping[str, Any]] = {"visible": True}
_CALLS: Final = "orderCalls"
_WITHOUT_ORDERS: Final = "portfoliosWithoutOrders"
_LONGEST_CALL: Final = timedelta(hours=1)


class OrderRequests:
    """Requests for the orders of rebalances, in collection `rebalances`.

    Every method raises DatabaseUnavailable if the database fails.
    """

    def __init__(self, access: Access, unreadable: UnreadableDocuments) -> None:
        self._access = access
        self._unreadable = unreadable
        self._rebalances = access.database[REBALANCES]

    async def portfolio_ids(self, rebalance_id: ObjectId) -> tuple[str, ...]:
        """Return the ids of the portfolios of a rebalance, by place.

        Raises:
            RebalanceNotFound: unknown or deleted.
            DocumentUnreadable: the header does not hold them.
        """
        header = await self._header(rebalance_id, "portfolioIds")
        if header is None:
            raise RebalanceNotFound(rebalance_id)
        return stored_portfolio_ids(rebalance_id, header, self._unreadable)

    async def without_orders(self, rebalance_id: ObjectId) -> tuple[str, ...]:
        """Return the portfolios that were requested and have no orders, by place; none of an unknown rebalance."""
        header = await self._header(rebalance_id, _WITHOUT_ORDERS, "portfolioIds")
        recorded = None if header is None else header.get(_WITHOUT_ORDERS)
        if header is None or not isinstance(recorded, list):
            return ()
        requested = {each for each in recorded if isinstance(each, str)}
        portfolio_ids = stored_portfolio_ids(rebalance_id, header, self._unreadable)
        return tuple(each for each in portfolio_ids if each in requested)

    async def record_without_orders(self, rebalance_id: ObjectId, portfolio_ids: Collection[str]) -> None:
        """Record that portfolios were requested that have no orders."""
        async with self._access():
            await self._rebalances.update_one(
                {"_id": rebalance_id, **_VISIBLE}, {"$addToSet": {_WITHOUT_ORDERS: {"$each": list(portfolio_ids)}}}
            )

    async def hold(self, rebalance_id: ObjectId, call: ObjectId) -> None:
        """Keep a rebalance from being deleted while a call plans orders of it.

        Raises:
            RebalanceNotFound: unknown or deleted.
        """
        async with self._access():
            held = await self._rebalances.update_one({"_id": rebalance_id, **_VISIBLE}, {"$addToSet": {_CALLS: call}})
        if held.matched_count == 0:
            raise RebalanceNotFound(rebalance_id)

    async def release(self, rebalance_id: ObjectId, call: ObjectId) -> None:
        """Allow the deletion again, as far as this call is concerned; orders that were planned still prevent it."""
        async with self._access():
            await self._rebalances.update_one({"_id": rebalance_id}, {"$pull": {_CALLS: call}})

    async def _header(self, rebalance_id: ObjectId, *names: str) -> Document | None:
        async with self._access():
            return await self._rebalances.find_one({"_id": rebalance_id, **_VISIBLE}, dict.fromkeys(names, True))


def no_order_calls() -> Document:
    """Return a filter of headers that no call holds; one that died before it planned anything holds it for a while."""
    return {_CALLS: {"$not": {"$gt": ObjectId.from_datetime(datetime.now(UTC) - _LONGEST_CALL)}}}


def stored_portfolio_ids(rebalance_id: ObjectId, header: Document, unreadable: UnreadableDocuments) -> tuple[str, ...]:
    """Return the ids of the portfolios of a rebalance, by place.

    Raises:
        DocumentUnreadable: the header does not hold them.
    """
    portfolio_ids = header.get("portfolioIds")
    if not isinstance(portfolio_ids, list) or not all(isinstance(each, str) for each in portfolio_ids):
        unreadable.report(REBALANCES, rebalance_id, "portfolioIds are not texts")
        raise DocumentUnreadable("rebalance", str(rebalance_id))
    return tuple(portfolio_ids)
