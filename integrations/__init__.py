"""Clients of the upstream GlobeCo services.

`open_upstreams` opens all five together. `integrations.simulator` simulates them and has its own interface.
"""

from integrations.http.client import ServiceSettings, forwarded_headers
from integrations.http.connections import KEEP_ALIVE_SECONDS
from integrations.http.errors import BooksInvalid, Cause, NotFound, ServiceError
from integrations.http.observer import NoObserver, Observer
from integrations.http.request import NotSent
from integrations.market_data import MarketData, PriceSnapshot, Quote
from integrations.order import (
    FoundOrder,
    Order,
    OrderOutcome,
    OrderResult,
    Orders,
    OrderType,
    PostResult,
)
from integrations.portfolio import PortfolioNames
from integrations.portfolio_accounting import Holding, Holdings, PortfolioAccounting
from integrations.pricing import MaximumAge, MissingPrice, PriceFault
from integrations.upstreams import Upstreams, UpstreamSettings, open_upstreams

__all__ = [
    "KEEP_ALIVE_SECONDS",
    "BooksInvalid",
    "Cause",
    "FoundOrder",
    "Holding",
    "Holdings",
    "MarketData",
    "MaximumAge",
    "MissingPrice",
    "NoObserver",
    "NotFound",
    "NotSent",
    "Observer",
    "Order",
    "OrderOutcome",
    "OrderResult",
    "OrderType",
    "Orders",
    "PortfolioAccounting",
    "PortfolioNames",
    "PostResult",
    "PriceFault",
    "PriceSnapshot",
    "Quote",
    "ServiceError",
    "ServiceSettings",
    "UpstreamSettings",
    "Upstreams",
    "forwarded_headers",
    "open_upstreams",
]
