"""Alerts of faults that need a service of their own kind, fired by a real Prometheus after each fault is caused.

Those of an ordinary service are in `test_prometheus.py`. Time passes thirty times faster than in production.
"""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from integrations.simulator import Creation, ErrorStatus, Garbage, GarbageKind, OrderFault, OrderResponse, Refuse
from integrations.simulator import Service as Upstream
from persistence.embedded import EmbeddedMongod
from tests.app.observability.conftest import ALERTS
from tests.app.observability.prometheus import PATIENCE_SECONDS, Prometheus, await_recovery
from tests.harness.failpoints import failpoint
from tests.harness.mongod import fast_place
from tests.harness.ordering import FAST
from tests.harness.service import Service, connecting, optimization
from tests.harness.upstreams import Upstreams

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

DATABASE = "test_alerts"
POOL_SIZE = 50
"""Connections of an instance to the database."""
QUEUE = 10_000
"""Portfolios that may wait for a solver process."""
IN_REQUEST = 1000
"""The most portfolios of one stateless optimisation."""


@pytest.fixture(scope="module")
def mongod() -> Iterator[EmbeddedMongod]:
    """A server whose commands can be made slow."""
    with EmbeddedMongod.start(parameters=["enableTestCommands=1"], temporary_in=fast_place()) as running:
        yield running


@pytest.fixture(scope="module")
def service(mongod: EmbeddedMongod, upstreams: Upstreams, prometheus: Prometheus, logs: Path) -> Iterator[Service]:
    """A service that sends orders and works on them fifty times faster than by default."""
    settings = (
        connecting(mongod.url, upstreams) | dict(FAST) | {"DATABASE_NAME": DATABASE, "PRICE_CACHE_TTL_SECONDS": "0"}
    )
    with Service.running(settings, logs / "alerts") as running:
        prometheus.scrape(running.url)
        yield running


@pytest.fixture
def model_id(service: Service, upstreams: Upstreams) -> str:
    """A model of ten portfolios."""
    return service.create_model(upstreams.securities(10), [upstreams.portfolio() for _ in range(10)])


def test_a_row_that_cannot_be_used_is_noticed(
    service: Service, prometheus: Prometheus, upstreams: Upstreams, model_id: str
) -> None:
    """The prices of the Pricing Service are 0."""
    upstreams.inject(Upstream.PRICING, Garbage(kind=GarbageKind.ZERO_PRICES))
    try:
        prometheus.await_alerts(
            {"OrderGenerationUpstreamRowsRefused"}, PATIENCE_SECONDS, cause=lambda: service.rebalance(model_id)
        )
    finally:
        upstreams.restore()


def test_a_slow_database_is_noticed(service: Service, prometheus: Prometheus, mongod: EmbeddedMongod) -> None:
    """Every query takes 0.4 seconds."""
    with failpoint(mongod.url, "find", blockConnection=True, blockTimeMS=400):
        prometheus.await_alerts(
            {"OrderGenerationDatabaseSlow"}, PATIENCE_SECONDS, cause=lambda: service.client.get("/api/v1/rebalances")
        )


def test_a_lack_of_connections_is_noticed(service: Service, prometheus: Prometheus, mongod: EmbeddedMongod) -> None:
    """Three times as many slow queries at a time as there are connections."""
    url = f"{service.url}/api/v1/rebalances"
    slow = failpoint(mongod.url, "find", blockConnection=True, blockTimeMS=1200)
    with slow, ThreadPoolExecutor(max_workers=3 * POOL_SIZE) as pool:

        def query() -> None:
            for done in [pool.submit(httpx.get, url, timeout=30) for _ in range(3 * POOL_SIZE)]:
                done.result()

        prometheus.await_alerts({"OrderGenerationDatabaseConnectionsExhausted"}, PATIENCE_SECONDS, cause=query)
    await_recovery(lambda: service.client.get("/api/v1/rebalances").is_success)


@pytest.fixture
def send_orders(service: Service, upstreams: Upstreams, model_id: str) -> Iterator[Callable[[], httpx.Response]]:
    """Rebalance the model, and return a call that sends its orders; afterwards the Order Service is healthy again."""
    (rebalance_id, *_) = {each["rebalanceId"] for each in service.rebalance(model_id).raise_for_status().json()}
    path = f"/api/v1/rebalance/{rebalance_id}/orders"
    yield lambda: service.client.post(path).raise_for_status()
    upstreams.restore()
    await_recovery(lambda: not service.client.get(path).json()["unknown"] + service.client.get(path).json()["pending"])


def test_orders_that_wait_are_noticed(
    prometheus: Prometheus, upstreams: Upstreams, send_orders: Callable[[], httpx.Response]
) -> None:
    """The Order Service refuses connections."""
    upstreams.inject(Upstream.ORDER, Refuse())
    send_orders()
    prometheus.await_alerts({"OrderGenerationOrdersPending"}, PATIENCE_SECONDS)


def test_orders_without_an_outcome_are_noticed(
    prometheus: Prometheus, upstreams: Upstreams, send_orders: Callable[[], httpx.Response]
) -> None:
    """The connection breaks during each post, and queries fail."""
    lost = OrderFault(responds=OrderResponse.CUT_BEFORE, creates=Creation.NO)
    upstreams.inject(Upstream.ORDER, lost, ErrorStatus(status=500, route="GET /api/v1/orders"))
    send_orders()
    prometheus.await_alerts({"OrderGenerationOrdersUnknown"}, PATIENCE_SECONDS)


def test_orders_that_exist_twice_are_noticed(
    prometheus: Prometheus, upstreams: Upstreams, send_orders: Callable[[], httpx.Response]
) -> None:
    """The Order Service creates an order after it was proven absent and sent again."""
    late = OrderFault(responds=OrderResponse.CUT_BEFORE, creates=Creation.LATER, later_seconds=3, calls=1)
    upstreams.inject(Upstream.ORDER, late)
    send_orders()
    prometheus.await_alerts({"OrderGenerationOrdersDuplicated"}, PATIENCE_SECONDS)


def test_unexpected_errors_of_the_work_on_orders_are_noticed(prometheus_binary: Path, tmp_path: Path) -> None:
    """By recorded series, with undivided times: every failure that can be caused is handled, so none can be caused."""
    alert, failures = "OrderGenerationOrderWorkFailing", "order_generation_order_failures_total"
    fired = {
        "exp_labels": {"severity": "warning", "instance": "failing"},
        "exp_annotations": {"summary": "The work on orders failed unexpectedly on failing"},
    }
    test = {
        "interval": "15s",
        "input_series": [
            {"series": f'{failures}{{instance="healthy"}}', "values": "0x120"},
            {"series": f'{failures}{{instance="failing"}}', "values": "0x10 1x110"},
        ],
        "alert_rule_test": [
            {"eval_time": time, "alertname": alert, "exp_alerts": alerts}
            for time, alerts in (("2m", []), ("4m", [fired]), ("28m", []))
        ],
    }
    file = {"rule_files": [str(ALERTS)], "evaluation_interval": "15s", "tests": [test]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(file))
    command = [str(prometheus_binary.with_name("promtool")), "test", "rules", "test.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def optimizer(prometheus: Prometheus, log: Path, **settings: str) -> Iterator[Service]:
    """Run a scraped stateless optimizer with one solver process until the block ends."""
    environment = {"MONGODB_URL": "none", "SOLVER_PROCESSES": "1"} | settings
    with Service.running(environment, log) as running:
        prometheus.scrape(running.url)
        yield running


def hard_optimization() -> dict[str, Any]:
    """Return one in which nine securities want a share and a half each, more than the cash allows for all."""
    securities = [f"S{number}" for number in range(9)]
    return {
        "positions": [
            {"securityId": each, "target": "0.105", "highDrift": "1", "lowDrift": "0.105"} for each in securities
        ],
        "prices": [{"securityId": each, "price": str(690 + number)} for number, each in enumerate(securities)],
        "portfolios": [{"portfolioId": "P", "cash": "10000", "holdings": []}],
    }


def optimize(service: Service, body: dict[str, Any]) -> httpx.Response:
    """Send a stateless optimisation, each of whose portfolios may fail."""
    response = httpx.post(f"{service.url}/api/v1/optimizations", json=body, timeout=PATIENCE_SECONDS)
    return response.raise_for_status()


def test_the_time_limit_of_the_solver_is_noticed(prometheus: Prometheus, logs: Path) -> None:
    """A hard portfolio is not proven optimal within a microsecond."""
    with optimizer(prometheus, logs / "hurried", SOLVER_TIMEOUT_SECONDS="0.000001") as hurried:
        prometheus.await_alerts(
            {"OrderGenerationSolverTimeLimit"}, PATIENCE_SECONDS, cause=lambda: optimize(hurried, hard_optimization())
        )


def test_a_portfolio_that_crashes_solver_processes_is_noticed(prometheus: Prometheus, logs: Path) -> None:
    """It needs more memory than they may take, so that two of them end with it, and it fails as a defect."""
    with optimizer(prometheus, logs / "cramped", SOLVER_MEMORY_MEBIBYTES="1", SOLVER_STRATEGY="milp") as cramped:
        prometheus.await_alerts(
            {"OrderGenerationSolverCrashes", "OrderGenerationDefects"},
            PATIENCE_SECONDS,
            cause=lambda: optimize(cramped, optimization(1, 1000)),
        )


def test_a_full_queue_is_noticed(prometheus: Prometheus, logs: Path) -> None:
    """The solver process stands still, while more portfolios arrive than may wait."""
    with optimizer(prometheus, logs / "overloaded", REBALANCE_CONCURRENCY=str(IN_REQUEST)) as overloaded:
        (solver,) = overloaded.solvers()
        solver.suspend()
        body = optimization(IN_REQUEST, 1)
        with ThreadPoolExecutor(max_workers=QUEUE // IN_REQUEST + 2) as pool:
            requests = [pool.submit(optimize, overloaded, body) for _ in range(QUEUE // IN_REQUEST + 2)]
            prometheus.await_alerts({"OrderGenerationOverloaded"}, PATIENCE_SECONDS)
            with suppress(psutil.NoSuchProcess):
                solver.resume()
            for request in requests:
                request.result()


def test_each_alert_is_named_by_a_test_that_causes_its_fault() -> None:
    """In this file or in `test_prometheus.py`."""
    tests = "".join(Path(__file__).with_name(name).read_text() for name in ("test_prometheus.py", Path(__file__).name))
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert rules
    assert {rule["alert"] for rule in rules if f'"{rule["alert"]}"' not in tests} == set()
