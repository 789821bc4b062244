"""The input of load: securities and portfolios as the upstreams list them, and models drawn from them."""

import random
from itertools import pairwise
from uuid import uuid4

import httpx
import msgspec
from msgspec import Struct

UNITS = 190
"""A model's targets are multiples of .005 that sum to exactly .95."""
DRIFT = 0.005
HIGHEST_PRICE = 900.0
"""A drift of .005 either way is 1,000 wide in a portfolio of 100,000: there is always a whole share of these."""
PORTFOLIOS = 1000


class Upstreams(Struct, frozen=True):
    """Base URLs, without `/api/v1`, of the services that know securities, prices and portfolios."""

    security: str
    pricing: str
    portfolio: str


class Target(Struct, frozen=True):
    """A position of a model to create."""

    security_id: str
    target: float


class Draft(Struct, frozen=True):
    """A model to create."""

    name: str
    positions: list[Target]
    portfolios: list[str]


class _Security(Struct, frozen=True, rename="camel"):
    security_id: str
    ticker: str


class _Price(Struct, frozen=True):
    ticker: str
    close: float


class _Portfolio(Struct, frozen=True, rename="camel"):
    portfolio_id: str


class _PortfolioPage(Struct, frozen=True):
    portfolios: list[_Portfolio]


class Market(Struct, frozen=True):
    """Ids of the securities that can be traded, and of portfolios."""

    securities: list[str]
    portfolios: list[str]

    def model(self, *, positions: int = 10, portfolios: int = 3) -> Draft:
        """Draw a model with these numbers of positions and portfolios."""
        cuts = [0, *sorted(random.sample(range(1, UNITS), positions - 1)), UNITS]
        units = (high - low for low, high in pairwise(cuts))
        securities = random.sample(self.securities, positions)
        return Draft(
            name=f"Load {uuid4()}",
            positions=[
                Target(security_id, unit * 5 / 1000) for security_id, unit in zip(securities, units, strict=True)
            ],
            portfolios=random.sample(self.portfolios, portfolios),
        )


def read_market(upstreams: Upstreams) -> Market:
    """Read priced securities and the first thousand portfolios from the upstreams.

    Raises:
        httpx.HTTPError: one of them does not respond.
        msgspec.ValidationError: a response has an unexpected form.
    """
    securities = _get(f"{upstreams.security}/api/v1/securities", list[_Security])
    prices = _get(f"{upstreams.pricing}/api/v1/prices", list[_Price])
    page = _get(f"{upstreams.portfolio}/api/v2/portfolios?limit={PORTFOLIOS}&offset=0", _PortfolioPage)
    tradable = {price.ticker for price in prices if price.close <= HIGHEST_PRICE}
    return Market(
        securities=[security.security_id for security in securities if security.ticker in tradable],
        portfolios=[portfolio.portfolio_id for portfolio in page.portfolios],
    )


def _get[T](url: str, kind: type[T]) -> T:
    return msgspec.json.decode(httpx.get(url, timeout=30).raise_for_status().content, type=kind)
