"""The portfolios of a rebalance, read from the database one at a time."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.collection import AsyncCollection

from persistence.access import Access
from persistence.codec import Document
from persistence.documents import Rebalance, RebalancedPortfolio
from persistence.errors import DatabaseUnavailable, DocumentUnreadable, RebalanceNotFound
from persistence.indexes import REBALANCES
from persistence.rebalances.packed import PackedPortfolio
from persistence.rebalances.packing import packed
from persistence.rebalances.reader import RAW_OPTIONS, decoded, portfolio_of
from persistence.rebalances.removal import every_place
from persistence.unreadable import UnreadableDocuments

KIND: Final = "rebalance"
_READ_AHEAD_PORTFOLIOS: Final = 32

type PortfolioCheck = Callable[[RebalancedPortfolio | PackedPortfolio], None]
"""Raises ValueError for a stored portfolio that has the right types but cannot be shown."""


class StoredPortfolios:
    """Reads portfolios, and reports the unreadable ones."""

    def __init__(self, access: Access, unreadable: UnreadableDocuments, check: PortfolioCheck | None) -> None:
        self._access = access
        self._portfolios: AsyncCollection[Any] = access.database[REBALANCES].with_options(RAW_OPTIONS)
        self._unreadable = unreadable
        self._check = check

    def of(self, header: Rebalance, *, positions: bool, skip_unreadable: bool) -> AsyncIterator[RebalancedPortfolio]:
        """Yield the portfolios by place; see `RebalanceRepository.portfolios`."""
        return self._each(header, None if positions else {"positions": False}, self._whole, skip_unreadable)

    def packed_of(
        self, header: Rebalance, *, skip_unreadable: bool
    ) -> AsyncIterator[RebalancedPortfolio | PackedPortfolio]:
        """Yield the portfolios by place; see `RebalanceRepository.packed_portfolios`."""
        return self._each(header, None, self._packed, skip_unreadable)

    async def at(self, rebalance_id: ObjectId, place: int, name: str) -> RebalancedPortfolio:
        """Return the portfolio at a place.

        Args:
            rebalance_id: of a rebalance that has this place.
            place: 0-based.
            name: of the portfolio in an error.

        Raises:
            RebalanceNotFound: the rebalance is being deleted.
            DocumentUnreadable: it is not in this service's format.
        """
        async with self._access():
            stored = await self._portfolios.find_one({"_id": {"rebalanceId": rebalance_id, "place": place}})
        if stored is None:
            raise RebalanceNotFound(rebalance_id)
        _, portfolio = self._whole(bytes(stored.raw))
        if portfolio is None:
            raise DocumentUnreadable("portfolio", name)
        return portfolio

    async def _each[T](
        self,
        header: Rebalance,
        wanted: Mapping[str, Any] | None,
        read: Callable[[bytes], tuple[int, T | None]],
        skip_unreadable: bool,
    ) -> AsyncIterator[T]:
        count = 0
        last = -1
        while True:
            after = last
            try:
                async with (
                    self._access(),
                    self._portfolios.find(
                        {"_id": every_place(header.id, after=after)},
                        wanted,
                        sort=[("_id", 1)],
                        batch_size=_READ_AHEAD_PORTFOLIOS,
                    ) as found,
                ):
                    async for stored in found:
                        last, portfolio = read(bytes(stored.raw))
                        count += 1
                        if portfolio is not None:
                            yield portfolio
                        elif not skip_unreadable:
                            raise DocumentUnreadable(KIND, str(header.id))
                break
            except DatabaseUnavailable:
                # PyMongo retries the beginning of a cursor, but not what follows, which is lost with the server that
                # had it. What is stored never changes, so another cursor can go on where this one ended.
                if last == after:
                    raise
        if count != header.number_of_portfolios:
            raise RebalanceNotFound(header.id)

    def _packed(self, raw: bytes) -> tuple[int, RebalancedPortfolio | PackedPortfolio | None]:
        portfolio = packed(raw)
        if portfolio is not None and self._is_readable(portfolio):
            return portfolio.place, portfolio
        return self._whole(raw)

    def _is_readable(self, portfolio: PackedPortfolio) -> bool:
        try:
            if self._check is not None:
                self._check(portfolio)
        except ValueError:  # which is reported as it is read as a whole
            return False
        return True

    def _whole(self, raw: bytes) -> tuple[int, RebalancedPortfolio | None]:
        """Return the place and the portfolio, or report the document and return None if it is unreadable."""
        document: Document = decoded(raw)
        key = document["_id"]
        try:
            portfolio = portfolio_of(document)
            if self._check is not None:
                self._check(portfolio)
        except ValueError as error:
            self._unreadable.report(REBALANCES, f"{key['rebalanceId']}/{key['place']}", error)
            return key["place"], None
        return key["place"], portfolio
