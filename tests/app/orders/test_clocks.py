"""Clocks of instances that differ by minutes, and servers that are no replica set, change nothing."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from integrations.simulator import Creation, OrderFault, OrderResponse
from tests.app.orders.skewed import skewed_service
from tests.harness.ordering import (
    BOUGHT,
    OrderingService,
    OrderServiceControl,
    check_created,
    ordering_service,
    statuses,
)

pytestmark = pytest.mark.slow
MINUTES = 300.0


@pytest.fixture(params=[MINUTES, -MINUTES], ids=["ahead", "behind"])
def skewed(request: pytest.FixtureRequest, ordering: Mapping[str, str], tmp_path: Path) -> Iterator[OrderingService]:
    """A service whose clock is five minutes ahead or behind."""
    with skewed_service({**os.environ, **ordering}, tmp_path, request.param) as service:
        yield service


def test_a_rebalance_of_a_wrong_clock_is_superseded_by_orders_that_were_sent_after_it(
    service: OrderingService, skewed: OrderingService, order_service: OrderServiceControl
) -> None:
    """Which of two rebalances is newer is decided by the database's clock."""
    portfolio = order_service.portfolio()
    older = skewed.rebalance([portfolio], order_service.world)
    newer = service.rebalance([portfolio], order_service.world)
    assert service.send(newer).status_code == 200
    assert skewed.send(older).json()["error"]["code"] == "SUPERSEDED"
    latest = skewed.rebalance([portfolio], order_service.world)
    assert skewed.send(latest).status_code == 200
    assert len(order_service.orders(portfolio)) == 2 * BOUGHT


def test_orders_of_a_wrong_clock_are_resolved_and_sent_once(
    service: OrderingService, skewed: OrderingService, order_service: OrderServiceControl
) -> None:
    """Quiet times and leases are measured by the database, whichever service works on the orders."""
    portfolios = [order_service.portfolio(sells=2) for _ in range(4)]
    rebalance_id = skewed.rebalance(portfolios, order_service.world)
    order_service.inject(
        OrderFault(responds=OrderResponse.CUT_BEFORE, creates=Creation.NO, calls=2),
        OrderFault(responds=OrderResponse.CUT_BEFORE, creates=Creation.LATER, later_seconds=0.2, calls=2),
    )
    skewed.send(rebalance_id)
    service.send(rebalance_id)
    state = service.finished(rebalance_id)
    assert statuses(state) == {"CREATED": 4 * (2 + BOUGHT)}
    check_created(state, order_service.orders(*portfolios))


def test_orders_are_sent_on_a_server_that_is_no_replica_set(
    ordering: Mapping[str, str],
    standalone_mongodb_url: str,
    tmp_path: Path,
    order_service: OrderServiceControl,
) -> None:
    """Claims, leases and timestamps need no transactions."""
    with ordering_service({**ordering, "MONGODB_URL": standalone_mongodb_url}, tmp_path) as service:
        portfolios = [order_service.portfolio(sells=2) for _ in range(3)]
        rebalance_id = service.rebalance(portfolios, order_service.world)
        order_service.inject(OrderFault(responds=OrderResponse.CUT_BEFORE, creates=Creation.NO, calls=2))
        service.send(rebalance_id, {"submit": True})
        state = service.until(rebalance_id, lambda state: statuses(state) == {"SUBMITTED": 3 * (2 + BOUGHT)})
        check_created(state, order_service.orders(*portfolios))
