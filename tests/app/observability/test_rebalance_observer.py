"""What is measured of a rebalance, where a running service cannot be made to show it exactly."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from bson import ObjectId
from prometheus_client import generate_latest

from app.observability.metrics import Metrics
from app.observability.tracing import NO_TRACING
from app.rebalancing.telemetry import RebalanceObserver
from app.solver_task.movement import Movement, movement
from persistence import DatabaseUnavailable, Failure
from solver import Portfolio, Security, Solution, SolutionPath
from tests.harness.service import Scrape


def security(price: str, quantity: str, target: str) -> Security:
    return Security(f"{price}-{quantity}", Decimal(price), Decimal(quantity), Decimal(target))


def solution(quantities: tuple[int, ...], trades: tuple[int, ...], market_value: int, objective: int) -> Solution:
    """Return the part of a solution that determines how far it moves a portfolio."""
    value, distance = Decimal(market_value), Decimal(objective)
    return Solution(
        trades,
        tuple(map(Decimal, quantities)),
        value,
        Decimal(0),
        distance,
        distance,
        True,
        SolutionPath.ROUNDING,
        0.001,
    )


def test_movement_adds_up() -> None:
    """One security bought, one sold, one kept that the model does not want."""
    held = (security("10", "0", "0.3"), security("20", "25", "0.45"), security("5", "10", "0"))
    moved = movement(Portfolio(held, Decimal(450)), solution((30, 20, 10), (30, -5, 0), 1000, 100))
    assert moved == Movement(
        drift_before=Decimal("0.4"),  # 300 missing, 50 too much, 50 unwanted
        drift_after=Decimal("0.1"),  # 50 missing, 50 unwanted
        turnover=Decimal("0.4"),
        bought=1,
        sold=1,
        bought_value=Decimal(300),
        sold_value=Decimal(100),
    )


def test_a_portfolio_worth_nothing_has_moved_nothing() -> None:
    """Without market value, drift and turnover are 0 instead of a division by zero."""
    held = (security("10", "0", "0.3"),)
    moved = movement(Portfolio(held, Decimal(0)), solution((0,), (0,), 0, 0))
    assert {moved.drift_before, moved.drift_after, moved.turnover} == {Decimal(0)}


def test_a_rebalance_that_is_not_stored_is_counted_as_such() -> None:
    """Whatever became of its portfolios."""
    metrics = Metrics()
    observer = RebalanceObserver(metrics, NO_TRACING)

    def rebalance() -> None:
        with observer.rebalance(ObjectId(), ObjectId(), rules=None, stored=True) as observed:
            with observed.portfolio("P" * 24) as one:
                one.failed(Failure("INTERNAL_ERROR", "message", {}, datetime.now(UTC), "trace"))
            raise DatabaseUnavailable("gone")

    with pytest.raises(DatabaseUnavailable):
        rebalance()
    scrape = Scrape(generate_latest(metrics.registry).decode())
    assert scrape.value("order_generation_rebalances_total", outcome="not_stored") == 1
    assert scrape.value("order_generation_rebalances_total") == 1
