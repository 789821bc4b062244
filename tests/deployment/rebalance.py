"""A rebalance through a service's API, on the simulator's world: proof that what is deployed does its work."""

import uuid

import httpx

from integrations.simulator import SimulatorSettings, World


def check_rebalance(url: str) -> None:
    """Rebalance three portfolios that hold only cash to a model of ten positions: each buys all ten."""
    world = World(SimulatorSettings())
    model = {
        "name": f"Deployment {uuid.uuid4().hex}",
        "positions": [
            {"securityId": security_id, "target": 0.095, "highDrift": 0.02, "lowDrift": 0.02}
            for security_id in world.priced_security_ids()[:10]
        ],
        "portfolios": world.portfolio_ids(0, 3),
    }
    with httpx.Client(base_url=f"{url}/api/v1", timeout=60) as client:
        created = client.post("/models", json=model)
        assert created.status_code == 201, created.text
        rebalanced = client.post(f"/model/{created.json()['modelId']}/rebalance")
    assert rebalanced.status_code == 200, rebalanced.text
    assert [portfolio["status"] for portfolio in rebalanced.json()] == ["COMPLETED"] * 3
    for portfolio in rebalanced.json():
        assert [trade["transactionType"] for trade in portfolio["transactions"]] == ["BUY"] * 10
