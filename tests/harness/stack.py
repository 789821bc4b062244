"""A whole stack of real processes for a chaos test: mongod, the simulator of the upstreams, and services on both."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from msgspec import Struct

from app.commands.stack import running_service_process, running_simulator_process
from integrations.simulator import SimulatorUrls
from tests.harness.commands import MARK
from tests.harness.mongod import RestartableMongod
from tests.harness.processes import SERVICE_MARK, ServiceProcesses, await_end

DATABASE_NAME = "order_generation"
RESET_SECONDS = 0.5
"""How long a circuit breaker stays open."""
RECOVERY_SECONDS = RESET_SECONDS + 1
"""After a fault, everything is normal by then."""
TIMEOUT_SECONDS = 1.0
"""One attempt at a required service."""
NAME_TIMEOUT_SECONDS = 5.0
"""One attempt at the Portfolio Service: long, so that whoever waited for it would be seen to."""

IMPATIENT: Mapping[str, str] = {
    "SOLVER_PROCESSES": "2",
    "SOLVER_TIMEOUT_SECONDS": "5",
    "EXTERNAL_SERVICE_RETRIES": "0",
    "CIRCUIT_BREAKER_RESET_SECONDS": str(RESET_SECONDS),
    "PORTFOLIO_ACCOUNTING_SERVICE_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
    "PRICING_SERVICE_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
    "SECURITY_SERVICE_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
    "PORTFOLIO_SERVICE_TIMEOUT_SECONDS": str(NAME_TIMEOUT_SECONDS),
    "REBALANCE_DEADLINE_SECONDS": "10",
    # Every rebalance asks every service anew, and so meets its fault.
    "PRICE_CACHE_TTL_SECONDS": "0",
    "SECURITY_CACHE_TTL_SECONDS": "0",
}
"""Settings under which a fault is over before a test is."""

PATIENT: Mapping[str, str] = {
    **IMPATIENT,
    "EXTERNAL_SERVICE_RETRIES": "3",
    "PRICE_CACHE_TTL_SECONDS": "600",
    "SECURITY_CACHE_TTL_SECONDS": "600",
}
"""The retries that the requirements ask for, and caches that outlast the tests."""


class Surroundings(Struct, frozen=True):
    """What a service needs around it.

    Attributes:
        mongod: its database.
        simulator: base URLs of its upstreams.
        directory: for logs.
    """

    mongod: RestartableMongod
    simulator: SimulatorUrls
    directory: Path

    @property
    def upstream_ports(self) -> frozenset[int]:
        """The ports of the five services."""
        urls = self.simulator
        each = (urls.portfolio_accounting, urls.pricing, urls.portfolio, urls.security, urls.order)
        return frozenset(port for url in each if (port := urlsplit(url).port) is not None)


class RunningService(Struct, frozen=True):
    """A running service: base URL without `/api/v1`, processes, log."""

    url: str
    processes: ServiceProcesses
    log: Path


@contextmanager
def surroundings(directory: Path) -> Iterator[Surroundings]:
    """Run mongod and the simulator, whose prices stand still, and see that nothing of them or of a service is left."""
    mark = uuid4().hex
    os.environ[MARK] = mark
    try:
        with (
            RestartableMongod.start() as mongod,
            running_simulator_process("--price-spread", "0") as simulator,
        ):
            yield Surroundings(mongod, simulator, directory)
    finally:
        del os.environ[MARK]
        left = await_end(mark)
    assert left == []


@contextmanager
def serving(around: Surroundings, settings: Mapping[str, str] = IMPATIENT) -> Iterator[RunningService]:
    """Run a service in these surroundings."""
    mark = uuid4().hex
    log = around.directory / f"service-{mark}.log"
    environment = {
        "MONGODB_URL": around.mongod.url,
        "DATABASE_NAME": DATABASE_NAME,
        "PORTFOLIO_ACCOUNTING_SERVICE_URL": around.simulator.portfolio_accounting,
        "PRICING_SERVICE_URL": around.simulator.pricing,
        "PORTFOLIO_SERVICE_URL": around.simulator.portfolio,
        "SECURITY_SERVICE_URL": around.simulator.security,
        "ORDER_SERVICE_URL": around.simulator.order,
        SERVICE_MARK: mark,
        **settings,
    }
    with running_service_process(environment, log) as (url, process):
        yield RunningService(url, ServiceProcesses(process.pid, mark), log)
