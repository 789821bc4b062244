"""A post of orders separates what is certain from what is not, and a query of a post is trusted only if complete."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from aiohttp import web

from integrations import FoundOrder, NotSent, Order, OrderOutcome, Orders, OrderType, PostResult, ServiceError
from integrations.http.client import forwarded_headers
from integrations.simulator import (
    Fault,
    Service,
    Simulator,
    SimulatorSettings,
    running_simulator,
)
from tests.harness.faults import POST_FAULTS, QUERY_FAULTS
from tests.integrations.conftest import Handler, MakeClient, serving

PORTFOLIO, APPLE = "68989d07a711681c7aed8cb7", "68759586672efc735e8b181d"
TIMESTAMP = datetime(2026, 11, 27, 13, 23, 37, 123457, tzinfo=UTC)
BUY = Order(
    portfolio_id=PORTFOLIO,
    order_type=OrderType.BUY,
    security_id=APPLE,
    quantity=Decimal("12.5"),
    order_timestamp=TIMESTAMP,
)
SELL = msgspec.structs.replace(BUY, order_type=OrderType.SELL)


def send() -> None:
    """Allow a body to be sent."""


def outcomes(result: PostResult) -> list[OrderOutcome]:
    return [order.outcome for order in result.orders]


def responding(status: int, body: Any) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    return handler


def receipt(*results: dict[str, Any]) -> dict[str, Any]:
    return {"status": "PARTIAL", "message": "", "totalReceived": 2, "successful": 1, "failed": 1, "orders": results}


def created(index: int, order_id: int, **more: Any) -> dict[str, Any]:
    return {"status": "SUCCESS", "message": "made", "orderId": order_id, "requestIndex": index, **more}


def failed(index: int, message: str | None) -> dict[str, Any]:
    return {"status": "FAILURE", "message": message, "requestIndex": index}


async def test_an_order_is_posted_as_the_service_expects_it(make_client: MakeClient) -> None:
    """The body is what the portal sends, with an exact quantity and six decimals of a second, in one piece."""
    posted: list[object] = []

    async def handler(request: web.Request) -> web.Response:
        assert request.content_type == "application/json"
        assert request.headers["X-Correlation-ID"] == "abc"
        assert request.headers["Content-Length"] == str(len(await request.read()))
        posted.extend(await request.json())
        return web.json_response(receipt(created(0, 7)))

    token = forwarded_headers.set({"X-Correlation-ID": "abc"})
    async with serving(handler) as server:
        result = await Orders(make_client(server.url, "order")).post([BUY], before_body=send)
    forwarded_headers.reset(token)
    assert posted == [
        {
            "blotterId": 1, "statusId": 1, "portfolioId": PORTFOLIO, "orderTypeId": 1, "securityId": APPLE,
            "quantity": 12.5, "limitPrice": None, "tradeOrderId": None,
            "orderTimestamp": "2026-11-27T13:23:37.123457Z", "version": 1,
        }
    ]  # fmt: skip
    assert (outcomes(result), result.orders[0].order_id) == ([OrderOutcome.CREATED], 7)


@pytest.mark.parametrize("count", [0, 1001])
async def test_no_orders_or_too_many_are_an_error_of_the_caller(make_client: MakeClient, count: int) -> None:
    """A post has 1 to 1000 orders."""
    with pytest.raises(ValueError, match="between 1 and 1000 orders"):
        await Orders(make_client("http://127.0.0.1:9")).post([BUY] * count, before_body=send)


C, R, U = OrderOutcome.CREATED, OrderOutcome.REFUSED, OrderOutcome.UNKNOWN


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([created(1, 8), created(0, 7)], [C, C]),
        ([failed(0, "Quantity must be positive"), failed(1, "Order Type with ID 7 not found")], [R, R]),
        ([created(0, 7), failed(1, "System overloaded - database operation timeout")], [C, U]),
        ([created(0, 7), failed(1, "Unexpected error: could not commit")], [C, U]),
        ([created(0, 7), failed(1, None)], [C, U]),
        ([created(0, 7), failed(-1, "Future execution failed: null")], [C, U]),
        ([created(0, 7)], [C, U]),
        ([], [U, U]),
        ([created(0, 7), created(0, 8)], [U, U]),
        ([created(0, 7), created(1, 7)], [U, U]),
        ([created(0, 7), created(5, 8)], [C, U]),
        ([created(0, 7), {"status": "SUCCESS", "message": "made", "requestIndex": 1}], [C, U]),
        ([{**failed(0, "Quantity must be positive"), "orderId": 3}, created(1, 4)], [U, C]),
    ],
)
async def test_only_what_a_result_says_for_certain_counts(
    make_client: MakeClient, results: list[dict[str, Any]], expected: list[OrderOutcome]
) -> None:
    """Missing, repeated, contradictory and transient results leave an order unknown; validations are final."""
    async with serving(responding(207, receipt(*results))) as server:
        result = await Orders(make_client(server.url)).post([BUY, SELL], before_body=send)
    assert outcomes(result) == expected


async def test_a_result_about_another_order_leaves_it_unknown(make_client: MakeClient) -> None:
    """A nested order that is not the one that was posted belongs to another response."""
    nested = {
        "id": 7, "status": {"id": 1}, "portfolio": {"portfolioId": PORTFOLIO}, "orderType": {"id": 1},
        "security": {"securityId": APPLE}, "quantity": 12.5, "orderTimestamp": "2026-11-27T13:23:37.123457Z",
    }  # fmt: skip
    for change, expected in (({}, C), ({"quantity": 13}, U), ({"orderTimestamp": "2026-11-27T13:23:37.123Z"}, U)):
        async with serving(responding(200, receipt(created(0, 7, order=nested | change)))) as server:
            result = await Orders(make_client(server.url)).post([BUY], before_body=send)
        assert outcomes(result) == [expected]


OVERLOAD = {"message": "System temporarily overloaded - please retry in a few minutes", "totalReceived": 0}


@pytest.mark.parametrize(
    ("status", "body", "nothing_created"),
    [
        (400, {}, True),
        (400, {"message": "Batch size 0", "totalReceived": 0}, True),
        (400, {"message": "No orders to process", "totalReceived": 0}, False),
        (404, {}, True),
        (413, {}, True),
        (500, OVERLOAD, True),
        (500, {"message": "Internal server error processing batch request: null", "totalReceived": 0}, False),
        (500, {"code": "INTERNAL_ERROR", "message": "temporarily overloaded", "timestamp": "now"}, False),
        (500, [], False),
        (503, OVERLOAD, False),
        (429, {}, False),
        (200, {"orders": "many"}, False),
        (200, [], False),
        (302, {}, False),
    ],
)
async def test_only_clear_rejections_of_a_whole_post_mean_that_nothing_was_created(
    make_client: MakeClient, status: int, body: object, nothing_created: bool
) -> None:
    """400, 404, 413 and the overload message come before the first order; every other response leaves all unknown."""
    calls = 0

    async def handler(_: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        return web.json_response(body, status=status)

    async with serving(handler) as server:
        result = await Orders(make_client(server.url, retries=3)).post([BUY, SELL], before_body=send)
    assert result.nothing_created is nothing_created
    assert outcomes(result) == ([] if nothing_created else [U, U])
    assert calls == 1


async def test_a_refused_connection_creates_nothing(make_client: MakeClient) -> None:
    """No connection means no order, and the post is not repeated here."""
    result = await Orders(make_client("http://127.0.0.1:9")).post([BUY], before_body=send)
    assert result.nothing_created


async def test_a_body_that_is_held_back_never_reaches_the_service(make_client: MakeClient) -> None:
    """If the check before the body fails, the service sees headers at most, and nothing was created."""
    bodies: list[bytes] = []

    async def handler(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.json_response(receipt())

    def too_late() -> None:
        raise NotSent("the lease has ended")

    async with serving(handler) as server:
        result = await Orders(make_client(server.url)).post([BUY], before_body=too_late)
    assert result == PostResult((), "the lease has ended")
    assert bodies == []


type Check = Callable[[Orders, Simulator], Awaitable[None]]


async def simulated(make_client: MakeClient, check: Check) -> None:
    """Check something with a simulated Order Service."""
    async with running_simulator(SimulatorSettings(portfolios=1)) as simulator:
        await check(Orders(make_client(simulator.urls.order, "order", timeout_seconds=1)), simulator)


async def test_the_orders_of_a_post_are_found_by_its_timestamp(make_client: MakeClient) -> None:
    """A query returns the orders of this post only, and whether they were submitted."""

    async def check(orders: Orders, _: Simulator) -> None:
        other = msgspec.structs.replace(BUY, order_timestamp=TIMESTAMP.replace(microsecond=123458))
        await orders.post([BUY, SELL], before_body=send)
        await orders.post([other], before_body=send)
        await orders.submit([2], before_body=send)
        assert await orders.find(TIMESTAMP) == (
            FoundOrder(1, PORTFOLIO, OrderType.BUY, APPLE, Decimal("12.5"), submitted=False),
            FoundOrder(2, PORTFOLIO, OrderType.SELL, APPLE, Decimal("12.5"), submitted=True),
        )
        assert await orders.find(TIMESTAMP.replace(microsecond=123459)) == ()

    await simulated(make_client, check)


async def test_status_and_type_may_be_named_by_their_abbreviation(make_client: MakeClient) -> None:
    """A nested row without an id is recognised by its abbreviation; a type that is not sent here is not one of ours."""
    row = {
        "id": 7, "portfolio": {"portfolioId": PORTFOLIO}, "security": {"securityId": APPLE}, "quantity": "12.5",
        "orderTimestamp": "2026-11-27T13:23:37.123457Z",
    }  # fmt: skip
    rows = [
        row | {"status": {"abbreviation": "NEW"}, "orderType": {"abbreviation": "SELL"}},
        row | {"status": {"abbreviation": "SENT"}, "orderType": {"id": 3, "abbreviation": "SHORT"}},
    ]
    async with serving(responding(200, {"content": rows, "pagination": {"totalElements": 2}})) as server:
        found = await Orders(make_client(server.url)).find(TIMESTAMP)
    assert [(each.order_type, each.submitted) for each in found] == [(OrderType.SELL, False), (None, True)]


@pytest.mark.parametrize("fault", QUERY_FAULTS.values(), ids=QUERY_FAULTS)
async def test_a_query_that_fails_proves_nothing(make_client: MakeClient, fault: Fault) -> None:
    """A query without a complete, well-formed response is an error, never an empty list."""

    async def check(orders: Orders, simulator: Simulator) -> None:
        await orders.post([BUY], before_body=send)
        await simulator.inject(Service.ORDER, fault)
        with pytest.raises(ServiceError):
            await orders.find(TIMESTAMP)

    await simulated(make_client, check)


async def test_a_query_whose_filter_was_ignored_proves_nothing(make_client: MakeClient) -> None:
    """Orders with another timestamp, or fewer than announced, are not the response to this query."""
    row = {
        "id": 7, "status": {"id": 1}, "portfolio": {"portfolioId": PORTFOLIO}, "orderType": {"id": 1},
        "security": {"securityId": APPLE}, "quantity": 1, "orderTimestamp": "2026-11-27T13:23:37.000001Z",
    }  # fmt: skip
    pages: list[object] = [
        {"content": [row], "pagination": {"totalElements": 1}},
        {"content": [], "pagination": {"totalElements": 1}},
        {"content": []},
    ]
    for page in pages:
        async with serving(responding(200, page)) as server:
            with pytest.raises(ServiceError):
                await Orders(make_client(server.url)).find(TIMESTAMP)


async def test_orders_that_a_fault_hides_are_unknown(make_client: MakeClient) -> None:
    """Each fault of a post leaves the orders whose result it hides unknown, unless clearly nothing was created."""

    found = {}
    async with running_simulator(SimulatorSettings(portfolios=1)) as simulator:
        for row in POST_FAULTS:
            await simulator.inject(Service.ORDER, row.fault)
            # A client of its own, whose circuit breaker is closed.
            orders = Orders(make_client(simulator.urls.order, "order", timeout_seconds=1))
            found[row.name] = tuple(outcomes(await orders.post([BUY, SELL], before_body=send)))
    assert found == {row.name: row.outcomes for row in POST_FAULTS}
