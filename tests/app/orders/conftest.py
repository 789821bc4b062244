"""One simulated Order Service and services that send it orders, with durations that fit a test."""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pymongo import MongoClient

from app.commands.stack import running_simulator_process
from tests.harness.ordering import FAST, OrderingService, OrderServiceControl, ordering_service


@pytest.fixture(scope="package")
def _simulator() -> Iterator[OrderServiceControl]:
    with running_simulator_process("--price-spread", "0") as urls:
        control = OrderServiceControl(urls)
        yield control
        control.close()


@pytest.fixture
def order_service(_simulator: OrderServiceControl) -> Iterator[OrderServiceControl]:
    """The simulated Order Service; its faults are removed after the test."""
    _simulator.forget_calls()
    yield _simulator
    _simulator.heal()


@pytest.fixture(scope="package")
def environment(mongodb_url: str, _simulator: OrderServiceControl) -> Iterator[Mapping[str, str]]:
    """Settings that connect a service to a database of these tests and to the simulator."""
    name = f"test_orders_{uuid.uuid4().hex}"
    urls = _simulator.urls
    yield {
        "MONGODB_URL": mongodb_url,
        "DATABASE_NAME": name,
        "PORTFOLIO_ACCOUNTING_SERVICE_URL": urls.portfolio_accounting,
        "PRICING_SERVICE_URL": urls.pricing,
        "PORTFOLIO_SERVICE_URL": urls.portfolio,
        "SECURITY_SERVICE_URL": urls.security,
        "ORDER_SERVICE_URL": urls.order,
        **FAST,
    }
    with MongoClient[dict[str, object]](mongodb_url) as client:
        client.drop_database(name)


@pytest.fixture(scope="package")
def service(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderingService]:
    """A service that sends orders."""
    with ordering_service(environment, tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="package")
def portal(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderingService]:
    """A second service on the same database, in the suite's dialect, which lists one origin by name."""
    settings = {"API_DIALECT": "globeco", "CORS_ALLOW_ORIGINS": "https://desk.example"}
    with ordering_service(environment, tmp_path_factory.mktemp("portal"), **settings) as running:
        yield running


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory for logs."""
    return tmp_path
