"""The metrics of a running service, as Prometheus and a collector read them."""

import uuid
from itertools import count, repeat

import pytest
from prometheus_client import generate_latest

from app.observability.metrics import HTTP_MILLISECONDS, Metrics
from app.observability.upstream import UpstreamObserver
from integrations import ServiceError, ServiceSettings, UpstreamSettings, open_upstreams
from persistence.embedded import free_port
from tests.harness.collector import Received
from tests.harness.service import Scrape, Service, until
from tests.harness.upstreams import Upstreams

IN_ALL = {"method", "path", "status"}


@pytest.fixture(scope="module")
def model_id(traced: Service, upstreams: Upstreams) -> str:
    """A model of two portfolios that trade and one that cannot be priced."""
    unpriced = upstreams.portfolio("1000", {upstreams.world.unpriced_security_ids()[0]: "5"})
    return traced.create_model(upstreams.securities(10), [*upstreams.world.portfolio_ids(0, 2), unpriced])


def settled(service: Service) -> Scrape:
    """Scrape once every earlier request is counted, which it is after its response was sent."""
    return until(lambda: (found := service.scrape()).value("http_requests_in_flight") == 1 and found) or Scrape("")


def test_the_suites_three_metrics_are_exact(traced: Service) -> None:
    """Names, labels, buckets in milliseconds, and that they say the same of the same requests."""
    for path in ("/health/live", "/api/v1/models", "/nowhere"):
        traced.client.get(path)
    scrape = settled(traced)
    counted = scrape.labels("http_requests_total")
    assert {frozenset(labels) for labels in counted} == {frozenset(IN_ALL)}
    assert {frozenset(labels) for labels in scrape.labels("http_request_duration_bucket")} == {
        frozenset(IN_ALL | {"le"})
    }
    for labels in counted:
        count = scrape.value("http_requests_total", **labels)
        assert scrape.value("http_request_duration_count", **labels) == count > 0
        buckets = [each for each in scrape.samples if each.name == "http_request_duration_bucket"]
        bounds = [each.labels["le"] for each in buckets if labels.items() <= each.labels.items()]
        assert bounds == [*(f"{bound:.1f}" for bound in HTTP_MILLISECONDS), "+Inf"]
    assert scrape.labels("http_requests_in_flight") == [{}]
    assert {"/health/live", "/api/v1/models", "unknown"} <= {labels["path"] for labels in counted}


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", "/health/live", {"path": "/health/live", "status": "200"}),
        ("GET", "/health/ready", {"path": "/health/ready", "status": "200"}),
        ("GET", "/metrics", {"path": "/metrics", "status": "200"}),
        ("GET", "/docs/openapi.json", {"path": "/docs/openapi.json", "status": "200"}),
        ("PUT", "/health/live", {"path": "/health/live", "status": "405"}),
        ("GET", f"/api/v1/rebalance/{'0' * 24}", {"path": "/api/v1/rebalance/{rebalance_id}", "status": "404"}),
        ("POST", "/api/v1/models", {"path": "/api/v1/models", "status": "415"}),
        ("GET", "/wp-admin", {"path": "unknown", "status": "404"}),
        ("BREW", "/api/v1/models", {"path": "/api/v1/models", "status": "405"}),
    ],
)
def test_every_request_is_counted(traced: Service, method: str, path: str, labels: dict[str, str]) -> None:
    """The counter of its method, template and status grows by one, for probes, unknown routes and bad bodies alike."""
    labels = labels | {"method": method.replace("BREW", "OTHER")}
    before = settled(traced).value("http_requests_total", **labels)
    traced.client.request(method, path, content="text" if method == "POST" else None)
    scrapes = count(1) if path == "/metrics" else repeat(0)
    until(lambda: traced.scrape().value("http_requests_total", **labels) == before + 1 + next(scrapes))


def test_a_preflight_request_is_counted_under_its_route(traced: Service) -> None:
    """The label is the template of the route, not the path with its id."""
    headers = {"Origin": "http://portal", "Access-Control-Request-Method": "GET"}
    traced.client.options("/api/v1/model/0123456789abcdef01234567", headers=headers)
    labels = {"method": "OPTIONS", "path": "/api/v1/model/{model_id}", "status": "204"}
    assert settled(traced).value("http_requests_total", **labels) == 1


def test_no_caller_can_make_the_metrics_grow(traced: Service) -> None:
    """Unknown routes, ids and methods end in the same series, however many there are."""

    def storm() -> int:
        for _ in range(20):
            name = uuid.uuid4().hex
            traced.client.get(f"/{name}/{name}?{name}={name}")
            traced.client.get(f"/api/v1/model/{name[:24]}")
            traced.client.get(f"/static/{name}")
            traced.client.get(f"/docs/{name}")
            traced.client.request(name[:10], "/api/v1/models")
        return len(settled(traced).samples)

    assert storm() == storm()


def test_a_rebalance_shows_in_the_business_metrics(traced: Service, model_id: str) -> None:
    """One partial rebalance adds its portfolios, failures, durations, trades and traded value."""
    before, response, after = settled(traced), traced.rebalance(model_id).json(), settled(traced)

    def grown(name: str, **labels: str) -> float:
        name = f"order_generation_{name}"
        return after.value(name, **labels) - before.value(name, **labels)

    orders = [order for portfolio in response for order in portfolio["transactions"]]
    assert grown("rebalances_total", outcome="partial") == 1
    assert grown("portfolios_rebalanced_total") == 2
    assert grown("portfolios_failed_total", code="PRICE_UNAVAILABLE") == 1
    assert grown("portfolios_failed_total") == 1
    assert grown("portfolio_seconds_count") == 3
    assert grown("trades_total", side="BUY") == len(orders) == 20
    assert grown("trades_total", side="SELL") == 0
    spent = sum(portfolio["cashBeforeRebalance"] - portfolio["cashAfterRebalance"] for portfolio in response[:2])
    assert grown("traded_value_total", side="BUY") == pytest.approx(spent)
    assert grown("portfolio_turnover_sum") == pytest.approx(2 * 0.95, abs=0.01)
    assert grown("portfolio_drift_sum", moment="before") == pytest.approx(2 * 0.95)
    assert grown("portfolio_drift_sum", moment="after") < 0.01


def test_a_rebalance_shows_in_the_metrics_of_its_parts(traced: Service, model_id: str) -> None:
    """Solver, upstreams, caches and database."""
    before, _, after = settled(traced), traced.rebalance(model_id), settled(traced)

    def grown(name: str, **labels: str) -> float:
        name = f"order_generation_{name}"
        return after.value(name, **labels) - before.value(name, **labels)

    assert grown("solver_outcomes_total", outcome="solved") == 2
    assert grown("solver_seconds_count", path="ROUNDING") == 2
    assert grown("solver_queue_seconds_count") == 2
    assert grown("solver_gap_bucket", le="0.0") == 2, "proven optimal"
    assert grown("upstream_request_seconds_count", service="portfolio-accounting", outcome="ok") == 3
    assert grown("cache_reads_total", cache="securities", result="hit") == 1
    assert grown("database_command_seconds_count", command="insert", outcome="ok") == 1
    assert grown("database_checkout_seconds_count") >= 3
    assert after.value("order_generation_database_connections", state="open") >= 1


def test_each_process_has_its_figures(traced: Service) -> None:
    """By its place in the pool, so that a replaced process does not begin a new series."""
    scrape = traced.scrape()
    names = {labels["process"] for labels in scrape.labels("order_generation_process_resident_bytes")}
    assert names == {"api", "solver-0", "solver-1"}
    solver = max(process.memory_info().rss for process in traced.solvers())
    measured = scrape.value("order_generation_process_resident_bytes", process="solver-0")
    assert measured == pytest.approx(solver, rel=0.3)
    assert scrape.value("order_generation_process_cpu_seconds_total", process="api") > 0
    assert scrape.value("process_resident_memory_bytes") > 0


def test_a_lost_solver_process_is_counted_and_replaced_in_its_place(traced: Service) -> None:
    """The successor has the same name in the metrics, and the log says which signal ended the process."""
    before = traced.scrape().value("order_generation_solver_restarts_total")
    lost = traced.solvers()[0]
    lost.kill()
    until(lambda: traced.scrape().value("order_generation_solver_restarts_total") == before + 1)
    until(lambda: traced.scrape().value("order_generation_solver_processes") == 2)
    assert traced.scrape().value("order_generation_solver_processes_wanted") == 2
    line = traced.line(event="solver process lost", pid=lost.pid)
    assert "killed by signal 9" in line["reason"]
    names = {labels["process"] for labels in traced.scrape().labels("order_generation_process_resident_bytes")}
    assert names == {"api", "solver-0", "solver-1"}


def test_the_collector_gets_what_prometheus_reads(traced: Service, received: Received, model_id: str) -> None:
    """The same names, labels and numbers."""
    traced.rebalance(model_id)
    scrape = settled(traced)
    labels = {"method": "POST", "path": "/api/v1/model/{model_id}/rebalance", "status": "200"}
    requests = scrape.value("http_request_duration_count", **labels)

    def counts() -> dict[tuple[str, ...], int]:
        points = received.metric("http_request_duration").histogram.data_points
        return {tuple(each.value.string_value for each in point.attributes): point.count for point in points}

    until(lambda: counts().get(tuple(labels.values())) == requests)
    [rebalanced] = received.metric("order_generation_portfolios_rebalanced_total").sum.data_points
    assert rebalanced.as_double == scrape.value("order_generation_portfolios_rebalanced_total")
    duration = received.metric("http_request_duration")
    assert duration.unit == "ms"
    points = {
        tuple(attribute.value.string_value for attribute in point.attributes): point
        for point in duration.histogram.data_points
    }
    point = points[tuple(labels.values())]
    assert tuple(point.explicit_bounds) == HTTP_MILLISECONDS
    assert sum(point.bucket_counts) == point.count == requests
    assert point.sum == pytest.approx(scrape.value("http_request_duration_sum", **labels))
    below_100 = HTTP_MILLISECONDS.index(100) + 1
    assert sum(point.bucket_counts[:below_100]) == scrape.value("http_request_duration_bucket", le="100.0", **labels)
    assert {f"{name}_total" if family.type == "counter" else name for name, family in scrape.families.items()} == set(
        received.metrics
    )
    assert received.metric("order_generation_solver_queue_depth").gauge.data_points[0].as_double == 0


def test_openmetrics_is_given_to_who_asks_for_it(traced: Service) -> None:
    """The Accept header selects the OpenMetrics text format, which ends with its own marker."""
    response = traced.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


async def test_a_failing_upstream_shows_in_the_metrics() -> None:
    """Attempts by outcome, retries, refusals by the breaker and its changes."""
    nowhere = f"http://127.0.0.1:{free_port()}"

    def service(name: str) -> ServiceSettings:
        return ServiceSettings(name=name, url=nowhere, retries=1, breaker_failures=2)

    settings = UpstreamSettings(
        portfolio_accounting=service("portfolio-accounting"),
        security=service("security"),
        pricing=service("pricing"),
        portfolio=service("portfolio"),
        order=service("order"),
    )
    metrics = Metrics()
    async with open_upstreams(settings, UpstreamObserver(metrics)) as upstreams:
        for _ in range(2):
            with pytest.raises(ServiceError):
                await upstreams.accounting.holdings("0" * 24, deadline=None)
    scrape = Scrape(generate_latest(metrics.registry).decode())
    of_service = {"service": "portfolio-accounting"}
    assert scrape.value("order_generation_upstream_request_seconds_count", outcome="connection", **of_service) == 2
    assert scrape.value("order_generation_upstream_retries_total", cause="connection", **of_service) == 1
    assert scrape.value("order_generation_upstream_rejections_total", **of_service) == 1
    assert scrape.value("order_generation_upstream_breaker_changes_total", state="open", **of_service) == 1
