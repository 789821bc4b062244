"""A real Prometheus scrapes the running service: its rules evaluate, its dashboard has data, and its alerts are true.

Needs `prometheus` on the PATH, or Debian's package registry. Time passes thirty times faster than in production.
"""

import itertools
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from pymongo import MongoClient

from integrations.simulator import Delay, ErrorStatus, Fault, Refuse
from integrations.simulator import Service as Upstream
from persistence.embedded import EmbeddedMongod
from tests.app.observability.prometheus import (
    COMPRESSION,
    PATIENCE_SECONDS,
    Prometheus,
    await_recovery,
    compressed_query,
)
from tests.app.observability.test_monitoring import ALERTS, dashboard_queries
from tests.harness.service import Service, connecting, optimization
from tests.harness.upstreams import Upstreams

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

WITHOUT_DATA_WHEN_HEALTHY = frozenset[str]()
OF_SLOWNESS = frozenset(
    {
        *("OrderGenerationRequestsSlow", "OrderGenerationDatabaseSlow", "OrderGenerationUpstreamSlow"),
        *("OrderGenerationInstanceDown", "OrderGenerationAbsent"),
    }
)
"""True of every service on a machine whose processors are taken by others: even a scrape has only half a second."""
CROWDED = 2.0
"""From this share on, processors are taken by others."""
FIRST_SECONDS = 5
SPIN_SECONDS = 0.01


@pytest.fixture(scope="module")
def settings(own_mongod: EmbeddedMongod, upstreams: Upstreams) -> dict[str, str]:
    """Settings of the service here: orders are sent, and prices are read every time."""
    return connecting(own_mongod.url, upstreams) | {
        "DATABASE_NAME": "test_prometheus",
        "ORDERS_ENABLED": "true",
        "PRICE_CACHE_TTL_SECONDS": "0",
        "EXTERNAL_SERVICE_RETRIES": "1",
    }


@pytest.fixture(scope="module")
def service(settings: dict[str, str], prometheus: Prometheus, logs: Path) -> Iterator[Service]:
    """A service that Prometheus scrapes."""
    with Service.running(settings, logs / "prometheus") as running:
        prometheus.scrape(running.url)
        yield running


def test_a_healthy_hour_raises_no_alert_and_shows_on_every_panel(
    service: Service, prometheus: Prometheus, upstreams: Upstreams
) -> None:
    """Two minutes of large rebalances, previews and optimisations, small ones, reads and orders stand for an hour."""
    started = time.monotonic()
    large = service.create_model(upstreams.securities(10), upstreams.world.portfolio_ids(0, 500))
    small = service.create_model(upstreams.securities(10), upstreams.world.portfolio_ids(500, 3))
    service.rebalance(small).raise_for_status()
    shares = []
    for round_ in itertools.count():
        shares.append(crowding())
        match round_ % 4:
            case 0:
                service.rebalance(large).raise_for_status()
            case 1:
                service.client.post(f"/api/v1/model/{large}/rebalance", json={"preview": True}).raise_for_status()
            case 2:
                service.client.post("/api/v1/optimizations", json=optimization(500, 10)).raise_for_status()
            case _:
                service.rebalance(small).raise_for_status()
        for path in ("/api/v1/models", "/api/v1/rebalances", f"/api/v1/model/{large}"):
            service.client.get(path).raise_for_status()
        if round_ == 1:
            rebalanced = service.rebalance(small).raise_for_status().json()
            service.client.post(f"/api/v1/rebalance/{rebalanced[0]['rebalanceId']}/orders").raise_for_status()
        if time.monotonic() - started > 3600 / COMPRESSION:
            break
    rules = prometheus.rules()
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    assert len(rules) == ALERTS.read_text().count("- alert:")
    # While the first scrape had not come, nothing was scraped, and that is an alert.
    fired = prometheus.fired(time.monotonic() - started - FIRST_SECONDS)
    print(f"\nprocessors shared by {statistics.fmean(shares):.1f}; fired: {fired or 'nothing'}")
    assert fired <= (OF_SLOWNESS if statistics.fmean(shares) > CROWDED else set())
    empty = {query.place for query in dashboard_queries() if not prometheus.query(compressed_query(query.text))}
    assert empty == WITHOUT_DATA_WHEN_HEALTHY


def crowding() -> float:
    """Return how much longer than its processor time a short computation takes: 1 on a free machine."""
    started, used = time.perf_counter(), time.thread_time()
    while time.thread_time() - used < SPIN_SECONDS:
        pass
    return (time.perf_counter() - started) / SPIN_SECONDS


@contextmanager
def fault(upstreams: Upstreams, upstream: Upstream, *faults: Fault) -> Iterator[None]:
    """Have an upstream fail until the block ends."""
    upstreams.inject(upstream, *faults)
    try:
        yield
    finally:
        upstreams.restore()


@pytest.fixture
def model_id(service: Service, upstreams: Upstreams) -> str:
    """A model of ten portfolios."""
    return service.create_model(upstreams.securities(10), [upstreams.portfolio() for _ in range(10)])


def test_an_upstream_that_refuses_is_noticed(
    service: Service, prometheus: Prometheus, upstreams: Upstreams, model_id: str
) -> None:
    """By its circuit, and by the requests and portfolios that fail."""
    with fault(upstreams, Upstream.PORTFOLIO_ACCOUNTING, Refuse()):
        prometheus.await_alerts(
            {
                "OrderGenerationCircuitOpen",
                "OrderGenerationRequestsFail",
                "OrderGenerationPortfoliosFail",
            },
            PATIENCE_SECONDS,
            cause=lambda: service.rebalance(model_id),
        )
    await_recovery(lambda: service.rebalance(model_id).status_code == 200)


def test_an_upstream_that_fails_now_and_then_is_noticed(
    service: Service, prometheus: Prometheus, upstreams: Upstreams, model_id: str
) -> None:
    """Every third call, which never opens the circuit: by the retries."""
    with fault(upstreams, Upstream.PORTFOLIO_ACCOUNTING, ErrorStatus(status=503, calls=1, pause=2)):
        prometheus.await_alerts(
            {"OrderGenerationUpstreamRetries"}, PATIENCE_SECONDS, cause=lambda: service.rebalance(model_id)
        )


def test_a_slow_upstream_is_noticed(
    service: Service, prometheus: Prometheus, upstreams: Upstreams, model_id: str
) -> None:
    """By its own time, and by that of the requests."""
    with fault(upstreams, Upstream.PORTFOLIO_ACCOUNTING, Delay(seconds=1.5)):
        prometheus.await_alerts(
            {"OrderGenerationUpstreamSlow", "OrderGenerationRequestsSlow"},
            PATIENCE_SECONDS,
            cause=lambda: service.rebalance(model_id),
        )


def test_infeasible_portfolios_are_noticed(service: Service, prometheus: Prometheus, upstreams: Upstreams) -> None:
    """A model without drift that no whole shares can meet."""
    portfolios = [upstreams.portfolio() for _ in range(10)]
    exact = service.create_model(upstreams.securities(10), portfolios, drift="0")
    prometheus.await_alerts({"OrderGenerationInfeasible"}, PATIENCE_SECONDS, cause=lambda: service.rebalance(exact))


def test_lost_solver_processes_are_noticed(service: Service, prometheus: Prometheus, model_id: str) -> None:
    """First whenever they are ready, which counts as losses; then as soon as they start, so that none is there."""

    def kill() -> None:
        with suppress(psutil.NoSuchProcess):
            for process in service.solvers():
                process.kill()

    def kill_when_all_are_there() -> None:
        if service.scrape().value("order_generation_solver_processes") == 2:
            kill()

    with ThreadPoolExecutor(max_workers=1) as pool:
        prometheus.await_alerts({"OrderGenerationSolverRestarts"}, PATIENCE_SECONDS, cause=kill_when_all_are_there)
        rebalancing = pool.submit(service.rebalance, model_id)
        prometheus.await_alerts(
            {"OrderGenerationSolversMissing", "OrderGenerationSolversAway"}, PATIENCE_SECONDS, cause=kill
        )
        rebalancing.result()
    await_recovery(lambda: service.rebalance(model_id).status_code == 200)


def test_a_queue_that_grows_is_noticed(service: Service, prometheus: Prometheus, upstreams: Upstreams) -> None:
    """Solver processes that stand still, while ten large rebalances wait."""
    large = service.create_model(upstreams.securities(10), upstreams.world.portfolio_ids(1000, 100))

    def stop() -> None:
        with suppress(psutil.NoSuchProcess):
            for process in service.solvers():
                process.suspend()

    with ThreadPoolExecutor(max_workers=10) as pool:
        stop()
        requests = [
            pool.submit(httpx.post, f"{service.url}/api/v1/model/{large}/rebalance", timeout=90) for _ in range(10)
        ]
        prometheus.await_alerts({"OrderGenerationQueueGrows"}, PATIENCE_SECONDS, cause=stop)
        for process in service.solvers():
            with suppress(psutil.NoSuchProcess):
                process.resume()
        for request in requests:
            request.result()
    await_recovery(lambda: service.rebalance(large).status_code == 200)


def test_a_database_that_is_away_is_noticed(
    service: Service, prometheus: Prometheus, own_mongod: EmbeddedMongod, model_id: str
) -> None:
    """And so are the rebalances that it does not store."""
    with MongoClient[dict[str, object]](own_mongod.url) as client:
        pid = client.admin.command("serverStatus")["pid"]
    ended = threading.Event()

    def rebalance() -> None:
        while not ended.is_set():
            service.rebalance(model_id)

    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(rebalance)
        stopped = itertools.cycle((signal.SIGSTOP, signal.SIGCONT))

        def interrupt() -> None:
            os.kill(pid, next(stopped))
            time.sleep(3)

        try:
            prometheus.await_alerts(
                {"OrderGenerationDatabaseAway", "OrderGenerationRebalancesNotStored"},
                PATIENCE_SECONDS,
                cause=interrupt,
            )
        finally:
            os.kill(pid, signal.SIGCONT)
            ended.set()
        running.result()
    await_recovery(lambda: service.rebalance(model_id).status_code == 200)


def test_a_worker_that_restarts_is_noticed(service: Service, prometheus: Prometheus) -> None:
    """The server starts another one, and only the start time of the process shows it."""
    (worker,) = [each for each in psutil.Process(service.process.pid).children() if each.children()]
    worker.kill()
    prometheus.await_alerts({"OrderGenerationWorkerRestarts"}, PATIENCE_SECONDS)


def test_a_missing_instance_is_noticed_and_then_that_there_is_none(
    settings: dict[str, str], prometheus: Prometheus, service: Service, logs: Path
) -> None:
    """One of two instances stands still; then both are gone."""
    with Service.running(settings, logs / "second") as second:
        prometheus.scrape(service.url, second.url)
        time.sleep(FIRST_SECONDS)
        family = [
            second.process.pid,
            *(each.pid for each in psutil.Process(second.process.pid).children(recursive=True)),
        ]
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        try:
            prometheus.await_alerts({"OrderGenerationInstanceDown"}, PATIENCE_SECONDS)
        finally:
            for pid in family:
                os.kill(pid, signal.SIGCONT)
        prometheus.scrape()
        prometheus.await_alerts({"OrderGenerationAbsent"}, PATIENCE_SECONDS)
        prometheus.scrape(service.url)
