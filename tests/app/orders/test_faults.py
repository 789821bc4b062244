"""Whatever the Order Service hides, each order exists once in the end, and what is not known is shown as UNKNOWN."""

import pytest
from msgspec.structs import replace
from pymongo.collection import Collection

from integrations.simulator import (
    Creation,
    Fault,
    LostStatus,
    OrderFault,
    OrderResponse,
)
from tests.harness.faults import ORDER_POST, ORDER_QUERY, POST_FAULTS, QUERY_FAULTS
from tests.harness.ordering import BOUGHT, Json, OrderingService, OrderServiceControl, check_created, statuses

SELLS = 2


def fault(responds: OrderResponse, creates: Creation = Creation.YES, every: int = 1, **more: float) -> OrderFault:
    return OrderFault(responds=responds, creates=creates, every=every, calls=1, **more)  # type: ignore[arg-type]


def test_whatever_a_post_hides_each_order_exists_once_in_the_end(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """One portfolio meets each fault of a post: no order is created twice, and none is lost."""
    portfolios = [order_service.portfolio(sells=SELLS) for _ in POST_FAULTS]
    rebalance_id = service.rebalance(portfolios, order_service.world)
    # Each fault is used up by one post.
    order_service.inject(*(replace(row.fault, calls=1) for row in POST_FAULTS))
    assert service.send(rebalance_id).status_code in (200, 202)
    state = service.finished(rebalance_id)
    assert statuses(state) == {"CREATED": len(POST_FAULTS) * (SELLS + BOUGHT)}
    assert state["duplicates"] == 0
    check_created(state, order_service.orders(*portfolios))
    assert order_service.calls(ORDER_POST) > 2 * len(POST_FAULTS)


def check_nothing_is_sent_again(
    service: OrderingService, order_service: OrderServiceControl, query: Fault, *, queries: int
) -> None:
    """Check that orders without an outcome are not sent again during this many failing queries, and are afterwards."""
    portfolio = order_service.portfolio(sells=SELLS)
    rebalance_id = service.rebalance([portfolio], order_service.world)
    order_service.inject(query, fault(OrderResponse.CUT_BEFORE, Creation.NO))
    service.send(rebalance_id)
    service.until(rebalance_id, lambda state: state["unknown"] == SELLS)
    order_service.await_calls(ORDER_QUERY, order_service.calls(ORDER_QUERY) + queries)
    assert statuses(service.state(rebalance_id)) == {"UNKNOWN": SELLS, "PENDING": BOUGHT}
    assert (order_service.orders(portfolio), order_service.calls(ORDER_POST)) == ([], 1)
    order_service.heal()
    state = service.finished(rebalance_id)
    check_created(state, order_service.orders(portfolio))


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(query, id=name, marks=[] if name in {"404", "wrong shape"} else [pytest.mark.slow])
        for name, query in QUERY_FAULTS.items()
        if name != "hangs"
    ],
)
def test_nothing_is_sent_again_while_the_query_fails(
    service: OrderingService, order_service: OrderServiceControl, query: Fault
) -> None:
    """The orders stay UNKNOWN for several quiet times, BUYs wait, and afterwards everything is sent once."""
    check_nothing_is_sent_again(service, order_service, query, queries=12)


@pytest.mark.slow
def test_nothing_is_sent_again_while_the_query_hangs(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """A query without a response proves nothing either."""
    check_nothing_is_sent_again(service, order_service, QUERY_FAULTS["hangs"], queries=2)


def test_an_order_that_appears_after_its_replacement_is_shown_as_a_duplicate(
    service: OrderingService,
    portal: OrderingService,
    order_service: OrderServiceControl,
    plans: Collection[Json],
) -> None:
    """The Order Service's late order is not counted as created again; it is counted, and its id is shown."""
    portfolio = order_service.portfolio()
    rebalance_id = service.rebalance([portfolio], order_service.world)
    order_service.inject(fault(OrderResponse.CUT_BEFORE, Creation.NO))
    service.send(rebalance_id)
    assert service.finished(rebalance_id)["created"] == BOUGHT
    plan = plans.find_one({"portfolioId": portfolio})
    assert plan is not None
    assert [post["state"] for post in plan["posts"]] == ["ABANDONED", "CLOSED"]
    order_service.create_again(order_service.orders(portfolio), plan["posts"][0]["timestamp"])
    state = service.until(rebalance_id, lambda state: state["duplicates"] == BOUGHT)
    assert (state["created"], len(order_service.orders(portfolio))) == (BOUGHT, 2 * BOUGHT)
    late = {order["id"] for order in order_service.orders(portfolio)}
    for order in state["portfolios"][0]["orders"]:
        assert order["orderId"] in late
        assert "Duplicated in the Order Service as" in order["message"]
    # Either service may have found them.
    assert (
        sum(each.metric('order_generation_orders_total{outcome="duplicate"}') for each in (service, portal)) == BOUGHT
    )


@pytest.mark.slow
def test_an_order_that_is_proven_absent_five_times_is_refused(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """Five posts, each proven to have created nothing, and then the order is REFUSED with the last message."""
    portfolio = order_service.portfolio()
    rebalance_id = service.rebalance([portfolio], order_service.world)
    order_service.inject(OrderFault(responds=OrderResponse.FAILURE, creates=Creation.NO, message="Unexpected error: x"))
    service.send(rebalance_id)
    state = service.finished(rebalance_id, 40)
    assert (statuses(state), state["status"]) == ({"REFUSED": BOUGHT}, "FAILED")
    assert "5 attempts" in state["portfolios"][0]["orders"][0]["message"]
    assert "Unexpected error: x" in state["portfolios"][0]["orders"][0]["message"]
    assert (order_service.orders(portfolio), order_service.calls(ORDER_POST)) == ([], 5)


def test_a_lost_status_is_submitted_again(service: OrderingService, order_service: OrderServiceControl) -> None:
    """Submission is at least once: SUBMITTED is shown only when the Order Service shows it."""
    portfolio = order_service.portfolio()
    rebalance_id = service.rebalance([portfolio], order_service.world)
    order_service.inject(LostStatus(calls=1))
    service.send(rebalance_id, {"submit": True})
    state = service.until(rebalance_id, lambda state: statuses(state) == {"SUBMITTED": BOUGHT}, 30)
    assert state["created"] == BOUGHT
    assert {order["trades"] for order in order_service.orders(portfolio)} == {2}
