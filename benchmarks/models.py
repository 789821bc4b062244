"""Models for benchmarks: securities and portfolios of the simulator's world, targets that sum to at most .95."""

from decimal import Decimal
from uuid import uuid4

import httpx
from msgspec import Struct

from app.commands.stack import Stack
from integrations.simulator import SimulatorSettings, World

WORLD = World(SimulatorSettings())
HALF_PERCENT = Decimal("0.005")
MOST_POSITIONS = 100
"""Of one model; portfolios with more hold the others outside it."""
SHARES = "10"
PRICE = "50.00"
RESPONSE_SECONDS = 120


class Size(Struct, frozen=True):
    """Portfolios of a model, and positions of each."""

    portfolios: int
    positions: int

    def __str__(self) -> str:
        return f"{self.portfolios:,} x {self.positions}"


def model_body(size: Size) -> dict[str, object]:
    """Return the request body that creates a model of this size, under a unique name."""
    positions = min(size.positions, MOST_POSITIONS)
    target = HALF_PERCENT * (190 // positions)
    return {
        "name": f"{size} {uuid4()}",
        "positions": [
            {"securityId": each, "target": str(target), "highDrift": "0.02", "lowDrift": "0.02"}
            for each in WORLD.priced_security_ids()[:positions]
        ],
        "portfolios": WORLD.portfolio_ids(0, size.portfolios),
    }


def create_model(stack: Stack, size: Size) -> str:
    """Create a model through the service's API; gives its id."""
    response = httpx.post(f"{stack.service_url}/api/v1/models", json=model_body(size), timeout=RESPONSE_SECONDS)
    model_id: str = response.raise_for_status().json()["modelId"]
    return model_id


def hold_outside_model(stack: Stack, size: Size) -> None:
    """Add holdings outside the model to its portfolios, for sizes above the positions that a model can have.

    Every security of the world gets a price for it, so this comes before the service has read any.
    """
    with httpx.Client(base_url=stack.simulator.control, timeout=RESPONSE_SECONDS) as control:
        for security_id in WORLD.unpriced_security_ids():
            path = f"/control/prices/{WORLD.by_id[security_id].ticker}"
            control.put(path, json={"price": PRICE}).raise_for_status()
        known = [*WORLD.priced_security_ids(), *WORLD.unpriced_security_ids()]
        outside = known[MOST_POSITIONS : size.positions]
        held = [{"securityId": security_id, "quantity": SHARES} for security_id in outside]
        for portfolio_id in WORLD.portfolio_ids(0, size.portfolios):
            body = {"cash": "1000000.00", "holdings": held}
            control.put(f"/control/portfolios/{portfolio_id}", json=body).raise_for_status()


def rebalance_url(stack: Stack, model_id: str) -> str:
    """Return the URL that rebalances every portfolio of the model."""
    return f"{stack.service_url}/api/v1/model/{model_id}/rebalance"


def single_rebalance_url(stack: Stack, model_id: str, place: int = 0) -> str:
    """Return the URL that rebalances one portfolio of the model, by its 0-based index."""
    portfolio_id = WORLD.portfolio_ids(place, 1)[0]
    return f"{stack.service_url}/api/v1/portfolio/{portfolio_id}/rebalance?modelId={model_id}"
