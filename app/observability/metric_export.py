"""Sends the metrics that Prometheus can read to a collector as well, the same names and numbers, by OTLP."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final, cast

import structlog
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from app.observability.collector import Destination
from app.observability.opentelemetry import SERVICE, resource

log = structlog.get_logger(__name__)

INTERVAL: Final = "OTEL_METRIC_EXPORT_INTERVAL"
_DEFAULT_MILLISECONDS: Final = 60_000
_LAST_WORDS_SECONDS: Final = 1.5
_UP_DOWN_COUNTERS: Final = {"http_requests_in_flight"}
"""Gauges for Prometheus that the suite's services send as UpDownCounters: sums that may fall."""

_UNITS: Final = {"_seconds": "s", "_bytes": "By", "http_request_duration": "ms"}


@contextmanager
def exporting(registry: CollectorRegistry, destination: Destination) -> Iterator[None]:
    """Send a registry's metrics every so often while the block lasts, and once more at its end."""
    exporter = _exporter(destination)
    seconds = float(os.environ.get(INTERVAL) or _DEFAULT_MILLISECONDS) / 1000
    whose, began, closing = resource(), time.time_ns(), Event()

    def keep_sending() -> None:
        last = False
        while not last:
            last = closing.wait(seconds)
            try:
                exporter.export(metrics_data(registry, whose, began, time.time_ns()))
            except Exception:
                # One figure that cannot be had must not end the export of all for good.
                log.exception("metrics not sent")
        exporter.shutdown()

    sending = Thread(target=keep_sending, name="metric-export", daemon=True)
    sending.start()
    try:
        yield
    finally:
        closing.set()
        sending.join(_LAST_WORDS_SECONDS)


def metrics_data(registry: CollectorRegistry, whose: Resource, began: int, now: int) -> MetricsData:
    """Yield every metric of a registry in OpenTelemetry's form; times in nanoseconds since 1970."""
    metrics = [_metric(family, began, now) for family in registry.collect()]
    scope = ScopeMetrics(InstrumentationScope(SERVICE), metrics, "")
    return MetricsData([ResourceMetrics(whose, [scope], "")])


def _metric(family: Family, began: int, now: int) -> Metric:
    unit = next((unit for ending, unit in _UNITS.items() if family.name.endswith(ending)), "")
    if family.type == "counter":
        points = [_number(sample, began, now) for sample in family.samples]
        total = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
        return Metric(f"{family.name}_total", family.documentation, unit, total)
    if family.type == "histogram":
        histogram = Histogram(_histograms(family.samples, began, now), AggregationTemporality.CUMULATIVE)
        return Metric(family.name, family.documentation, unit, histogram)
    points = [_number(sample, began, now) for sample in family.samples]
    if family.name in _UP_DOWN_COUNTERS:
        total = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=False)
        return Metric(family.name, family.documentation, "1", total)
    return Metric(family.name, family.documentation, unit, Gauge(points))


def _number(sample: Sample, began: int, now: int) -> NumberDataPoint:
    return NumberDataPoint(sample.labels, began, now, float(sample.value))


def _histograms(samples: Sequence[Sample], began: int, now: int) -> list[HistogramDataPoint]:
    """Combine the samples of each label set: Prometheus buckets are cumulative, those of OTLP are not."""
    cumulative: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in samples:
        key = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        if sample.name.endswith("_bucket"):
            cumulative.setdefault(key, {})[float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            sums[key] = sample.value
    points = []
    for key, buckets in cumulative.items():
        counts = [int(count) for _, count in sorted(buckets.items())]
        labels: Mapping[str, str] = dict(key)
        points.append(
            HistogramDataPoint(
                attributes=labels,
                start_time_unix_nano=began,
                time_unix_nano=now,
                count=counts[-1],
                sum=sums[key],
                bucket_counts=[count - below for below, count in zip([0, *counts], counts, strict=False)],
                explicit_bounds=sorted(buckets)[:-1],
                # Prometheus keeps neither.
                min=cast("float", None),
                max=cast("float", None),
            )
        )
    return points


def _exporter(destination: Destination) -> MetricExporter:
    if destination.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

        return OTLPMetricExporter(destination.endpoint)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter as OTLPMetricExporterOverHTTP,
    )

    return OTLPMetricExporterOverHTTP(destination.endpoint)
