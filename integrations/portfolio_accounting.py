"""The Portfolio Accounting Service: the holdings of a portfolio.

`GET /api/v1/balances?portfolio_id=&limit=1000&offset=` returns `{"balances": [...], "pagination": {...}}`. A row's
quantities are decimals as JSON strings or numbers; the net quantity is long minus short. The cash row is the one
without a `securityId` (or with null or ""), and comes last. A limit above 1000 silently becomes 50, rows of 0 remain
after a sale, and an unknown portfolio is an empty list. Rows and their total come from two queries of the service, so
a page read while the books change may contradict itself; such a response is rejected.
"""

import re
from decimal import Decimal

from msgspec import Struct

from integrations.http.client import ServiceClient
from integrations.http.errors import BooksInvalid, Cause, ServiceError
from integrations.validation import ENTITY_ID, are_entity_ids, are_within_limits, broken_limit, difference, shown

_ENTITY_ID = re.compile(ENTITY_ID)

PAGE_ROWS = 1000
MAX_PAGES = 100
"""Enough for 100,000 balances, or 5,000 if the service falls back to pages of 50."""


class Holding(Struct, frozen=True):
    """A position in one security: long minus short shares, never 0; negative if short."""

    security_id: str
    quantity: Decimal


class Holdings(Struct, frozen=True):
    """Everything a portfolio holds at one moment.

    Attributes:
        cash: money not invested; negative if overdrawn, 0 for an unfunded or unknown portfolio.
        positions: in the service's order.
        has_balances: whether the books have any row for the portfolio; if not, it is empty or does not exist.
    """

    portfolio_id: str
    cash: Decimal
    positions: tuple[Holding, ...]
    has_balances: bool = True


class _Balance(Struct, frozen=True, rename="camel"):
    portfolio_id: str
    quantity_long: Decimal
    quantity_short: Decimal
    security_id: str | None = None

    def check(self) -> None:
        """Raise ValueError unless it is a balance."""
        for name, quantity in (("quantityLong", self.quantity_long), ("quantityShort", self.quantity_short)):
            if not quantity.is_finite():
                raise ValueError(f"{name} is not a finite number")
        if self.security_id and not _ENTITY_ID.match(self.security_id):
            raise ValueError("securityId is not 24 letters or digits")

    def broken_limit(self) -> str | None:
        """Return which quantity breaks which limit, with its value; None if none does."""
        for name, quantity in (("quantityLong", self.quantity_long), ("quantityShort", self.quantity_short)):
            if fault := broken_limit(quantity):
                return f"has a {name} of {shown(quantity)}, which {fault}"
        return None

    @property
    def net(self) -> Decimal:
        return difference(self.quantity_long, self.quantity_short)


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
        # All of them at once, as pages are read by the thousand; row by row only to name the faulty one.
        quantities = [row.quantity_long for row in rows] + [row.quantity_short for row in rows]
        if all(map(Decimal.is_finite, quantities)) and are_entity_ids(ids):
            return
        for number, row in enumerate(rows):
            try:
                row.check()
            except ValueError as error:
                raise ValueError(f"{error} - at `$.balances[{number}]`") from None

    def is_of(self, portfolio_id: str, offset: int) -> bool | None:
        """Return whether this is the page at an offset of a portfolio; None if it does not say."""
        if self.pagination.offset not in (None, offset):
            return False
        return {row.portfolio_id for row in self.balances} == {portfolio_id} if self.balances else None


class PortfolioAccounting:
    """Reads holdings."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def holdings(self, portfolio_id: str, *, deadline: float | None) -> Holdings:
        """Return cash and positions of a portfolio, from as few pages as possible.

        Raises:
            BooksInvalid: several rows of one security or of cash, or a number that breaks the limits.
            ServiceError: no usable response; `BAD_PAYLOAD` also for rows that are announced but missing.
        """
        rows: list[_Balance] = []
        for _ in range(MAX_PAGES):
            page = await self._page(portfolio_id, offset=len(rows), deadline=deadline)
            rows += page.balances
            if not page.pagination.has_more:
                break
            if not page.balances:
                raise self._contradiction("an empty page that announces more")
        else:
            raise self._contradiction(f"more than {MAX_PAGES} pages of balances")
        holdings = self._holdings(portfolio_id, rows)
        if len(rows) != page.pagination.total:
            raise self._contradiction(f"{len(rows)} balances where {page.pagination.total} are announced")
        return holdings

    async def _page(self, portfolio_id: str, *, offset: int, deadline: float | None) -> _BalancePage:
        page = await self._client.get(
            "/api/v1/balances",
            {"portfolio_id": portfolio_id, "limit": str(PAGE_ROWS), "offset": str(offset)},
            expect=_BalancePage,
            deadline=deadline,
            # Only an offset tells the pages of a portfolio apart, and a service may omit it.
            identify=(lambda page: page.is_of(portfolio_id, offset)) if offset == 0 else None,
        )
        if offset and page.is_of(portfolio_id, offset) is False:
            raise self._contradiction("a page of another portfolio or offset")
        return page

    def _holdings(self, portfolio_id: str, rows: list[_Balance]) -> Holdings:
        self._require_limits(rows)
        net: dict[str | None, Decimal] = {}
        repeated: list[str | None] = []
        for row in rows:
            security_id = row.security_id or None
            if security_id in net:
                repeated.append(security_id)
            net[security_id] = row.net
        if repeated:
            raise self._invalid([(security_id, "has several balances") for security_id in dict.fromkeys(repeated)])
        cash = net.pop(None, Decimal(0))
        positions = tuple(Holding(key, held) for key, held in net.items() if key is not None and held)
        return Holdings(portfolio_id, cash, positions, has_balances=bool(rows))

    def _require_limits(self, rows: list[_Balance]) -> None:
        # All of them at once, as pages are read by the thousand; row by row only to name the faulty ones.
        if not are_within_limits([row.quantity_long for row in rows] + [row.quantity_short for row in rows]):
            raise self._invalid([(row.security_id or None, fault) for row in rows if (fault := row.broken_limit())])

    def _invalid(self, faults: list[tuple[str | None, str]]) -> BooksInvalid:
        """Return the error for faults of balances, by security id, None for cash; it describes the first three."""
        described = [f"{security_id or 'cash'} {fault}" for security_id, fault in faults[:3]]
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        security_ids = [security_id for security_id, _ in faults if security_id]
        return BooksInvalid(self._client.name, "; ".join(described) + more, tuple(dict.fromkeys(security_ids)))

    def _contradiction(self, reason: str) -> ServiceError:
        return ServiceError(self._client.name, Cause.BAD_PAYLOAD, f"response contradicts itself: {reason}")
