"""What rebalances tell of themselves: one log line, one span and the business metrics for each portfolio.

with observer.rebalance(rebalance_id, model_id) as observed:
    with observed.portfolio(portfolio_id) as one:
        one.solved(...)
        one.ended(...)
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import structlog
from bson import ObjectId
from msgspec import Struct
from structlog.contextvars import bound_contextvars

from app.errors import ErrorCode
from app.observability.metrics import NO_SOLUTION, Metrics, SolverOutcome
from app.observability.tracing import Attribute, Span, Tracing
from persistence.documents import RebalancedPortfolio
from solver import Crashed, Infeasible, NoWholeShare, Outcome, Solution, TimeLimit
from solver.pool import Solved

log = structlog.get_logger(__name__)

NAMED_REASONS = 5
"""Of an infeasible portfolio's reasons, as many are named in the log."""


class Movement(Struct, frozen=True):
    """How far a rebalance moves a portfolio.

    Attributes:
        drift_before, drift_after: distance from the model, `sum |target - weight|`, a share of the market value.
        turnover: value traded, a share of the market value.
        bought, sold: number of orders.
        bought_value, sold_value: money.
    """

    drift_before: Decimal
    drift_after: Decimal
    turnover: Decimal
    bought: int
    sold: int
    bought_value: Decimal
    sold_value: Decimal


def movement(portfolio: RebalancedPortfolio) -> Movement:
    """Measure a rebalanced portfolio. A portfolio worth nothing has no drift and no turnover."""
    market_value = portfolio.market_value or Decimal(0)
    before = after = bought_value = sold_value = Decimal(0)
    bought = sold = 0
    for position in portfolio.positions:
        wanted = market_value * position.target
        held, kept = position.original_quantity * position.price, position.adjusted_quantity * position.price
        before += abs(wanted - held)
        after += abs(wanted - kept)
        if kept > held:
            bought += 1
            bought_value += kept - held
        elif kept < held:
            sold += 1
            sold_value += held - kept
    whole = market_value or Decimal("Infinity")
    return Movement(
        before / whole, after / whole, (bought_value + sold_value) / whole, bought, sold, bought_value, sold_value
    )


class RebalanceObserver:
    """Observes rebalances."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self._metrics = metrics
        self._tracing = tracing

    @contextmanager
    def rebalance(self, rebalance_id: ObjectId, model_id: ObjectId) -> Iterator["ObservedRebalance"]:
        """Observe one rebalance, whose id every line of the block carries. An exception is a rebalance not stored."""
        started = time.perf_counter()
        observed = ObservedRebalance(self._metrics, self._tracing)
        ids = {"rebalance_id": str(rebalance_id), "model_id": str(model_id)}
        with bound_contextvars(**ids), self._tracing.span("rebalance", **_attributes(ids)) as span:
            try:
                yield observed
            except BaseException as error:
                self._metrics.rebalances.labels("not_stored").inc()
                log.warning("rebalance not stored", cause=type(error).__name__, milliseconds=_since(started))
                raise
            span.note(completed=observed.completed, failed=observed.failed)
            self._metrics.rebalances.labels(observed.outcome).inc()
            log.info(
                "rebalance stored",
                outcome=observed.outcome,
                completed=observed.completed,
                failed=observed.failed,
                milliseconds=_since(started),
            )


class ObservedRebalance:
    """A rebalance that is under way."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self.completed = 0
        self.failed = 0

    @property
    def outcome(self) -> str:
        """`completed`, `partial` or `failed`, by what became of its portfolios so far."""
        if not self.failed:
            return "completed"
        return "partial" if self.completed else "failed"

    @contextmanager
    def portfolio(self, portfolio_id: str) -> Iterator["ObservedPortfolio"]:
        """Observe one of its portfolios."""
        ids = {"portfolio_id": portfolio_id}
        with bound_contextvars(**ids), self._tracing.span("portfolio", **_attributes(ids)) as span:
            yield ObservedPortfolio(self, self._metrics, self._tracing, span)


class ObservedPortfolio:
    """A portfolio on its way to its trades or its failure."""

    def __init__(self, rebalance: ObservedRebalance, metrics: Metrics, tracing: Tracing, span: Span) -> None:
        self._rebalance = rebalance
        self._metrics = metrics
        self._tracing = tracing
        self._span = span
        self._started = time.perf_counter()
        self._solved: Solved | None = None

    def solved(self, solved: Solved) -> None:
        """Take what the solver pool answered."""
        self._solved = solved
        outcome, path, gap = _described(solved.outcome)
        seconds = solved.ended - solved.began
        self._metrics.solver_queue_seconds.observe(solved.queued_seconds)
        self._metrics.solver_outcomes.labels(outcome).inc()
        self._metrics.solver_seconds.labels(path).observe(seconds)
        if gap is not None:
            self._metrics.solver_gap.observe(float(gap))
        self._tracing.record("wait for solver", solved.asked, solved.began)
        if solved.pid is not None:
            where: dict[str, Attribute] = {
                "process.pid": solved.pid,
                "solver.outcome": outcome.value,
                "solver.path": path,
            }
            self._tracing.record("solve", solved.began, solved.ended, **where)

    def ended(self, portfolio: RebalancedPortfolio) -> None:
        """Take what became of the portfolio."""
        self._metrics.portfolio_seconds.observe(time.perf_counter() - self._started)
        if portfolio.failure is None:
            self._completed(portfolio)
        else:
            self._failed(portfolio.failure.code, portfolio.failure.message)

    def _completed(self, portfolio: RebalancedPortfolio) -> None:
        self._rebalance.completed += 1
        moved = movement(portfolio)
        metrics = self._metrics
        metrics.portfolios_rebalanced.inc()
        metrics.portfolio_drift.labels("before").observe(float(moved.drift_before))
        metrics.portfolio_drift.labels("after").observe(float(moved.drift_after))
        metrics.portfolio_turnover.observe(float(moved.turnover))
        metrics.trades.labels("BUY").inc(moved.bought)
        metrics.trades.labels("SELL").inc(moved.sold)
        metrics.traded_value.labels("BUY").inc(float(moved.bought_value))
        metrics.traded_value.labels("SELL").inc(float(moved.sold_value))
        trades = moved.bought + moved.sold
        self._span.note(trades=trades)
        log.info(
            "portfolio rebalanced",
            path=portfolio.solve and portfolio.solve.path,
            gap=portfolio.solve and portfolio.solve.gap,
            **self._times(),
            trades=trades,
            drift_before=round(moved.drift_before, 6),
            drift_after=round(moved.drift_after, 6),
        )

    def _failed(self, code: str, message: str) -> None:
        self._rebalance.failed += 1
        self._metrics.portfolios_failed.labels(code).inc()
        self._span.note(code=code)
        # What the solver says of a portfolio has its money in it.
        of_solver = code == ErrorCode.OPTIMIZATION_FAILED and self._solved is not None
        reason = _without_money(self._solved.outcome) if of_solver and self._solved else message
        log.warning("portfolio failed", code=code, reason=reason, **self._times())
        log.debug("portfolio failed because", message=message)

    def _times(self) -> dict[str, float | None]:
        solved = self._solved
        return {
            "milliseconds": _since(self._started),
            "queue_milliseconds": None if solved is None else round(1000 * solved.queued_seconds, 3),
            "solver_milliseconds": None if solved is None else round(1000 * (solved.ended - solved.began), 3),
        }


def _described(outcome: Outcome) -> tuple[SolverOutcome, str, Decimal | None]:
    match outcome:
        case Solution():
            return SolverOutcome.SOLVED, outcome.path, outcome.gap
        case Infeasible():
            return SolverOutcome.INFEASIBLE, NO_SOLUTION, None
        case TimeLimit():
            return SolverOutcome.TIME_LIMIT, NO_SOLUTION, outcome.gap
        case Crashed():
            return SolverOutcome.CRASHED, NO_SOLUTION, None


def _without_money(outcome: Outcome) -> str:
    if not isinstance(outcome, Infeasible):
        return "TIME_LIMIT"
    named = [
        f"{type(reason).__name__} {reason.security_id}" if isinstance(reason, NoWholeShare) else type(reason).__name__
        for reason in outcome.reasons
    ]
    more = len(named) - NAMED_REASONS
    return f"INFEASIBLE: {', '.join(named[:NAMED_REASONS])}" + (f" and {more} more" if more > 0 else "")


def _attributes(ids: dict[str, str]) -> dict[str, str]:
    """Spell ids as attributes of a span are: `portfolio.id`."""
    return {name.replace("_", "."): value for name, value in ids.items()}


def _since(started: float) -> float:
    return round(1000 * (time.perf_counter() - started), 3)
