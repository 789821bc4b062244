"""Real services whose traces and metrics go to a collector in this process."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pymongo import MongoClient

from app.commands.stack import running_simulator_process
from persistence.embedded import free_port
from tests.app.observability.prometheus import Prometheus, find_prometheus, running_prometheus
from tests.harness.collector import Received, grpc_collector
from tests.harness.mongod import RestartableMongod
from tests.harness.service import Service, connecting
from tests.harness.upstreams import SPREAD, Upstreams

ALERTS = Path(__file__).parents[3] / "monitoring/alerts.yaml"

# Soon enough for a test to wait for.
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "300"}


@pytest.fixture(scope="session")
def upstreams() -> Iterator[Upstreams]:
    """Simulated upstreams; a test that changes them restores them."""
    with running_simulator_process("--price-spread", SPREAD) as urls:
        upstreams = Upstreams(urls)
        yield upstreams
        upstreams.close()


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for what the services log."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def database_name(mongodb_url: str) -> Iterator[str]:
    """The database of the services here, dropped at the end."""
    name = f"test_observability_{uuid.uuid4().hex}"
    yield name
    with MongoClient[dict[str, object]](mongodb_url) as client:
        client.drop_database(name)


@pytest.fixture(scope="session")
def collector() -> Iterator[tuple[str, Received]]:
    with grpc_collector() as (endpoint, received):
        yield endpoint, received


@pytest.fixture(scope="session")
def received(collector: tuple[str, Received]) -> Received:
    """What the traced service has sent."""
    return collector[1]


@pytest.fixture(scope="session")
def traced(
    mongodb_url: str, database_name: str, upstreams: Upstreams, collector: tuple[str, Received], logs: Path
) -> Iterator[Service]:
    """A service in the suite's way: with nothing but the address of the node's collector."""
    environment = {
        **connecting(mongodb_url, upstreams),
        "DATABASE_NAME": database_name,
        "OTEL_COLLECTOR_GRPC_ENDPOINT": collector[0],
        "LOG_LEVEL": "DEBUG",
        "PRICE_CACHE_TTL_SECONDS": "0",
        **SOON,
    }
    with Service.running(environment, logs / "traced") as service:
        yield service


@pytest.fixture(scope="session")
def own_mongod() -> Iterator[RestartableMongod]:
    """A database for tests that stop it."""
    with RestartableMongod.start() as mongod:
        yield mongod


@pytest.fixture(scope="session")
def untraced(own_mongod: RestartableMongod, upstreams: Upstreams, logs: Path) -> Iterator[Service]:
    """A service without a collector, on a database of its own; every portfolio takes its solvers some time."""
    environment = {
        **connecting(own_mongod.url, upstreams),
        "PORTFOLIO_SERVICE_URL": f"http://127.0.0.1:{free_port()}",
        "SOLVER_STRATEGY": "milp",
    }
    with Service.running(environment, logs / "untraced") as service:
        yield service


@pytest.fixture(scope="session")
def prometheus_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prometheus of this machine or of Debian."""
    return find_prometheus(tmp_path_factory.mktemp("prometheus-binary"))


@pytest.fixture(scope="module")
def prometheus(prometheus_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus with the project's rules, which scrapes nothing yet."""
    directory = tmp_path_factory.mktemp("prometheus")
    with running_prometheus(prometheus_binary, yaml.safe_load(ALERTS.read_text()), directory) as running:
        yield running
