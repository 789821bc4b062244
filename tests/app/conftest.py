"""The service as a client meets it: real processes in both dialects, on a real MongoDB, beside simulated upstreams."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from pymongo import MongoClient

from app.commands.stack import running_service_process, running_simulator_process
from app.http.dialect import Dialect
from tests.harness.api import Api
from tests.harness.upstreams import SPREAD, Upstreams

type Environment = Mapping[str, str]

DEADLINE_SECONDS = 3
"""Of a rebalance by the hurried service."""


@pytest.fixture(scope="session")
def _simulator() -> Iterator[Upstreams]:
    with running_simulator_process("--price-spread", SPREAD) as urls:
        upstreams = Upstreams(urls)
        yield upstreams
        upstreams.close()


@pytest.fixture
def upstreams(_simulator: Upstreams) -> Iterator[Upstreams]:
    """The simulated upstreams; what a test does to them is undone."""
    yield _simulator
    _simulator.restore()


@pytest.fixture(scope="session")
def shared_database_name(mongodb_url: str) -> Iterator[str]:
    """The database of all services here; tests keep out of each other's way by names and ids of their own."""
    name = f"test_app_{uuid.uuid4().hex}"
    yield name
    with MongoClient[dict[str, object]](mongodb_url) as client:
        client.drop_database(name)


@pytest.fixture(scope="session")
def environment(mongodb_url: str, shared_database_name: str, _simulator: Upstreams) -> Environment:
    """Settings that connect a service to its database and upstreams: impatient, and without a memory of prices."""
    urls = {
        "PORTFOLIO_ACCOUNTING_SERVICE": _simulator.urls.portfolio_accounting,
        "PRICING_SERVICE": _simulator.urls.pricing,
        "PORTFOLIO_SERVICE": _simulator.urls.portfolio,
        "SECURITY_SERVICE": _simulator.urls.security,
        "ORDER_SERVICE": _simulator.urls.order,
    }
    return {
        "MONGODB_URL": mongodb_url,
        "DATABASE_NAME": shared_database_name,
        **{f"{name}_URL": url for name, url in urls.items()},
        **{f"{name}_TIMEOUT_SECONDS": "3" for name in urls},
        "EXTERNAL_SERVICE_RETRIES": "0",
        "CIRCUIT_BREAKER_FAILURES": "1000",
        "PRICE_CACHE_TTL_SECONDS": "0",
        "SECURITY_CACHE_TTL_SECONDS": "0",
        "SOLVER_PROCESSES": "1",
        "LOG_LEVEL": "WARNING",
    }


@contextmanager
def running_service(environment: Environment, log: Path, **settings: str) -> Iterator[Api]:
    """A service of its own."""
    dialect = Dialect(settings.get("API_DIALECT", "standard"))
    with running_service_process({**environment, **settings}, log) as (url, _), Api(url, dialect) as api:
        yield api


@pytest.fixture(scope="session")
def standard(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The service in the standard dialect."""
    with running_service(environment, tmp_path_factory.mktemp("standard") / "log") as api:
        yield api


@pytest.fixture(scope="session")
def globeco(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The service in the dialect of the suite's portal."""
    with running_service(environment, tmp_path_factory.mktemp("globeco") / "log", API_DIALECT="globeco") as api:
        yield api


@pytest.fixture(scope="session")
def hurried(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A second server on the same database, in haste, on the other side of the date line, for two origins only."""
    settings = {
        "REBALANCE_DEADLINE_SECONDS": f"{DEADLINE_SECONDS}",
        "SOLVER_TIMEOUT_SECONDS": "0.000001",
        "PORTFOLIO_ACCOUNTING_SERVICE_TIMEOUT_SECONDS": "10",
        "PRICING_SERVICE_TIMEOUT_SECONDS": "10",
        "SECURITY_SERVICE_TIMEOUT_SECONDS": "10",
        "CIRCUIT_BREAKER_FAILURES": "3",
        "CIRCUIT_BREAKER_RESET_SECONDS": "1",
        "TRADE_DATE_TIMEZONE": "Pacific/Kiritimati",
        "CORS_ALLOW_ORIGINS": "https://desk.example, https://other.example",
    }
    with running_service(environment, tmp_path_factory.mktemp("hurried") / "log", **settings) as api:
        yield api


@pytest.fixture(params=list(Dialect))
def api(request: pytest.FixtureRequest) -> Api:
    """The service in each dialect in turn."""
    served: Api = request.getfixturevalue(request.param)
    return served
