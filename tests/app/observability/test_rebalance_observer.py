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
from app.solver_task.valuation import valuation
from persistence import DatabaseUnavailable, Failure, RebalancedPosition
from tests.harness.service import Scrape


def position(price: str, before: str, after: str, target: str) -> RebalancedPosition:
    return RebalancedPosition(
        "S" * 24, Decimal(price), Decimal(before), Decimal(after), Decimal(target), Decimal(0), Decimal(0)
    )


def test_movement_adds_up() -> None:
    """One security bought, one sold, one kept that the model does not want."""
    held = (position("10", "0", "30", "0.3"), position("20", "25", "20", "0.45"), position("5", "10", "10", "0"))
    moved = movement(held, valuation(held), Decimal(1000))
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
    held = (position("10", "0", "0", "0.3"),)
    moved = movement(held, valuation(held), Decimal(0))
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
