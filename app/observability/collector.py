"""Where traces and metrics are sent, as the OpenTelemetry specification's variables say it: nowhere by default.

`OTEL_COLLECTOR_GRPC_ENDPOINT`, which the suite's manifests set, stands in for `OTEL_EXPORTER_OTLP_ENDPOINT`.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Literal, cast, get_args

from dotenv import dotenv_values
from msgspec import Struct

from app.errors.codes import InvalidSetting
from app.observability.metrics import Metrics
from app.observability.tracing import NO_TRACING, Tracing

type Protocol = Literal["grpc", "http/protobuf"]
PROTOCOLS: Final = get_args(Protocol.__value__)

SUITE_ENDPOINT: Final = "OTEL_COLLECTOR_GRPC_ENDPOINT"
GRPC_PORT: Final = ":4317"


class Destination(Struct, frozen=True):
    """Where one kind of signal is sent.

    Attributes:
        protocol: how.
        endpoint: where; None where OpenTelemetry's own variables say it, and all that belongs to it.
    """

    protocol: Protocol
    endpoint: str | None


class Collector(Struct, frozen=True):
    """Where traces and metrics go; None for nowhere."""

    traces: Destination | None
    metrics: Destination | None


def load_collector(environment: Mapping[str, str | None] | None = None) -> Collector:
    """Read where to send traces and metrics.

    Args:
        environment: variables to read; by default the process's own, to which OpenTelemetry's from a `.env` file
            beside it are added, because its libraries look nowhere else.

    Raises:
        InvalidSetting: naming the variable and what it accepts.
    """
    if environment is None:
        for name, value in dotenv_values(".env").items():
            if name.startswith("OTEL_") and value:
                os.environ.setdefault(name, value)
        environment = os.environ
    # An empty variable is how a manifest says "not set".
    chosen = {name: value for name, value in environment.items() if name.startswith("OTEL_") and value}
    if chosen.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Collector(None, None)
    return Collector(_destination("TRACES", chosen), _destination("METRICS", chosen))


def _destination(signal: str, chosen: Mapping[str, str]) -> Destination | None:
    exporter = f"OTEL_{signal}_EXPORTER"
    if chosen.get(exporter, "otlp") not in {"otlp", "none"}:
        raise InvalidSetting(exporter, "accepts `otlp` or `none`")
    if chosen.get(exporter) == "none":
        return None
    endpoint = chosen.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or chosen.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if endpoint is not None:
        return Destination(_protocol(signal, endpoint, chosen), None)
    if (endpoint := chosen.get(SUITE_ENDPOINT)) is not None:
        return Destination("grpc", endpoint if "://" in endpoint else f"http://{endpoint}")
    return None


def _protocol(signal: str, endpoint: str, chosen: Mapping[str, str]) -> Protocol:
    """Give the protocol that is asked for, else the one that is at home on the endpoint's port."""
    for variable in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if asked := chosen.get(variable):
            if asked not in PROTOCOLS:
                raise InvalidSetting(variable, f"accepts {' or '.join(f'`{each}`' for each in PROTOCOLS)}")
            return cast("Protocol", asked)
    return "grpc" if endpoint.rstrip("/").endswith(GRPC_PORT) else "http/protobuf"


def open_tracing(collector: Collector) -> Tracing:
    """Give the tracing that sends to the collector; without one, OpenTelemetry is not even imported."""
    if collector.traces is None:
        return NO_TRACING
    from app.observability.opentelemetry import OpenTelemetryTracing  # noqa: PLC0415

    return OpenTelemetryTracing(collector.traces)


def export_metrics(collector: Collector, metrics: Metrics) -> AbstractContextManager[None]:
    """Send the metrics to the collector, every minute or as `OTEL_METRIC_EXPORT_INTERVAL` says, and once at the end."""
    if collector.metrics is None:
        return nullcontext()
    from app.observability.metric_export import exporting  # noqa: PLC0415

    return exporting(metrics.registry, collector.metrics)
