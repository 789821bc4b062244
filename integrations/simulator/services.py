"""The five services without faults, quirks included."""

import re
from decimal import Decimal

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from integrations.simulator.holdings import Holdings, Security
from integrations.simulator.order_service import OrderService
from integrations.simulator.orders import OrderBook
from integrations.simulator.prices import PriceBoard
from integrations.simulator.reply import Pagination, Reply, Route, pagination
from integrations.simulator.settings import Service
from integrations.simulator.world import World

_DATE = "2025-08-10T13:23:37Z"
_STOCK = ("68759586672efc735e8b0001", "CS", "Common Stock")
_HEX_ID = re.compile("[0-9a-fA-F]{24}")
_DEFAULT_PAGE, _LARGEST_PAGE = 50, 1000
_TICKER = re.compile("[A-Za-z0-9.-]{1,50}")
_PORTFOLIO_NAME = re.compile(r"[a-zA-Z0-9\s\-_]{1,200}")
_BAD_PORTFOLIO_NAME = (
    "Invalid portfolio name format. Name must be 1-200 characters, alphanumeric, spaces, hyphens, and underscores only"
)

_encode = msgspec.json.Encoder(decimal_format="number").encode


class _Balance(Struct, frozen=True, rename="camel"):
    id: int
    portfolio_id: str
    quantity_long: str
    quantity_short: str
    security_id: str | UnsetType = UNSET
    last_updated: str = _DATE
    version: int = 1


class _BalancePagination(Struct, frozen=True, rename="camel"):
    limit: int
    offset: int
    total: int
    has_more: bool
    page: int
    total_pages: int


class _BalancePage(Struct, frozen=True):
    balances: list[_Balance]
    pagination: _BalancePagination


class _SecurityType(Struct, frozen=True, rename="camel"):
    security_type_id: str = _STOCK[0]
    abbreviation: str = _STOCK[1]
    description: str = _STOCK[2]


class _Security(Struct, frozen=True, rename="camel"):
    ticker: str
    description: str
    security_id: str
    security_type_id: str = _STOCK[0]
    version: int = 1
    security_type: _SecurityType = _SecurityType()


class _SecurityTypeV2(_SecurityType, frozen=True, rename="camel"):
    version: int = 1


class _SecurityV2(_Security, frozen=True, rename="camel"):
    security_type: _SecurityTypeV2 = _SecurityTypeV2()


class _SecurityPage(Struct, frozen=True):
    securities: list[_SecurityV2]
    pagination: Pagination


class _Portfolio(Struct, frozen=True, rename="camel"):
    portfolio_id: str
    name: str
    date_created: str = _DATE.removesuffix("Z")
    version: int = 1


class _PortfolioPage(Struct, frozen=True):
    portfolios: list[_Portfolio]
    pagination: Pagination


class _Detail(Struct, frozen=True):
    detail: str


class _Problem(Struct, frozen=True):
    """One entry of the `detail` of a 422 of the services that are written in Python."""

    loc: list[str]
    msg: str
    input: str
    type: str = "value_error"


class _Problems(Struct, frozen=True):
    detail: list[_Problem]


class _SpringError(Struct, frozen=True):
    status: int
    error: str
    path: str
    timestamp: str = _DATE


class GlobeCo:
    """The five services over one world."""

    def __init__(self, world: World, prices: PriceBoard, orders: OrderBook) -> None:
        """Encode what never changes."""
        self._world, self._prices = world, prices
        self._order_service = OrderService(world, orders)
        self._securities = {security.security_id: _encode(_security(security)) for security in world.securities}
        self._all_securities = b"[" + b",".join(self._securities.values()) + b"]"

    def routes(self, service: Service) -> tuple[Route, ...]:
        """Return the calls that a service accepts."""
        match service:
            case Service.PORTFOLIO_ACCOUNTING:
                return (Route("GET", "/api/v1/balances", self._balances),)
            case Service.PRICING:
                return (
                    Route("GET", "/api/v1/prices", self._all_prices),
                    Route("GET", "/api/v1/price/{ticker}", self._price),
                )
            case Service.SECURITY:
                return (
                    Route("GET", "/api/v1/securities", self._list_securities),
                    Route("GET", "/api/v1/security/{id}", self._security),
                    Route("GET", "/api/v2/securities", self._search_securities),
                )
            case Service.PORTFOLIO:
                return (
                    Route("GET", "/api/v1/portfolio/{id}", self._portfolio),
                    Route("GET", "/api/v2/portfolios", self._list_portfolios),
                )
            case Service.ORDER:
                return self._order_service.routes()

    async def _balances(self, request: web.Request) -> Reply:
        """Return a page of a portfolio's rows by security id, the cash row last; a bad limit or offset is ignored.

        The real service returns the rows of all portfolios if none is named; this one returns no rows.
        """
        portfolio_id = request.query.get("portfolio_id", "")
        limit = _integer(request.query.get("limit"))
        limit = limit if limit is not None and 0 < limit <= _LARGEST_PAGE else _DEFAULT_PAGE
        offset = max(0, _integer(request.query.get("offset")) or 0)
        rows = _balance_rows(portfolio_id, self._world.holdings(portfolio_id))
        pages = -(-len(rows) // limit)
        pagination = _BalancePagination(
            limit, offset, len(rows), offset + limit < len(rows), offset // limit + 1, pages
        )
        return Reply(_encode(_BalancePage(rows[offset : offset + limit], pagination)))

    async def _all_prices(self, _: web.Request) -> Reply:
        return Reply(self._prices.encode_all())

    async def _price(self, request: web.Request) -> Reply:
        body = self._prices.encode_one(request.match_info["ticker"])
        if body is None:
            return Reply(_encode(_SpringError(404, "Not Found", request.path)), 404)
        return Reply(body)

    async def _list_securities(self, _: web.Request) -> Reply:
        return Reply(self._all_securities)

    async def _security(self, request: web.Request) -> Reply:
        security_id = request.match_info["id"]
        if _HEX_ID.fullmatch(security_id) is None:
            return Reply(_encode(_Detail("Internal Server Error")), 500)
        body = self._securities.get(security_id.lower())
        return Reply(_encode(_Detail("Security not found")), 404) if body is None else Reply(body)

    async def _search_securities(self, request: web.Request) -> Reply:
        """Return a page of the securities, by ticker: all, or those whose ticker is, or contains, a text."""
        page = _requested_page(request)
        if isinstance(page, Reply):
            return page
        exact, part = request.query.get("ticker"), request.query.get("ticker_like")
        if exact is not None and part is not None:
            message = "Only one of 'ticker' or 'ticker_like' parameters can be provided"
            return Reply(_encode(_Detail(message)), 400)
        if not all(_TICKER.fullmatch(text) for text in (exact, part) if text is not None):
            message = "Ticker must be 1-50 characters and contain only alphanumeric characters, dots, and hyphens"
            return Reply(_encode(_Detail(message)), 400)
        found = [security for security in self._world.securities if _matches(security.ticker, exact, part)]
        limit, offset = page
        rows = [
            _SecurityV2(security.ticker, security.description, security.security_id)
            for security in sorted(found, key=lambda security: security.ticker)[offset : offset + limit]
        ]
        return Reply(_encode(_SecurityPage(rows, pagination(len(found), limit, offset))))

    async def _portfolio(self, request: web.Request) -> Reply:
        portfolio = self._world.portfolio(request.match_info["id"])
        if portfolio is None:
            return Reply(_encode(_Detail("Portfolio not found")), 404)
        return Reply(_encode(_Portfolio(portfolio.portfolio_id, portfolio.name)))

    async def _list_portfolios(self, request: web.Request) -> Reply:
        """Return a page of the portfolios: all, or those whose name is, or contains, a text."""
        page = _requested_page(request)
        if isinstance(page, Reply):
            return page
        limit, offset = page
        exact, part = request.query.get("name"), request.query.get("name_like")
        if exact and part:
            return Reply(_encode(_Detail("Only one search parameter allowed: name or name_like")), 400)
        for text in (exact, part):
            if text is not None and not text.strip():
                return Reply(_encode(_Detail("Search parameter cannot be empty")), 400)
            if text is not None and not _PORTFOLIO_NAME.fullmatch(text):
                return Reply(_encode(_Detail(_BAD_PORTFOLIO_NAME)), 400)
        if exact is None and part is None:
            found = self._world.portfolios(offset, limit)
            total = self._world.portfolio_count
        else:
            every = self._world.portfolios(0, self._world.portfolio_count)
            matching = [portfolio for portfolio in every if _matches(portfolio.name, exact, part)]
            found, total = matching[offset : offset + limit], len(matching)
        portfolios = [_Portfolio(portfolio.portfolio_id, portfolio.name) for portfolio in found]
        return Reply(_encode(_PortfolioPage(portfolios, pagination(total, limit, offset))))


def _security(security: Security) -> _Security:
    return _Security(security.ticker, security.description, security.security_id)


def _balance_rows(portfolio_id: str, holdings: Holdings) -> list[_Balance]:
    rows = [
        _Balance(
            id=row,
            portfolio_id=portfolio_id,
            security_id=holding.security_id,
            quantity_long=_plain(max(holding.quantity, Decimal(0))),
            quantity_short=_plain(max(holding.quantity.copy_negate(), Decimal(0))),
        )
        for row, holding in enumerate(sorted(holdings.holdings, key=lambda held: held.security_id), start=2)
    ]
    if holdings.cash is not None:
        rows.append(_Balance(1, portfolio_id, _plain(holdings.cash), "0"))
    return rows


def _plain(quantity: Decimal) -> str:
    """Return the digits without an exponent and without zeros at the end, as the real service writes them."""
    text = f"{quantity:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _integer(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _requested_page(request: web.Request) -> tuple[int, int] | Reply:
    """Return limit and offset, or the response to a request whose limit or offset is invalid."""
    limit = _integer(request.query.get("limit", str(_DEFAULT_PAGE)))
    offset = _integer(request.query.get("offset", "0"))
    if limit is not None and offset is not None and 1 <= limit <= _LARGEST_PAGE and offset >= 0:
        return limit, offset
    name = "limit" if limit is None or not 1 <= limit <= _LARGEST_PAGE else "offset"
    problem = _Problem(["query", name], f"Input should be a valid {name}", request.query.get(name, ""))
    return Reply(_encode(_Problems([problem])), 422)


def _matches(value: str, exact: str | None, part: str | None) -> bool:
    """Return whether a value is the exact text or contains the part, without regard to case."""
    if exact is not None:
        return value.casefold() == exact.casefold()
    return part is None or part.casefold() in value.casefold()
