"""Traces of a running service, as a collector receives them, and what is left of them while there is none."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from app.errors.codes import InvalidSettings
from app.observability.collector import Collector, Destination, load_collector
from persistence.embedded import free_port
from tests.app.observability.conftest import SOON
from tests.harness.collector import Received, Span, http_collector
from tests.harness.service import Service, connecting
from tests.harness.upstreams import Upstreams

CALLER = "5" * 16
REBALANCE = "POST /api/v1/model/{model_id}/rebalance"


def traceparent(trace_id: str) -> str:
    return f"00-{trace_id}-{CALLER}-01"


@pytest.fixture(scope="module")
def model_id(traced: Service, upstreams: Upstreams) -> str:
    """A model of two portfolios that trade and one that cannot be priced."""
    unpriced = upstreams.portfolio("1000", {upstreams.world.unpriced_security_ids()[0]: "5"})
    return traced.create_model(upstreams.securities(10), [*upstreams.world.portfolio_ids(0, 2), unpriced])


@pytest.fixture(scope="module")
def trace(traced: Service, received: Received, model_id: str) -> list[Span]:
    """All spans of one rebalance, in the trace of its caller."""
    trace_id = "a1" * 16
    assert traced.rebalance(model_id, traceparent=traceparent(trace_id)).status_code == 200
    return received.trace(trace_id, until=REBALANCE)


def children(trace: list[Span], parent: Span) -> list[Span]:
    return [span for span in trace if span.parent_id == parent.span_id]


def named(trace: list[Span], name: str) -> list[Span]:
    return [span for span in trace if span.name == name]


def test_one_trace_shows_the_whole_rebalance(trace: list[Span], model_id: str) -> None:
    """Request, database, upstreams, and for each portfolio its holdings, its wait, its solve and its record."""
    (request,) = named(trace, REBALANCE)
    assert (request.parent_id, request.kind, request.failed) == (CALLER, "SERVER", False)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/v1/model/{model_id}/rebalance",
        "http.response.status_code": 200,
    }
    (rebalance,) = named(trace, "rebalance")
    assert rebalance in children(trace, request)
    assert rebalance.attributes["model.id"] == model_id
    assert (rebalance.attributes["completed"], rebalance.attributes["failed"]) == (2, 1)
    below = children(trace, rebalance)
    database = [span for span in below if span.attributes.get("db.system.name") == "mongodb"]
    (stored,) = [span for span in database if span.attributes["db.collection.name"] == "rebalances"]
    assert stored.name.endswith(".insert")
    asked = [str(span.attributes["url.full"]) for span in below if span.kind == "CLIENT" and span not in database]
    assert [url for url in asked if "/api/v1/prices" in url]
    portfolios = named(below, "portfolio")
    assert len(portfolios) == 3
    for portfolio in portfolios:
        steps = sorted(children(trace, portfolio), key=lambda span: span.began)
        assert "/api/v1/balances" in str(steps[0].attributes["url.full"])
        if "code" in portfolio.attributes:
            assert portfolio.attributes["code"] == "PRICE_UNAVAILABLE"
        else:
            assert [span.name for span in steps[1:]] == ["wait for solver", "solve", "record"]
    assert sum("code" in portfolio.attributes for portfolio in portfolios) == 1


def test_spans_lie_within_their_parents(trace: list[Span]) -> None:
    """The solver process measures on its own clock, which is the same one; a millisecond is left to arithmetic."""
    by_id = {span.span_id: span for span in trace}
    inner = [span for span in trace if span.parent_id in by_id]
    assert len(inner) > 10
    for span in inner:
        parent = by_id[span.parent_id]
        assert parent.began - 1_000_000 <= span.began <= span.ended <= parent.ended + 1_000_000, (span, parent)


def test_solves_carry_the_number_of_their_process(trace: list[Span], traced: Service) -> None:
    """A span of a solve has the pid of one of the service's solver processes and the path of the solution."""
    pids = {span.attributes["process.pid"] for span in named(trace, "solve")}
    assert pids
    assert pids <= {process.pid for process in traced.solvers()}
    assert all(span.attributes["solver.path"] == "ROUNDING" for span in named(trace, "solve"))


def test_spans_say_whose_they_are(trace: list[Span]) -> None:
    """Every span carries name, version and instance of the service."""
    for span in trace:
        assert span.resource["service.name"] == "globeco-order-generation-service"
        assert span.resource["service.version"]
        assert span.resource["service.instance.id"]


def test_upstreams_are_called_within_the_trace(traced: Service, upstreams: Upstreams, model_id: str) -> None:
    """Each with the id of the very span that calls it, and with the correlation id."""
    upstreams.forget_calls()
    traced.rebalance(model_id, traceparent=traceparent("b2" * 16), X_Correlation_ID="calling")
    calls = [call for call in upstreams.calls() if call["correlationId"] == "calling"]
    assert len(calls) >= 3
    assert all(call["traceparent"].split("-")[1] == "b2" * 16 for call in calls)
    assert len({call["traceparent"].split("-")[2] for call in calls}) == len(calls)


def test_errors_log_lines_and_failures_name_the_trace(traced: Service, model_id: str) -> None:
    """The caller's trace id is in the error envelope, in the log line and in a failed portfolio."""
    trace_id = "c3" * 16
    response = traced.client.get("/nowhere", headers={"traceparent": traceparent(trace_id), "X-Correlation-ID": "lost"})
    assert response.json()["error"]["traceId"] == trace_id
    assert traced.line(event="request", correlation_id="lost")["trace_id"] == trace_id
    failed = traced.rebalance(model_id, traceparent=traceparent(trace_id)).json()[2]
    assert failed["error"]["traceId"] == trace_id


def test_a_request_of_no_trace_begins_one(traced: Service, received: Received) -> None:
    """Without a traceparent, the request's span is a root, and an unknown route has no template."""
    trace_id = traced.client.get("/nowhere").json()["error"]["traceId"]
    (span,) = received.trace(trace_id, until="GET")
    assert span.parent_id == ""
    assert "http.route" not in span.attributes


def test_probes_and_upkeep_are_nobodys_trace(traced: Service, received: Received) -> None:
    """Neither health checks and scrapes nor the looks at the database."""
    for path in ("/health/live", "/health/ready", "/metrics"):
        traced.client.get(path)
    later = traced.client.get("/nowhere").json()["error"]["traceId"]
    received.trace(later, until="GET")
    names = {span.name for span in received.spans}
    assert not [name for name in names if "health" in name or "metrics" in name or "ping" in name]


@pytest.fixture(scope="module")
def over_http(
    mongodb_url: str, database_name: str, upstreams: Upstreams, logs: Path
) -> Iterator[tuple[Service, Received]]:
    """A service in the specification's way, which samples nothing of its own accord."""
    with http_collector() as (endpoint, received):
        environment = {
            **connecting(mongodb_url, upstreams),
            "DATABASE_NAME": database_name,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_SERVICE_NAME": "renamed",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
            "LOG_LEVEL": "ERROR",
            **SOON,
        }
        with Service.running(environment, logs / "over-http") as service:
            yield service, received


def test_http_and_the_specifications_variables_are_honoured(over_http: tuple[Service, Received]) -> None:
    """Endpoint, name, resource and sampler; an error still names its trace where that is not sampled."""
    service, received = over_http
    unsampled = service.client.get("/nowhere").json()["error"]["traceId"]
    sampled = "d4" * 16
    service.client.get("/nowhere", headers={"traceparent": traceparent(sampled)})
    (span,) = received.trace(sampled, until="GET")
    assert span.resource["service.name"] == "renamed"
    assert span.resource["deployment.environment"] == "test"
    assert {span.trace_id for span in received.spans} == {sampled}
    assert unsampled not in {sampled, ""}
    assert received.metric("http_requests_total").sum.is_monotonic
    in_flight = received.metric("http_requests_in_flight")
    # An UpDownCounter, as the suite's services send it.
    assert (in_flight.WhichOneof("data"), in_flight.unit) == ("sum", "1")
    assert not in_flight.sum.is_monotonic


def test_the_logs_level_is_honoured(over_http: tuple[Service, Received]) -> None:
    """By the service's own lines and by the server's."""
    service, _ = over_http
    service.client.get("/nowhere")
    assert service.log.read_text() == ""


def test_a_collector_that_is_away_costs_nothing_but_the_traces(
    mongodb_url: str, database_name: str, upstreams: Upstreams, tmp_path: Path
) -> None:
    """Requests are served, and the end does not wait for the half minute in which exporters give up."""
    environment = {
        **connecting(mongodb_url, upstreams),
        "DATABASE_NAME": database_name,
        "OTEL_COLLECTOR_GRPC_ENDPOINT": f"127.0.0.1:{free_port()}",
        **SOON,
    }
    with Service.running(environment, tmp_path / "log") as service:
        service.client.get("/api/v1/models").raise_for_status()
        asked = time.monotonic()
        service.process.terminate()
        assert service.process.wait(20) == 0
        assert time.monotonic() - asked < 15


OFF = """
import sys
from app.main import create_app
from app.observability.metrics import Metrics
from app.observability.collector import export_metrics, load_collector

create_app()
with export_metrics(load_collector(), Metrics()):
    # Litestar always looks for its own plugin, and so imports a few constants of OpenTelemetry.
    heavy = ("opentelemetry.sdk", "opentelemetry.trace", "opentelemetry.exporter", "grpc", "google.protobuf")
    print([module for module in sys.modules if module.startswith(heavy)])
"""


def test_while_it_is_off_its_libraries_are_not_even_imported() -> None:
    """A service without a collector loads no module of OpenTelemetry's SDK."""
    ended = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_while_it_is_off_a_callers_trace_passes_through(untraced: Service, upstreams: Upstreams) -> None:
    """Unchanged, and what is no traceparent is not passed on; errors name the correlation id."""
    portfolio_id = upstreams.portfolio("1000")
    model_id = untraced.create_model(upstreams.securities(1), [portfolio_id])
    upstreams.forget_calls()
    untraced.rebalance(model_id, traceparent=traceparent("e5" * 16), X_Correlation_ID="through")
    untraced.rebalance(model_id, traceparent="made up", X_Correlation_ID="refused")
    passed = {call["correlationId"]: call["traceparent"] for call in upstreams.calls()}
    assert passed == {"through": traceparent("e5" * 16), "refused": None}
    response = untraced.client.get("/nowhere", headers={"X-Correlation-ID": "mine"})
    assert response.json()["error"]["traceId"] == "mine"
    assert untraced.line(event="request", correlation_id="mine")["trace_id"] is None


GRPC, HTTP = Destination("grpc", None), Destination("http/protobuf", None)


@pytest.mark.parametrize(
    ("variables", "collector"),
    [
        ({}, Collector(None, None)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, Collector(None, None)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, Collector(HTTP, HTTP)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, Collector(GRPC, GRPC)),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            Collector(HTTP, HTTP),
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
            Collector(GRPC, HTTP),
        ),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"}, Collector(GRPC, None)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, Collector(None, HTTP)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, Collector(None, None)),
        (
            {"OTEL_COLLECTOR_GRPC_ENDPOINT": "10.0.0.1:4317"},
            Collector(Destination("grpc", "http://10.0.0.1:4317"), Destination("grpc", "http://10.0.0.1:4317")),
        ),
        (
            {"OTEL_COLLECTOR_GRPC_ENDPOINT": "https://c:4317", "OTEL_METRICS_EXPORTER": "none"},
            Collector(Destination("grpc", "https://c:4317"), None),
        ),
        (
            {"OTEL_COLLECTOR_GRPC_ENDPOINT": "c:4317", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://d:4318"},
            Collector(HTTP, HTTP),
        ),
    ],
)
def test_where_traces_and_metrics_go(variables: Mapping[str, str], collector: Collector) -> None:
    """The standard's variables take precedence over the suite's own, and an empty one counts as unset."""
    assert load_collector(variables) == collector


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier pigeon"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(variable: str, value: str) -> None:
    """An unsupported protocol or exporter is an invalid setting that names its variable."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", variable: value}
    with pytest.raises(InvalidSettings, match=f"{variable} accepts"):
        load_collector(variables)
