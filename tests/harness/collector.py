"""A collector: receives traces and metrics by OTLP, over gRPC and over HTTP, in the test's own process."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, override

import grpc  # type: ignore[import-untyped]
from msgspec import Struct
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.harness.api import PATIENCE_SECONDS


class Span(Struct, frozen=True):
    """A received span; ids in hexadecimal, times in nanoseconds since 1970."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    began: int
    ended: int
    failed: bool
    attributes: dict[str, object]
    resource: dict[str, object]


class Received:
    """What has come in so far."""

    def __init__(self) -> None:
        self.arrival = threading.Condition()
        self.spans: list[Span] = []
        self.metrics: dict[str, Metric] = {}

    def trace(self, trace_id: str, *, until: str, seconds: float = PATIENCE_SECONDS) -> list[Span]:
        """Give the spans of a trace once the one of this name, which ends last, has come."""
        with self.arrival:
            assert self.arrival.wait_for(
                lambda: any(span.name == until and span.trace_id == trace_id for span in self.spans), seconds
            ), f"no {until!r} in {[span.name for span in self.spans]}"
            return [span for span in self.spans if span.trace_id == trace_id]

    def metric(self, name: str, *, seconds: float = PATIENCE_SECONDS) -> Metric:
        """Give the metric as it came last."""
        with self.arrival:
            assert self.arrival.wait_for(lambda: name in self.metrics, seconds), f"no {name} in {list(self.metrics)}"
            return self.metrics[name]

    def take_traces(self, request: trace_service_pb2.ExportTraceServiceRequest) -> None:
        with self.arrival:
            for group in request.resource_spans:
                resource = {each.key: _value(each.value) for each in group.resource.attributes}
                self.spans += [_span(span, resource) for scope in group.scope_spans for span in scope.spans]
            self.arrival.notify_all()

    def take_metrics(self, request: metrics_service_pb2.ExportMetricsServiceRequest) -> None:
        with self.arrival:
            for group in request.resource_metrics:
                for scope in group.scope_metrics:
                    self.metrics |= {metric.name: metric for metric in scope.metrics}
            self.arrival.notify_all()


@contextmanager
def grpc_collector() -> Iterator[tuple[str, Received]]:
    """A collector at `host:port`."""
    received = Received()

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        @override
        def Export(self, request: Any, context: Any) -> trace_service_pb2.ExportTraceServiceResponse:
            received.take_traces(request)
            return trace_service_pb2.ExportTraceServiceResponse()

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        @override
        def Export(self, request: Any, context: Any) -> metrics_service_pb2.ExportMetricsServiceResponse:
            received.take_metrics(request)
            return metrics_service_pb2.ExportMetricsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)  # type: ignore[no-untyped-call]
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", received
    finally:
        server.stop(None).wait()


@contextmanager
def http_collector() -> Iterator[tuple[str, Received]]:
    """A collector at a base URL."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                received.take_traces(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
            else:
                assert self.path == "/v1/metrics"
                received.take_metrics(metrics_service_pb2.ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join()


def _span(span: trace_pb2.Span, resource: dict[str, object]) -> Span:
    return Span(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        attributes={each.key: _value(each.value) for each in span.attributes},
        resource=resource,
    )


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
