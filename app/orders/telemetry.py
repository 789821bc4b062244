"""Log lines, metrics and spans of orders: every line names the rebalance and the portfolio."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars

from app.http.correlation import HEADER
from app.observability.metrics import Metrics
from app.observability.tracing import Tracing
from integrations import forwarded_headers
from persistence import Backlog, OrderPlan, PlannedOrder

log = structlog.get_logger(__name__)


class OrderObserver:
    """Observes orders."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        """Report to these metrics and traces."""
        self._metrics = metrics
        self._tracing = tracing

    @contextmanager
    def processing(self) -> Iterator[Callable[[OrderPlan], None]]:
        """Observe the work on one plan; what is yielded is to be called with the plan once it is known.

        The work belongs to the call that requested the orders: it runs under that call's correlation id.
        """
        with self._tracing.span("orders") as span, bound_contextvars():

            def processed(plan: OrderPlan) -> None:
                rebalance_id = str(plan.rebalance_id)
                span.note(**{"rebalance.id": rebalance_id, "portfolio.id": plan.portfolio_id})
                forwarded_headers.set({HEADER: plan.correlation_id})
                bind_contextvars(
                    correlation_id=plan.correlation_id, rebalance_id=rebalance_id, portfolio_id=plan.portfolio_id
                )

            yield processed

    def requested(self, rebalance_id: str, portfolios: int, user: str | None, *, submit: bool) -> None:
        """Report that a caller requested orders."""
        log.info("orders requested", rebalance_id=rebalance_id, portfolios=portfolios, user=user, submit=submit)

    def changed(self, before: OrderPlan, after: OrderPlan, event: str, **facts: object) -> None:
        """Report a step that changed orders, and count their new states."""
        counts = _transitions(before.orders, after.orders)
        for outcome, count in counts.items():
            self._metrics.orders.labels(outcome).inc(count)
        report = log.warning if counts["unknown"] or counts["duplicate"] or counts["absent"] else log.info
        report(event, **facts, **counts)

    def problem(self, event: str, **facts: object) -> None:
        """Report something that delays orders."""
        log.warning(event, **facts)

    def sweep_failed(self) -> None:
        """Count an unexpected failure of the background work."""
        self._metrics.order_failures.inc()

    def backlog(self, backlog: Backlog) -> None:
        """Publish what is unfinished in the whole database."""
        self._metrics.orders_unfinished.labels("pending").set(backlog.pending)
        self._metrics.orders_unfinished.labels("unknown").set(backlog.unknown)
        self._metrics.orders_oldest_seconds.labels("pending").set(backlog.oldest_pending_seconds)
        self._metrics.orders_oldest_seconds.labels("unknown").set(backlog.oldest_unknown_seconds)


def _transitions(before: tuple[PlannedOrder, ...], after: tuple[PlannedOrder, ...]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for old, new in zip(before, after, strict=True):
        if new.state != old.state and new.state != "PENDING":
            counts[new.state.lower()] += 1
        if new.absences > old.absences:
            counts["absent"] += 1
        counts["duplicate"] += len(new.duplicates) - len(old.duplicates)
    return +counts
