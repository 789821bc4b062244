"""All upstream services, opened and closed together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct
from msgspec.structs import replace

from integrations.http.client import ServiceClient, ServiceSettings
from integrations.http.connections import Connections, open_connections
from integrations.http.observer import NoObserver, Observer
from integrations.market_data import MarketData
from integrations.order import Orders
from integrations.portfolio import PortfolioNames
from integrations.portfolio_accounting import PortfolioAccounting
from integrations.pricing import MaximumAge


class UpstreamSettings(Struct, frozen=True, kw_only=True):
    """How to reach each service, and how long its data are used.

    Attributes:
        security_cache_ttl_seconds, price_cache_ttl_seconds: 0 disables that cache.
        maximum_price_age: None to use prices of any age.
    """

    portfolio_accounting: ServiceSettings
    security: ServiceSettings
    pricing: ServiceSettings
    portfolio: ServiceSettings
    order: ServiceSettings
    security_cache_ttl_seconds: float = 600.0
    price_cache_ttl_seconds: float = 60.0
    maximum_price_age: MaximumAge | None = None


class Upstreams:
    """The upstream services of one process.

    Attributes:
        accounting: holdings of portfolios.
        market_data: prices of securities.
        portfolio_names: names of portfolios.
        orders: where trades go.
    """

    def __init__(self, settings: UpstreamSettings, connections: Connections, observer: Observer) -> None:
        accounting = ServiceClient(settings.portfolio_accounting, connections, observer)
        security = ServiceClient(settings.security, connections, observer)
        pricing = ServiceClient(settings.pricing, connections, observer)
        # Names are optional, so they are not retried.
        portfolio = ServiceClient(replace(settings.portfolio, retries=0), connections, observer)
        order = ServiceClient(settings.order, connections, observer)
        self._clients = (accounting, security, pricing, portfolio, order)
        self.accounting = PortfolioAccounting(accounting)
        self.market_data = MarketData(
            security,
            pricing,
            security_ttl_seconds=settings.security_cache_ttl_seconds,
            price_ttl_seconds=settings.price_cache_ttl_seconds,
            maximum_price_age=settings.maximum_price_age,
        )
        self.portfolio_names = PortfolioNames(portfolio)
        self.orders = Orders(order)

    def states(self) -> dict[str, str]:
        """Return the state of each service's circuit breaker: `closed`, `open` or `half_open`."""
        return {client.name: client.state for client in self._clients}


@asynccontextmanager
async def open_upstreams(settings: UpstreamSettings, observer: Observer | None = None) -> AsyncIterator[Upstreams]:
    """Open the clients of all services on one bounded pool of connections, and close it at the end."""
    services = (settings.portfolio_accounting, settings.security, settings.pricing, settings.portfolio, settings.order)
    async with open_connections(limit=sum(service.connections for service in services)) as connections:
        integrations = Upstreams(settings, connections, observer or NoObserver())
        try:
            yield integrations
        finally:
            await integrations.portfolio_names.close()
