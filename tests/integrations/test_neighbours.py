"""All neighbours together, each on a socket of its own."""

from decimal import Decimal

from aiohttp import web

from integrations.client import ServiceSettings
from integrations.neighbours import IntegrationSettings, open_integrations
from tests.integrations.conftest import serving

APPLE = "68759586672efc735e8b181d"
PORTFOLIO = "68989d07a711681c7aed8cb7"

ANSWERS: dict[str, object] = {
    "/api/v1/balances": {
        "balances": [
            {"portfolioId": PORTFOLIO, "securityId": APPLE, "quantityLong": "2347", "quantityShort": "0"},
            {"portfolioId": PORTFOLIO, "quantityLong": "3602571.1", "quantityShort": "0"},
        ],
        "pagination": {"total": 2, "hasMore": False},
    },
    "/api/v1/securities": [{"securityId": APPLE, "ticker": "AAPL"}],
    "/api/v1/prices": [{"ticker": "AAPL", "close": 190.55}],
    f"/api/v1/portfolio/{PORTFOLIO}": {"portfolioId": PORTFOLIO, "name": "Growth"},
}


async def suite(request: web.Request) -> web.Response:
    return web.json_response(ANSWERS[request.path])


def settings(url: str) -> IntegrationSettings:
    def service(name: str) -> ServiceSettings:
        return ServiceSettings(name=name, url=url)

    return IntegrationSettings(
        portfolio_accounting=service("portfolio-accounting"),
        security=service("security"),
        pricing=service("pricing"),
        portfolio=service("portfolio"),
        order=service("order"),
    )


async def test_a_rebalance_finds_holdings_prices_and_a_name() -> None:
    """Everything a rebalance needs comes from one opening of the neighbours, exactly as the services said it."""
    async with serving(suite) as server, open_integrations(settings(server.url)) as neighbours:
        holdings = await neighbours.accounting.holdings(PORTFOLIO, deadline=None)
        snapshot = await neighbours.market_data.snapshot(deadline=None)
        quote = await snapshot.quote([APPLE], deadline=None)
        names = await neighbours.portfolio_names.names([PORTFOLIO])
    assert holdings.cash == Decimal("3602571.1")
    assert [(each.security_id, each.quantity) for each in holdings.positions] == [(APPLE, Decimal(2347))]
    assert quote.prices == {APPLE: Decimal("190.55")}
    assert names == {PORTFOLIO: "Growth"}


async def test_states_names_every_service() -> None:
    async with open_integrations(settings("http://127.0.0.1:9")) as neighbours:
        states = neighbours.states()
    assert states == dict.fromkeys(("portfolio-accounting", "security", "pricing", "portfolio", "order"), "closed")
