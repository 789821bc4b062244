"""Models for benchmarks: securities and portfolios of the simulator's world, targets that sum to at most .95."""

from decimal import Decimal
from uuid import uuid4

import httpx

from app.commands.stack import Stack
from integrations.simulator import SimulatorSettings, World

WORLD = World(SimulatorSettings())
HALF_PERCENT = Decimal("0.005")


def create_model(stack: Stack, portfolios: int, positions: int) -> str:
    """Create a model through the service's API; gives its id."""
    target = HALF_PERCENT * (190 // positions)
    model = {
        "name": f"{portfolios} x {positions} {uuid4()}",
        "positions": [
            {"securityId": each, "target": str(target), "highDrift": "0.02", "lowDrift": "0.02"}
            for each in WORLD.priced_security_ids()[:positions]
        ],
        "portfolios": WORLD.portfolio_ids(0, portfolios),
    }
    answer = httpx.post(f"{stack.service_url}/api/v1/models", json=model).raise_for_status()
    model_id: str = answer.json()["modelId"]
    return model_id
