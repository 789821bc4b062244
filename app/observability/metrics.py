"""Every metric that is counted as things happen; what can be asked for at any moment is in `figures`.

Prometheus' client keeps them: it costs a fifth of what OpenTelemetry's takes per request, and spells every name as it
is written here. `export` sends the same registry by OTLP.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from app.errors.codes import ErrorCode
from integrations import Cause
from solver import Rules, SolutionPath

# Twice the series for the moment at which each began, which no query reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

HTTP_MILLISECONDS: Final = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
"""As all services of the suite have them."""
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SOLVER_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10, 30)
SHARES_OF_MARKET_VALUE: Final = (0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2)
MONEY: Final = (0, 0.01, 0.1, 1, 10, 100, 1000, 10_000, 100_000)


class SolverOutcome(StrEnum):
    """How an attempt to solve a portfolio can end."""

    SOLVED = "solved"
    INFEASIBLE = "infeasible"
    TIME_LIMIT = "time_limit"
    CRASHED = "crashed"


SIDES: Final = ("BUY", "SELL")

ORDER_OUTCOMES: Final = ("created", "refused", "unknown", "absent", "submitted", "duplicate")
"""`unknown`: sent, and the outcome is not clear; `absent`: proven not to exist after that."""

NO_SOLUTION: Final = "NONE"
"""Stands for the path where there is no solution."""

FAILURE_CODES: Final = tuple(code for code in ErrorCode if code.fails_portfolio)
"""The codes a portfolio of a rebalance can fail with."""


class Metrics:
    """The service's metrics, in a registry of their own.

    Label values that are known beforehand are shown as 0 from the start, so that an alert sees the first event, too.
    What every portfolio counts is kept by its label, as to look one up takes longer than to count.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._http()
        self._business()
        self._solver()
        self._orders()
        self._upstream()
        self._database()

    def _http(self) -> None:
        labels = ("method", "path", "status")
        self.http_requests = Counter("http_requests_total", "HTTP requests completed.", labels, registry=self.registry)
        self.http_request_duration = Histogram(
            "http_request_duration",
            "Milliseconds from an HTTP request to the end of its response.",
            labels,
            buckets=HTTP_MILLISECONDS,
            registry=self.registry,
        )
        self.http_requests_in_flight = Gauge(
            "http_requests_in_flight", "HTTP requests in progress.", registry=self.registry
        )

    def _business(self) -> None:
        self.rebalances = self._counter("rebalances_total", "Rebalances by outcome.", "outcome")
        for outcome in ("completed", "partial", "failed", "not_stored"):
            self.rebalances.labels(outcome)
        previews = self._counter("previews_total", "Previews by outcome.", "outcome")
        optimizations = self._counter("optimizations_total", "Stateless optimisations by outcome.", "outcome")
        self.unstored = {"preview": previews, "optimization": optimizations}
        for counter in self.unstored.values():
            for outcome in ("completed", "partial", "failed", "aborted"):
                counter.labels(outcome)
        self.rules_used = self._counter("rules_used_total", "Requests that used a rule, by rule.", "rule")
        for rule in Rules.__struct_fields__:
            self.rules_used.labels(rule)
        self.exemptions = self._counter("exemptions_total", "Securities that a rule kept outside their drift band.")
        self.portfolios_rebalanced = self._counter("portfolios_rebalanced_total", "Portfolios rebalanced.")
        self.portfolios_failed = self._counter(
            "portfolios_failed_total", "Portfolios that failed, also in previews and optimisations.", "code"
        )
        for code in FAILURE_CODES:
            self.portfolios_failed.labels(code)
        self.portfolio_seconds = self._histogram(
            "portfolio_seconds", "Time to compute one portfolio: holdings, prices, queue, solve.", SECONDS
        )
        drift = self._histogram(
            "portfolio_drift",
            "Distance of a rebalanced portfolio from its model, as a share of its market value.",
            SHARES_OF_MARKET_VALUE,
            "moment",
        )
        self.portfolio_drift = {moment: drift.labels(moment) for moment in ("before", "after")}
        self.portfolio_turnover = self._histogram(
            "portfolio_turnover", "Value traded, as a share of a portfolio's market value.", SHARES_OF_MARKET_VALUE
        )
        trades = self._counter("trades_total", "Trades computed.", "side")
        self.trades = {side: trades.labels(side) for side in SIDES}
        traded_value = self._counter("traded_value_total", "Value of the computed trades in money.", "side")
        self.traded_value = {side: traded_value.labels(side) for side in SIDES}

    def _solver(self) -> None:
        outcomes = self._counter("solver_outcomes_total", "Portfolios solved, by outcome.", "outcome")
        self.solver_outcomes = {outcome: outcomes.labels(outcome) for outcome in SolverOutcome}
        seconds = self._histogram(
            "solver_seconds", "Time in a solver process, by the method that found the solution.", SOLVER_SECONDS, "path"
        )
        self.solver_seconds = {path: seconds.labels(path) for path in (*SolutionPath, NO_SOLUTION)}
        self.solver_queue_seconds = self._histogram(
            "solver_queue_seconds", "Time a portfolio waited for a solver process.", SOLVER_SECONDS
        )
        self.solver_gap = self._histogram(
            "solver_gap", "Money between the solution and its proven bound; 0 means optimal.", MONEY
        )

    def _orders(self) -> None:
        self.orders = self._counter("orders_total", "Orders by outcome; an order can have several in turn.", "outcome")
        for outcome in ORDER_OUTCOMES:
            self.orders.labels(outcome)
        self.order_failures = self._counter("order_failures_total", "Unexpected failures of the work on orders.")
        self.orders_unfinished = Gauge(
            "order_generation_orders_unfinished",
            "Orders in the whole database that have no outcome.",
            ("state",),
            registry=self.registry,
        )
        self.orders_oldest_seconds = Gauge(
            "order_generation_orders_oldest_seconds",
            "Age of the oldest order in the whole database that has no outcome; 0 without such orders.",
            ("state",),
            registry=self.registry,
        )
        for state in ("pending", "unknown"):
            self.orders_unfinished.labels(state).set(0)
            self.orders_oldest_seconds.labels(state).set(0)

    def _upstream(self) -> None:
        self.upstream_seconds = self._histogram(
            "upstream_request_seconds", "Requests to an upstream service.", SECONDS, "service", "outcome"
        )
        self.upstream_retries = self._counter(
            "upstream_retries_total", "Requests repeated after a failed attempt.", "service", "cause"
        )
        self.upstream_rejections = self._counter(
            "upstream_rejections_total", "Calls that an open circuit breaker rejected.", "service"
        )
        self.upstream_discards = self._counter(
            "upstream_responses_discarded_total", "Discarded responses that belonged to another request.", "service"
        )
        self.upstream_breaker_changes = self._counter(
            "upstream_breaker_changes_total", "Changes of a circuit breaker's state.", "service", "state"
        )
        self.upstream_rows_refused = self._counter(
            "upstream_rows_refused_total", "Unusable rows of an upstream's list.", "service"
        )
        self.cache_reads = self._counter("cache_reads_total", "Reads of a cache.", "cache", "result")

    def expect_services(self, services: Iterable[str]) -> None:
        """Show these upstream services, for which nothing has been counted yet."""
        for service in services:
            self.upstream_rejections.labels(service)
            self.upstream_discards.labels(service)
            self.upstream_rows_refused.labels(service)
            self.upstream_breaker_changes.labels(service, "open")
            for cause in (Cause.TIMEOUT, Cause.CONNECTION, Cause.STATUS):
                self.upstream_retries.labels(service, cause)

    def _database(self) -> None:
        self.database_seconds = self._histogram(
            "database_command_seconds", "MongoDB commands.", SECONDS, "command", "outcome"
        )
        self.database_checkout_seconds = self._histogram(
            "database_checkout_seconds", "Time a command waited for a connection.", SOLVER_SECONDS
        )
        self.database_checkout_failures = self._counter(
            "database_checkout_failures_total", "Commands that got no connection.", "reason"
        )
        for reason in ("timeout", "connectionError", "poolClosed"):
            self.database_checkout_failures.labels(reason)
        self.unreadable_documents = self._counter(
            "unreadable_documents_total",
            "Stored documents found not to be in this service's format, each once for a process.",
            "collection",
        )
        for collection in ("models", "model_history", "rebalances", "idempotency_keys"):
            self.unreadable_documents.labels(collection)
        self.background_task_restarts = self._counter(
            "background_task_restarts_total", "Background tasks that ended and were restarted.", "task"
        )
        self.database_connections = Gauge(
            "order_generation_database_connections", "Connections to MongoDB.", ("state",), registry=self.registry
        )
        for state in ("open", "in_use"):
            self.database_connections.labels(state)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"order_generation_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"order_generation_{name}", meaning, labels, buckets=buckets, registry=self.registry)
