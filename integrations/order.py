"""The Order Service: where trades become orders.

`POST /api/v1/orders` takes a bare array of at most 1000 orders and answers 200 or 207 with a result for each of them,
or 400, 413 or 500, the last also when overloaded. It is not idempotent: the same post twice makes the orders twice. So
a post is repeated only where no connection was made at all, and a `ServiceError` with `sent` leaves open whether it
took effect.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum, StrEnum

import msgspec
from msgspec import Struct

from integrations.http.client import ServiceClient
from integrations.http.errors import Cause, ServiceError

MAX_ORDERS = 1000


class OrderType(IntEnum):
    """The Order Service's own numbers."""

    BUY = 1
    SELL = 2


class Order(Struct, frozen=True, kw_only=True, rename="camel"):
    """An order to place.

    Attributes:
        quantity: whole shares, above 0.
        order_timestamp: when it was decided, with a time zone.
    """

    portfolio_id: str
    order_type: OrderType = msgspec.field(name="orderTypeId")
    security_id: str
    quantity: int
    order_timestamp: datetime
    blotter_id: int = 1
    status_id: int = 1
    limit_price: None = None
    trade_order_id: None = None
    version: int = 1


class OrderStatus(StrEnum):
    """What became of one order, or of all of them together."""

    SUCCESS = "SUCCESS"
    PARTIAL = "PARTIAL"
    FAILURE = "FAILURE"


class OrderResult(Struct, frozen=True, rename="camel"):
    """What became of one order.

    Attributes:
        request_index: its 0-based place among the orders posted.
        order_id: the Order Service's id of it; None where it was not made.
    """

    request_index: int
    status: OrderStatus
    message: str | None = None
    order_id: int | None = None


class OrderReceipt(Struct, frozen=True, rename="camel"):
    """What became of a post, one result for each order."""

    status: OrderStatus
    total_received: int
    successful: int
    failed: int
    orders: tuple[OrderResult, ...]
    message: str | None = None


class Orders:
    """Places orders."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def place(self, orders: Sequence[Order], *, deadline: float | None) -> OrderReceipt:
        """Posts up to 1000 orders at once; some may be refused, as their results say.

        Raises:
            ValueError: no order, or more than 1000 of them.
            ServiceError: no usable answer; where `sent` is true, the orders may have been made.
        """
        if not 0 < len(orders) <= MAX_ORDERS:
            raise ValueError(f"between 1 and {MAX_ORDERS} orders can be placed at once, not {len(orders)}")
        receipt = await self._client.post(
            "/api/v1/orders", msgspec.json.encode(orders), expect=OrderReceipt, deadline=deadline
        )
        if sorted(result.request_index for result in receipt.orders) != list(range(len(orders))):
            raise ServiceError(self._client.name, Cause.BAD_PAYLOAD, "answer has not one result for each order")
        return receipt
