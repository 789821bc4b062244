"""The Portfolio Accounting Service: what a portfolio holds.

`GET /api/v1/balances?portfolio_id=&limit=1000&offset=` answers `{"balances": [...], "pagination": {...}}`. A row's
quantities are decimals as JSON strings or numbers; the net quantity is long minus short. The cash row is the one
without a `securityId` (or with null or ""), and comes last. A limit above 1000 silently becomes 50, rows of 0 remain
after a sale, and an unknown portfolio is an empty list. Rows and their total come from two queries of the service, so
a page read while the books change may contradict itself; such an answer is refused rather than traded on.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal

from msgspec import Struct

from integrations.http.client import ServiceClient
from integrations.http.errors import Cause, ServiceError
from integrations.validation import ENTITY_ID, are_entity_ids, are_quantities, check_quantity

_ENTITY_ID = re.compile(ENTITY_ID)

PAGE_ROWS = 1000
MAX_PAGES = 100
"""Enough for 100,000 balances, or 5,000 should the service fall back to pages of 50."""


class Holding(Struct, frozen=True):
    """Shares held of one security: long minus short, never 0; negative when short."""

    security_id: str
    quantity: Decimal


class Holdings(Struct, frozen=True):
    """Everything a portfolio holds at one moment.

    Attributes:
        cash: money not invested; negative when overdrawn, 0 for an unfunded or unknown portfolio.
        positions: in the service's order.
        read_at: when the answer was complete, UTC.
    """

    portfolio_id: str
    cash: Decimal
    positions: tuple[Holding, ...]
    read_at: datetime


class _Balance(Struct, frozen=True, rename="camel"):
    portfolio_id: str
    quantity_long: Decimal
    quantity_short: Decimal
    security_id: str | None = None

    def check(self) -> None:
        """Raises ValueError unless the books can hold it."""
        check_quantity("quantityLong", self.quantity_long)
        check_quantity("quantityShort", self.quantity_short)
        if self.security_id and not _ENTITY_ID.match(self.security_id):
            raise ValueError("securityId is not 24 letters or digits")

    @property
    def net(self) -> Decimal:
        return self.quantity_long - self.quantity_short


class _Pagination(Struct, frozen=True, rename="camel"):
    total: int
    has_more: bool
    offset: int | None = None


class _BalancePage(Struct, frozen=True):
    balances: list[_Balance]
    pagination: _Pagination

    def __post_init__(self) -> None:
        rows = self.balances
        ids = [row.security_id for row in rows if row.security_id]
        quantities = [row.quantity_long for row in rows] + [row.quantity_short for row in rows]
        # All of them at once, as pages are read by the thousand; row by row only to say which one is wrong.
        if are_quantities(quantities) and are_entity_ids(ids):
            return
        for number, row in enumerate(rows):
            try:
                row.check()
            except ValueError as error:
                raise ValueError(f"{error} - at `$.balances[{number}]`") from None

    def is_of(self, portfolio_id: str, offset: int) -> bool | None:
        """Return whether this is the page at an offset of a portfolio; None if it does not say."""
        if self.pagination.offset not in (None, offset) or any(r.portfolio_id != portfolio_id for r in self.balances):
            return False
        return True if self.balances else None


class PortfolioAccounting:
    """Reads holdings."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def holdings(self, portfolio_id: str, *, deadline: float | None) -> Holdings:
        """Cash and positions of a portfolio, from as few pages as there are.

        Raises:
            ServiceError: no usable answer; `BAD_PAYLOAD` also for a row of another portfolio, for two rows of one
                security or of cash, and for rows that are announced but missing.
        """
        rows: list[_Balance] = []
        for _ in range(MAX_PAGES):
            page = await self._page(portfolio_id, offset=len(rows), deadline=deadline)
            rows += page.balances
            if not page.pagination.has_more:
                break
            if not page.balances:
                raise self._refusal("an empty page that announces more")
        else:
            raise self._refusal(f"more than {MAX_PAGES} pages of balances")
        if len(rows) != page.pagination.total:
            raise self._refusal(f"{len(rows)} balances where {page.pagination.total} are announced")
        return self._holdings(portfolio_id, rows)

    async def _page(self, portfolio_id: str, *, offset: int, deadline: float | None) -> _BalancePage:
        def identify(page: _BalancePage) -> bool | None:
            return page.is_of(portfolio_id, offset)

        page = await self._client.get(
            "/api/v1/balances",
            {"portfolio_id": portfolio_id, "limit": str(PAGE_ROWS), "offset": str(offset)},
            expect=_BalancePage,
            deadline=deadline,
            # Only an offset tells the pages of a portfolio apart, and a service may omit it.
            identify=identify if offset == 0 else None,
        )
        if identify(page) is False:
            raise self._refusal("a page of another portfolio or offset")
        return page

    def _holdings(self, portfolio_id: str, rows: list[_Balance]) -> Holdings:
        read_at = datetime.now(UTC)
        net: dict[str | None, Decimal] = {}
        for row in rows:
            security_id = row.security_id or None
            if security_id in net:
                raise self._refusal(f"two balances of {security_id or 'cash'}")
            net[security_id] = row.net
        cash = net.pop(None, Decimal(0))
        positions = tuple(Holding(key, held) for key, held in net.items() if key is not None and held)
        return Holdings(portfolio_id, cash, positions, read_at)

    def _refusal(self, reason: str) -> ServiceError:
        return ServiceError(self._client.name, Cause.BAD_PAYLOAD, f"answer contradicts itself: {reason}")
