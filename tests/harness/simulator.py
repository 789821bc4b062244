"""The simulator's control API, as the tests use it."""

import httpx
import msgspec

from integrations.simulator import Call, CallReport, Fault, Holdings, Service

_encode = msgspec.json.Encoder(decimal_format="number").encode


class SimulatorControl:
    """Changes a running simulator and reads what it saw."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self._url = f"{url}/control"
        self._client = client

    async def inject(self, service: Service, *faults: Fault) -> None:
        """Replace a service's faults by these."""
        await self._put(f"/faults/{service}", faults)

    async def heal(self) -> None:
        """Remove every fault of every service."""
        (await self._client.delete(f"{self._url}/faults")).raise_for_status()

    async def put_portfolio(self, portfolio_id: str, holdings: Holdings) -> None:
        """Make a portfolio hold exactly this."""
        await self._put(f"/portfolios/{portfolio_id}", {"cash": holdings.cash, "holdings": holdings.holdings})

    async def put_price(self, ticker: str, price: object) -> None:
        """Make a ticker cost exactly this."""
        await self._put(f"/prices/{ticker}", {"price": price})

    async def restore_portfolio(self, portfolio_id: str) -> None:
        """Make a portfolio hold what it held at the start."""
        (await self._client.delete(f"{self._url}/portfolios/{portfolio_id}")).raise_for_status()

    async def restore_prices(self) -> None:
        """Return to the prices of the start."""
        (await self._client.delete(f"{self._url}/prices")).raise_for_status()

    async def forget_calls(self) -> None:
        """Count calls from zero."""
        (await self._client.delete(f"{self._url}/calls")).raise_for_status()

    async def report(self) -> CallReport:
        """The calls since then."""
        response = (await self._client.get(f"{self._url}/calls")).raise_for_status()
        return msgspec.json.decode(response.content, type=CallReport)

    async def count(self, service: Service, route: str | None = None) -> int:
        """How many calls a service had, or one of its routes, written `GET /api/v1/prices`."""
        report = await self.report()
        return sum(each.count for each in report.routes if each.service == service and route in (None, each.route))

    async def last(self, service: Service) -> list[Call]:
        """The last calls of a service, oldest first."""
        return [call for call in (await self.report()).last if call.service == service]

    async def _put(self, path: str, body: object) -> None:
        (await self._client.put(self._url + path, content=_encode(body))).raise_for_status()
