"""One simulated Order Service and services that send it orders, with durations that fit a test."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from app.commands.stack import running_simulator_process
from tests.harness.ordering import FAST, OrderingService, OrderServiceControl, ordering_service


@pytest.fixture(scope="package")
def _order_simulator() -> Iterator[OrderServiceControl]:
    with running_simulator_process("--price-spread", "0") as urls:
        control = OrderServiceControl(urls)
        yield control
        control.close()


@pytest.fixture
def order_service(_order_simulator: OrderServiceControl) -> Iterator[OrderServiceControl]:
    """The simulated Order Service; its faults are removed after the test."""
    _order_simulator.forget_calls()
    yield _order_simulator
    _order_simulator.heal()


@pytest.fixture(scope="package")
def ordering(mongodb_url: str, _order_simulator: OrderServiceControl) -> Iterator[Mapping[str, str]]:
    """Settings that connect a service to a database of these tests and to the simulator."""
    name = f"test_orders_{uuid.uuid4().hex}"
    urls = _order_simulator.urls
    yield {
        "MONGODB_URL": mongodb_url,
        "DATABASE_NAME": name,
        "PORTFOLIO_ACCOUNTING_SERVICE_URL": urls.portfolio_accounting,
        "PRICING_SERVICE_URL": urls.pricing,
        "PORTFOLIO_SERVICE_URL": urls.portfolio,
        "SECURITY_SERVICE_URL": urls.security,
        "ORDER_SERVICE_URL": urls.order,
        **FAST,
        # Tests that count calls must not meet a timeout on a busy machine.
        "ORDER_SERVICE_TIMEOUT_SECONDS": "1.5",
        "ORDER_LEASE_SECONDS": "3",
    }
    with MongoClient[dict[str, object]](mongodb_url) as client:
        client.drop_database(name)


@pytest.fixture(scope="package")
def service(ordering: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderingService]:
    """A service that sends orders."""
    with ordering_service(ordering, tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="package")
def portal(ordering: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderingService]:
    """A second service on the same database, in the suite's dialect, which lists one origin by name."""
    settings = {"API_DIALECT": "globeco", "CORS_ALLOW_ORIGINS": "https://desk.example"}
    with ordering_service(ordering, tmp_path_factory.mktemp("portal"), **settings) as running:
        yield running


@pytest.fixture
def plans(ordering: Mapping[str, str]) -> Iterator[Collection[dict[str, Any]]]:
    """The stored order plans, without those that a test added itself."""
    with MongoClient[dict[str, Any]](ordering["MONGODB_URL"]) as client:
        plans = client[ordering["DATABASE_NAME"]]["order_plans"]
        before = [each["_id"] for each in plans.find({}, {"_id": True})]
        yield plans
        plans.delete_many({"_id": {"$nin": before}})
