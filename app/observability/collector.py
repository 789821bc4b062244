"""Where traces and metrics are sent, as the OpenTelemetry specification's variables say it: nowhere by default.

`OTEL_COLLECTOR_GRPC_ENDPOINT`, which the suite's manifests set, stands in for `OTEL_EXPORTER_OTLP_ENDPOINT`.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Literal, cast, get_args
from urllib.parse import urlsplit

from dotenv import dotenv_values
from msgspec import Struct

from app.errors.codes import InvalidSetting, InvalidSettings
from app.observability.metrics import Metrics
from app.observability.tracing import NO_TRACING, Tracing

type Protocol = Literal["grpc", "http/protobuf"]
PROTOCOLS: Final = get_args(Protocol.__value__)

SIGNALS: Final = ("TRACES", "METRICS")
EXPORTERS: Final = ("otlp", "none")
_PROTOCOL_VARIABLE: Final = re.compile("OTEL_EXPORTER_OTLP_((TRACES|METRICS)_)?PROTOCOL")
_ENDPOINT_VARIABLE: Final = re.compile("OTEL_EXPORTER_OTLP_((TRACES|METRICS)_)?ENDPOINT")

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
        InvalidSettings: naming each wrong variable, what it accepts, and its value.
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
    if faults := [*_faults(chosen)]:
        raise InvalidSettings(faults)
    return Collector(_destination("TRACES", chosen), _destination("METRICS", chosen))


def _faults(chosen: Mapping[str, str]) -> Iterator[InvalidSetting]:
    for signal in SIGNALS:
        if (found := chosen.get(f"OTEL_{signal}_EXPORTER", "otlp")) not in EXPORTERS:
            yield InvalidSetting(f"OTEL_{signal}_EXPORTER", f"accepts {_alternatives(EXPORTERS)}", found)
    for variable in (name for name in chosen if _PROTOCOL_VARIABLE.fullmatch(name)):
        if (found := chosen[variable]) not in PROTOCOLS:
            yield InvalidSetting(variable, f"accepts {_alternatives(PROTOCOLS)}", found)
    for variable in (name for name in chosen if _ENDPOINT_VARIABLE.fullmatch(name)):
        if not _is_url(found := chosen[variable]):
            hidden = "@" in found
            yield InvalidSetting(variable, "accepts a URL such as `http://collector:4317`", None if hidden else found)
    suite = chosen.get(SUITE_ENDPOINT)
    if suite and not _is_url(suite if "://" in suite else f"http://{suite}"):
        yield InvalidSetting(SUITE_ENDPOINT, "accepts host and port such as `collector:4317`, or a URL", suite)


def _alternatives(values: Iterable[str]) -> str:
    return " or ".join(f"`{value}`" for value in values)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is not a number, or too large
        return False


def _destination(signal: str, chosen: Mapping[str, str]) -> Destination | None:
    if chosen.get(f"OTEL_{signal}_EXPORTER") == "none":
        return None
    endpoint = chosen.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or chosen.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if endpoint is not None:
        return Destination(_protocol(signal, endpoint, chosen), None)
    if (endpoint := chosen.get(SUITE_ENDPOINT)) is not None:
        return Destination("grpc", endpoint if "://" in endpoint else f"http://{endpoint}")
    return None


def _protocol(signal: str, endpoint: str, chosen: Mapping[str, str]) -> Protocol:
    """Return the configured protocol, else the usual one of the endpoint's port."""
    for variable in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if asked := chosen.get(variable):
            return cast("Protocol", asked)
    return "grpc" if endpoint.rstrip("/").endswith(GRPC_PORT) else "http/protobuf"


def open_tracing(collector: Collector) -> Tracing:
    """Return the tracing that sends to the collector; without a collector, OpenTelemetry is not imported."""
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
