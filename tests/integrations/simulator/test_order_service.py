"""The simulated Order Service behaves like the real one, and every one of its faults can be switched on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from integrations.simulator import (
    Creation,
    ErrorStatus,
    LostStatus,
    OrderFault,
    OrderResponse,
    Service,
    Simulator,
    SimulatorSettings,
    running_simulator,
)

TIMESTAMP = "2026-11-27T13:23:37.123457Z"
type Reply = tuple[int, Any]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A simulator in this event loop."""
    async with running_simulator(SimulatorSettings(portfolios=1)) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client that does not repeat a request."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


def order(simulator: Simulator, **changes: object) -> dict[str, object]:
    return {
        "blotterId": 1, "statusId": 1, "portfolioId": simulator.world.portfolio_ids(0, 1)[0], "orderTypeId": 1,
        "securityId": simulator.world.priced_security_ids()[0], "quantity": 10, "limitPrice": None,
        "tradeOrderId": None, "orderTimestamp": TIMESTAMP, "version": 1,
    } | changes  # fmt: skip


async def post(http: aiohttp.ClientSession, simulator: Simulator, body: object, path: str = "") -> Reply:
    async with http.post(f"{simulator.urls.order}/api/v1/orders{path}", json=body) as response:
        return response.status, await response.json()


async def get(http: aiohttp.ClientSession, simulator: Simulator, **params: object) -> Reply:
    query = {name.replace("__", "."): str(value) for name, value in params.items()}
    async with http.get(f"{simulator.urls.order}/api/v1/orders", params=query) as response:
        return response.status, await response.json()


async def test_a_created_order_is_returned_nested_with_its_id(
    http: aiohttp.ClientSession, simulator: Simulator
) -> None:
    """The result of a created order has the whole order and its id."""
    status, result = await post(http, simulator, [order(simulator), order(simulator, orderTypeId=5)])
    assert (status, result["status"], result["successful"], result["failed"]) == (200, "SUCCESS", 2, 0)
    second = result["orders"][1]
    assert (second["requestIndex"], second["orderId"], second["message"]) == (1, 2, "Order created successfully")
    assert second["order"]["orderType"]["abbreviation"] == "EXRC"
    assert second["order"]["portfolio"]["name"] == "Portfolio 1"
    assert (
        second["order"]["security"]["ticker"] == simulator.world.by_id[simulator.world.priced_security_ids()[0]].ticker
    )
    assert second["order"]["orderTimestamp"] == TIMESTAMP


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "Order data is required"),
        ({"blotterId": None}, "Blotter ID is required"),
        ({"statusId": None}, "Status ID is required"),
        ({"portfolioId": " "}, "Portfolio ID is required"),
        ({"orderTypeId": None}, "Order Type ID is required"),
        ({"securityId": ""}, "Security ID is required"),
        ({"quantity": 0}, "Quantity must be positive"),
        ({"limitPrice": 0}, "Limit price must be positive when provided"),
        ({"blotterId": 6}, "Blotter with ID 6 not found"),
        ({"statusId": 11}, "Status with ID 11 not found"),
        ({"orderTypeId": 6}, "Order Type with ID 6 not found"),
        ({"portfolioId": "x" * 25}, "Failed to create order: unknown error"),
        ({"orderTimestamp": None}, "Failed to create order: unknown error"),
        ({"version": None}, "Failed to create order: unknown error"),
        ({"quantity": 10**10}, "Failed to create order: unknown error"),
    ],
)
async def test_a_bad_item_fails_alone_with_the_real_message(
    http: aiohttp.ClientSession, simulator: Simulator, change: dict[str, object] | None, message: str
) -> None:
    """An item that breaks a rule fails with the real service's message, and the other items are created."""
    bad = None if change is None else order(simulator, **change)
    status, result = await post(http, simulator, [bad, order(simulator)])
    assert (status, result["status"], result["failed"]) == (207, "PARTIAL", 1)
    assert result["orders"][0]["message"] == message
    assert "orderId" not in result["orders"][0]
    assert len(simulator.orders.orders) == 1


async def test_a_trade_order_id_is_unique(http: aiohttp.ClientSession, simulator: Simulator) -> None:
    """The second order with the same trade order id fails."""
    item = order(simulator, tradeOrderId=7)
    status, result = await post(http, simulator, [item, item])
    assert (status, [row["status"] for row in result["orders"]]) == (207, ["SUCCESS", "FAILURE"])


async def test_a_whole_post_that_is_wrong_creates_nothing(http: aiohttp.ClientSession, simulator: Simulator) -> None:
    """An empty array is 400, too many items are 413, and anything unreadable is 500 in the handler's shape."""
    for body, expected in (([], 400), ([order(simulator)] * 1001, 413)):
        status, result = await post(http, simulator, body)
        assert (status, result["status"], result["totalReceived"]) == (expected, "FAILURE", 0)
    unreadable_bodies: list[object] = [
        {"orders": []},
        [order(simulator, quantity="much")],
        [order(simulator, orderTimestamp="now")],
    ]
    for unreadable in unreadable_bodies:
        status, result = await post(http, simulator, unreadable)
        assert (status, set(result)) == (500, {"code", "message", "timestamp"})
    url = f"{simulator.urls.order}/api/v1/orders"
    async with http.post(url, data=b"[]", headers={"Content-Type": "text/plain"}) as response:
        assert response.status == 500
    async with http.delete(url) as response:
        assert (response.status, (await response.json())["code"]) == (500, "INTERNAL_ERROR")
    assert simulator.orders.orders == []


async def test_orders_are_found_by_their_exact_timestamp(http: aiohttp.ClientSession, simulator: Simulator) -> None:
    """The filter compares microseconds, whatever the offset; a space where `+` was is not a timestamp."""
    other = "2026-11-27T13:23:37.123458Z"
    await post(http, simulator, [order(simulator), order(simulator, orderTimestamp=other), order(simulator)])
    status, page = await get(http, simulator, orderTimestamp="2026-11-27T14:23:37.123457+01:00", limit=1000)
    assert (status, [row["id"] for row in page["content"]]) == (200, [1, 3])
    assert page["pagination"] == {
        "totalElements": 2, "totalPages": 1, "currentPage": 0, "pageSize": 1000, "hasNext": False, "hasPrevious": False
    }  # fmt: skip
    assert (await get(http, simulator, orderTimestamp="2026-11-27T14:23:37 01:00"))[0] == 400


async def test_orders_are_filtered_and_paged(http: aiohttp.ClientSession, simulator: Simulator) -> None:
    """The other filters, the page and one order by its id are as in the real service; unknown filters are 400."""
    await post(http, simulator, [order(simulator, orderTypeId=kind) for kind in (1, 2, 1)])
    _, sells = await get(http, simulator, orderType__abbreviation="SELL,SHORT", status__abbreviation="NEW")
    assert [row["id"] for row in sells["content"]] == [2]
    _, none = await get(http, simulator, portfolio__name="Portfolio 2")
    assert none["content"] == []
    _, page = await get(http, simulator, limit=2, offset=3)
    assert ([row["id"] for row in page["content"]], page["pagination"]["currentPage"]) == ([3], 1)
    for wrong in ({"limit": 1001}, {"limit": 0}, {"offset": -1}, {"portfolioId": "x"}):
        assert (await get(http, simulator, **wrong))[0] == 400
    async with http.get(f"{simulator.urls.order}/api/v1/order/2") as response:
        assert (await response.json())["orderType"]["abbreviation"] == "SELL"
    async with http.get(f"{simulator.urls.order}/api/v1/order/9") as response:
        assert response.status == 404


async def test_submission_sends_only_new_orders(http: aiohttp.ClientSession, simulator: Simulator) -> None:
    """Submitting again is 400 without results, and the results of mixed ids name the wrong ids."""
    await post(http, simulator, [order(simulator) for _ in range(3)])
    status, result = await post(http, simulator, {"orderIds": [1]}, "/batch/submit")
    assert (status, result["results"][0]["tradeOrderId"]) == (200, 1)
    assert simulator.orders.orders[0].status_id == 2
    status, again = await post(http, simulator, {"orderIds": [1]}, "/batch/submit")
    assert (status, again["results"]) == (400, [])
    status, mixed = await post(http, simulator, {"orderIds": [1, 2, 3]}, "/batch/submit")
    assert (status, [row["orderId"] for row in mixed["results"]]) == (207, [1, 2])
    assert [row.trades for row in simulator.orders.orders] == [1, 1, 1]
    assert (await post(http, simulator, {"orderIds": [1] * 101}, "/batch/submit"))[0] == 413


async def test_a_lost_status_makes_a_repeated_submission_trade_twice(
    http: aiohttp.ClientSession, simulator: Simulator
) -> None:
    """The trades are sent, the orders stay NEW, and the response is 500."""
    await post(http, simulator, [order(simulator)])
    await simulator.inject(Service.ORDER, LostStatus(calls=1))
    assert (await post(http, simulator, {"orderIds": [1]}, "/batch/submit"))[0] == 500
    assert (await post(http, simulator, {"orderIds": [1]}, "/batch/submit"))[0] == 200
    assert simulator.orders.orders[0].trades == 2


async def test_responses_that_hide_what_was_created(http: aiohttp.ClientSession, simulator: Simulator) -> None:
    """-1, short responses, transient failures and 500 are reported whether or not the orders were created."""
    batch = [order(simulator) for _ in range(4)]

    async def under(responds: OrderResponse, **fault: Any) -> tuple[int, list[Any], int]:
        simulator.orders.clear()
        await simulator.inject(Service.ORDER, OrderFault(responds=responds, every=2, calls=1, **fault))
        status, result = await post(http, simulator, batch)
        return status, [row["requestIndex"] for row in result["orders"]], len(simulator.orders.orders)

    assert await under(OrderResponse.MINUS_ONE) == (207, [-1, 1, -1, 3], 4)
    assert await under(OrderResponse.MINUS_ONE, creates=Creation.NO) == (207, [-1, 1, -1, 3], 2)
    assert await under(OrderResponse.SHORT) == (200, [1, 3], 4)
    assert await under(OrderResponse.FAILURE, creates=Creation.NO) == (207, [0, 1, 2, 3], 2)
    assert await under(OrderResponse.ERROR, creates=Creation.NO) == (500, [], 2)
    assert await under(OrderResponse.OVERLOAD) == (500, [], 0)
    assert await under(OrderResponse.SHORT, creates=Creation.LATER, later_seconds=0.05) == (200, [1, 3], 2)
    async with asyncio.timeout(60):
        while len(simulator.orders.orders) < 4:  # noqa: ASYNC110 - nothing signals a later creation
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("responds", [OrderResponse.CUT_BEFORE, OrderResponse.CUT_DURING])
async def test_a_cut_connection_hides_what_was_created(
    http: aiohttp.ClientSession, simulator: Simulator, responds: OrderResponse
) -> None:
    """The connection breaks before or within the response, and the orders exist."""
    await simulator.inject(Service.ORDER, OrderFault(responds=responds))
    with pytest.raises(aiohttp.ClientError):
        await post(http, simulator, [order(simulator)])
    assert len(simulator.orders.orders) == 1


async def test_a_cut_after_the_response_does_no_harm(http: aiohttp.ClientSession, simulator: Simulator) -> None:
    """The whole response arrives before the connection is closed."""
    await simulator.inject(Service.ORDER, OrderFault(responds=OrderResponse.CUT_AFTER))
    assert (await post(http, simulator, [order(simulator)]))[0] == 200


async def test_faults_of_the_query_do_not_touch_the_post(http: aiohttp.ClientSession, simulator: Simulator) -> None:
    """A fault with the query's route leaves the post alone, and an order fault leaves the query alone."""
    await simulator.inject(
        Service.ORDER,
        ErrorStatus(status=404, route="GET /api/v1/orders", calls=1),
        OrderFault(responds=OrderResponse.ERROR, calls=1),
    )
    async with http.get(f"{simulator.urls.order}/api/v1/orders") as response:
        assert response.status == 404
    assert (await get(http, simulator))[0] == 200
    assert (await post(http, simulator, [order(simulator)]))[0] == 500
