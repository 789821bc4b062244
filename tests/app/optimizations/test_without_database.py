"""The stateless optimiser: the service without a database and upstream services."""

from collections.abc import Iterator

import pytest

from tests.harness.service import Service, optimization


@pytest.fixture(scope="module")
def optimizer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One with a single solver process."""
    log = tmp_path_factory.mktemp("optimizer") / "log"
    with Service.running({"MONGODB_URL": "none", "SOLVER_PROCESSES": "1", "LOG_LEVEL": "DEBUG"}, log) as running:
        yield running


def test_it_optimizes_and_is_ready_without_a_database(optimizer: Service) -> None:
    """Readiness, metrics and log name no database, and no upstream service."""
    response = optimizer.client.post("/api/v1/optimizations", json=optimization(2, 3))
    assert [each["status"] for each in response.raise_for_status().json()] == ["COMPLETED", "COMPLETED"]
    ready = optimizer.client.get("/health/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "UP", "database": None, "databaseFault": None, "solvers": "UP", "upstreams": {}},
    )
    assert 'order_generation_up{part="solvers"} 1.0' in (metrics := optimizer.client.get("/metrics").text)
    assert 'order_generation_up{part="database"}' not in metrics
    assert optimizer.lines()
    assert not [line for line in optimizer.lines() if "database" in line["event"]]


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", "/docs/openapi.json", "/version", "/health/live", "/metrics"])
def test_it_serves_what_needs_no_database(optimizer: Service, path: str) -> None:
    """Documentation, health, metrics and the start page are there."""
    assert optimizer.client.get(path, follow_redirects=True).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/models", "/api/v1/model/" + "0" * 24, "/api/v1/rebalances", "/pages/models"])
def test_it_knows_no_stored_models_and_rebalances(optimizer: Service, path: str) -> None:
    """Their addresses are unknown, in the error form of the API."""
    response = optimizer.client.get(path)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")
