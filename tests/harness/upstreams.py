"""The simulated upstreams of the running services, changed and watched through their control API."""

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from integrations.simulator import Fault, Service, SimulatorSettings, SimulatorUrls, World
from tests.harness.api import PATIENCE_SECONDS

SPREAD = "0"
"""Every price is drawn as its mean, so that a test can say what comes of it."""


def fresh_id() -> str:
    """An id of a portfolio or a security that nothing has yet."""
    return uuid4().hex[:24]


class Upstreams:
    """The world, and what a test makes of it.

    Attributes:
        world: securities and portfolios as the simulator's process has them.
        urls: of the simulated services.
    """

    def __init__(self, urls: SimulatorUrls) -> None:
        self.urls = urls
        self.world = World(SimulatorSettings(price_spread=Decimal(SPREAD)))
        self._client = httpx.Client(base_url=f"{urls.control}/control", timeout=PATIENCE_SECONDS)

    def securities(self, count: int) -> list[str]:
        """Ids of priced securities, always the same."""
        return self.world.priced_security_ids()[:count]

    def price(self, security_id: str) -> Decimal:
        """What a share costs while nobody has changed it."""
        mean = self.world.by_id[security_id].mean
        assert mean is not None
        return Decimal(mean).scaleb(-2)

    def put_price(self, security_id: str, price: str) -> None:
        """Make a share cost exactly this, until `restore`."""
        self._change("PUT", f"/prices/{self.world.by_id[security_id].ticker}", {"price": price})

    def portfolio(
        self, cash: str | None = "100000", holdings: Mapping[str, str] | None = None, name: str | None = None
    ) -> str:
        """Id of a new portfolio that holds exactly this."""
        portfolio_id = fresh_id()
        rows = [{"securityId": security_id, "quantity": quantity} for security_id, quantity in (holdings or {}).items()]
        self._change("PUT", f"/portfolios/{portfolio_id}", {"name": name, "cash": cash, "holdings": rows})
        return portfolio_id

    def inject(self, service: Service, *faults: Fault) -> None:
        """Replace a service's faults, until `restore`."""
        self._change("PUT", f"/faults/{service}", faults)

    def calls(self) -> list[dict[str, Any]]:
        """The last calls that arrived."""
        return list(self._client.get("/calls").raise_for_status().json()["last"])

    def await_call(self, service: Service, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until a service has received a call since the last `forget_calls`."""
        until = time.monotonic() + seconds
        while not any(call["service"] == service for call in self.calls()):
            assert time.monotonic() < until, f"{service} has received no call"
            time.sleep(0.01)

    def forget_calls(self) -> None:
        self._change("DELETE", "/calls")

    def restore(self) -> None:
        """Heal every service and give every security its price."""
        self._change("DELETE", "/faults")
        self._change("DELETE", "/prices")

    def close(self) -> None:
        self._client.close()

    def _change(self, method: str, path: str, body: object = None) -> None:
        content = None if body is None else msgspec.json.encode(body)
        self._client.request(method, path, content=content).raise_for_status()
