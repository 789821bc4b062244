"""What the clients of the upstream services report, as metrics and, if an operator should know, as log lines."""

import structlog

from app.observability.metrics import Metrics
from integrations import Cause

log = structlog.get_logger(__name__)


class UpstreamObserver:
    """An `integrations.Observer`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def request_finished(self, service: str, outcome: str, seconds: float) -> None:
        """One request ended."""
        self._metrics.upstream_seconds.labels(service, outcome).observe(seconds)

    def response_discarded(self, service: str, reason: str) -> None:
        """Record that a response may have belonged to another request."""
        self._metrics.upstream_discards.labels(service).inc()
        log.warning("response of an upstream discarded", service=service, reason=reason)

    def rejected(self, service: str) -> None:
        """Record that a circuit breaker rejected a call."""
        self._metrics.upstream_rejections.labels(service).inc()

    def retrying(self, service: str, cause: Cause, wait_seconds: float) -> None:
        """Record that a request failed and will be repeated."""
        self._metrics.upstream_retries.labels(service, cause).inc()
        log.warning("upstream request retried", service=service, cause=cause, wait_seconds=wait_seconds)

    def breaker_changed(self, service: str, state: str) -> None:
        """Record that a circuit breaker changed its state."""
        self._metrics.upstream_breaker_changes.labels(service, state).inc()
        write = log.info if state == "closed" else log.warning
        write("circuit breaker changed", service=service, state=state)

    def cache_read(self, cache: str, hit: bool, times: int = 1) -> None:
        """Record that a cache was read."""
        self._metrics.cache_reads.labels(cache, "hit" if hit else "miss").inc(times)

    def rows_rejected(self, service: str, rows: int, reason: str) -> None:
        """Record that rows of a list were unusable and left out."""
        self._metrics.upstream_rows_refused.labels(service).inc(rows)
        log.warning("unusable rows in upstream response", service=service, rows=rows, reason=reason)
