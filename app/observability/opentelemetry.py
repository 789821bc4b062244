"""Traces by OpenTelemetry. Only imported where a collector is configured: it costs 40 MB and half a second."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from threading import Thread
from typing import Final, cast

from opentelemetry import propagate, trace
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.pymongo import PymongoInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.semconv.attributes import http_attributes
from opentelemetry.trace import SpanKind, StatusCode
from structlog.contextvars import bound_contextvars

from app.observability.collector import Destination
from app.observability.tracing import Attribute, Headers, RequestSpan, Span

SERVICE: Final = "globeco-order-generation-service"
_SERVER_ERROR: Final = 500
_LAST_WORDS_SECONDS: Final = 1.5


def resource() -> Resource:
    """Return the source of all signals; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` come first."""
    own = Resource(
        {SERVICE_NAME: SERVICE, SERVICE_VERSION: version(SERVICE), SERVICE_INSTANCE_ID: socket.gethostname()}
    )
    return Resource.create().merge(own).merge(OTELResourceDetector().detect())


class OpenTelemetryTracing:
    """An `app.observability.tracing.Tracing` that sends to a collector."""

    def __init__(self, destination: Destination) -> None:
        # The names that OpenTelemetry has settled on, where its instrumentations still default to those before.
        os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")
        self._provider = TracerProvider(resource=resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(destination)))
        self._tracer = self._provider.get_tracer(SERVICE, version(SERVICE))
        AioHttpClientInstrumentor().instrument(tracer_provider=self._provider)
        PymongoInstrumentor().instrument(tracer_provider=self._provider)

    @contextmanager
    def request(self, headers: Headers) -> Iterator[RequestSpan]:
        """See `Tracing`."""
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        context = propagate.extract(carrier)
        with (
            self._tracer.start_as_current_span("request", context, SpanKind.SERVER) as span,
            _ids_in_log(span),
        ):
            yield _Request(span)

    @contextmanager
    def span(self, name: str, **attributes: Attribute) -> Iterator[Span]:
        """See `Tracing`."""
        with self._tracer.start_as_current_span(name, attributes=attributes) as span, _ids_in_log(span):
            yield _Noted(span)

    def record(self, name: str, began: float, ended: float, **attributes: Attribute) -> None:
        """See `Tracing`."""
        epoch = time.time_ns() - time.monotonic_ns()
        span = self._tracer.start_span(name, start_time=epoch + int(began * 1e9), attributes=attributes)
        span.end(epoch + int(ended * 1e9))

    def untraced(self) -> AbstractContextManager[None]:
        """See `Tracing`."""
        return cast("AbstractContextManager[None]", suppress_instrumentation())

    def close(self) -> None:
        """See `Tracing`."""
        AioHttpClientInstrumentor().uninstrument()
        PymongoInstrumentor().uninstrument()
        # By itself it waits half a minute for a collector that is away.
        closing = Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        closing.start()
        closing.join(_LAST_WORDS_SECONDS)


class _Noted:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, **attributes: Attribute) -> None:
        self._span.set_attributes(attributes)


class _Request:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def responded(self, method: str, route: str | None, status: int) -> None:
        span = self._span
        span.set_attribute(http_attributes.HTTP_REQUEST_METHOD, method)
        span.set_attribute(http_attributes.HTTP_RESPONSE_STATUS_CODE, status)
        if route is not None:
            span.set_attribute(http_attributes.HTTP_ROUTE, route)
        span.update_name(f"{method} {route}" if route else method)
        if status >= _SERVER_ERROR:
            span.set_status(StatusCode.ERROR)


def _ids_in_log(span: trace.Span) -> AbstractContextManager[None]:
    context = span.get_span_context()
    ids = {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}
    return cast("AbstractContextManager[None]", bound_contextvars(**ids))


def _exporter(destination: Destination) -> SpanExporter:
    if destination.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        return OTLPSpanExporter(destination.endpoint)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter as OTLPSpanExporterOverHTTP,
    )

    return OTLPSpanExporterOverHTTP(destination.endpoint)
