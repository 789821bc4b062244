"""Orders are placed once, and their receipt accounts for every one of them."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest
from aiohttp import web

from integrations.http.client import forwarded_headers
from integrations.http.errors import Cause, ServiceError
from integrations.order import Order, OrderReceipt, Orders, OrderStatus, OrderType
from integrations.simulator import SimulatorSettings, running_simulator
from tests.integrations.conftest import Handler, MakeClient, serving

PORTFOLIO, APPLE = "68989d07a711681c7aed8cb7", "68759586672efc735e8b181d"
BUY = Order(
    portfolio_id=PORTFOLIO,
    order_type=OrderType.BUY,
    security_id=APPLE,
    quantity=12,
    order_timestamp=datetime(2025, 8, 10, 13, 23, 37, tzinfo=UTC),
)


async def test_an_order_is_posted_as_the_service_wants_it(make_client: MakeClient) -> None:
    posted: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.content_type == "application/json"
        assert request.headers["X-Correlation-ID"] == "abc"
        posted.extend(await request.json())
        result = {"status": "SUCCESS", "message": "made", "orderId": 7, "requestIndex": 0}
        return web.json_response(
            {
                "status": "SUCCESS",
                "message": "all",
                "totalReceived": 1,
                "successful": 1,
                "failed": 0,
                "orders": [result],
            }
        )

    async def place(orders: Orders) -> OrderReceipt:
        forwarded_headers.set({"X-Correlation-ID": "abc"})
        return await orders.place([BUY], deadline=None)

    async with serving(answer) as server:
        receipt = await asyncio.create_task(place(Orders(make_client(server.url, "order"))))
    assert posted == [
        {
            "blotterId": 1, "statusId": 1, "portfolioId": PORTFOLIO, "orderTypeId": 1, "securityId": APPLE,
            "quantity": 12, "limitPrice": None, "tradeOrderId": None, "orderTimestamp": "2025-08-10T13:23:37Z",
            "version": 1,
        }
    ]  # fmt: skip
    assert (receipt.status, receipt.orders[0].order_id) == (OrderStatus.SUCCESS, 7)


async def test_the_simulated_service_keeps_what_was_placed(make_client: MakeClient) -> None:
    async with running_simulator(SimulatorSettings(portfolios=1)) as simulator:
        orders = Orders(make_client(simulator.urls.order, "order"))
        sell = msgspec.structs.replace(BUY, order_type=OrderType.SELL, quantity=3)
        receipt = await orders.place([BUY, sell], deadline=None)
    assert (receipt.status, receipt.total_received, receipt.successful) == (OrderStatus.SUCCESS, 2, 2)
    assert all(result.order_id is not None for result in receipt.orders)


@pytest.mark.parametrize("count", [0, 1001])
async def test_no_orders_or_too_many_are_refused_before_they_are_sent(make_client: MakeClient, count: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 1000 orders"):
        await Orders(make_client("http://127.0.0.1:9")).place([BUY] * count, deadline=None)


def answering(*indexes: int) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        results = [{"status": "FAILURE", "message": "no", "requestIndex": index} for index in indexes]
        return web.json_response(
            {"status": "FAILURE", "message": "", "totalReceived": 2, "successful": 0, "failed": 2, "orders": results},
            status=207,
        )

    return answer


async def test_refused_orders_are_part_of_the_receipt(make_client: MakeClient) -> None:
    async with serving(answering(1, 0)) as server:
        receipt = await Orders(make_client(server.url)).place([BUY, BUY], deadline=None)
    assert [(each.request_index, each.status) for each in receipt.orders] == [
        (1, OrderStatus.FAILURE),
        (0, OrderStatus.FAILURE),
    ]


@pytest.mark.parametrize("indexes", [(), (0,), (0, 0), (0, 2), (0, 1, 2)])
async def test_a_receipt_that_does_not_account_for_every_order_is_an_error(
    make_client: MakeClient, indexes: tuple[int, ...]
) -> None:
    """It leaves open what was made, as the error's `sent` says."""
    async with serving(answering(*indexes)) as server:
        with pytest.raises(ServiceError) as raised:
            await Orders(make_client(server.url)).place([BUY, BUY], deadline=None)
    assert (raised.value.cause, raised.value.sent) == (Cause.BAD_PAYLOAD, True)
