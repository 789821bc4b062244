"""What the simulated Order Service reads and writes, besides the orders it is sent."""

from datetime import datetime
from decimal import Decimal

from msgspec import UNSET, Struct, UnsetType

from integrations.simulator.reply import Pagination


class Named(Struct, frozen=True):
    """A row with a name."""

    id: int
    name: str
    version: int = 1


class Abbreviated(Struct, frozen=True):
    """A row with an abbreviation."""

    id: int
    abbreviation: str
    description: str
    version: int = 1


class NestedSecurity(Struct, frozen=True, rename="camel"):
    """The security of an order."""

    security_id: str
    ticker: str | None


class NestedPortfolio(Struct, frozen=True, rename="camel"):
    """The portfolio of an order."""

    portfolio_id: str
    name: str | None


class OrderDetails(Struct, frozen=True, rename="camel"):
    """An order as the service shows it, with everything that belongs to it nested."""

    id: int
    blotter: Named
    status: Abbreviated
    portfolio: NestedPortfolio
    order_type: Abbreviated
    security: NestedSecurity
    quantity: Decimal
    limit_price: Decimal | None
    trade_order_id: int | None
    order_timestamp: datetime
    version: int


class OrderResult(Struct, frozen=True, rename="camel"):
    """The result of one order of a batch; a failure has neither `order` nor `orderId`."""

    status: str
    message: str
    request_index: int
    success: bool
    failure: bool
    order: OrderDetails | UnsetType = UNSET
    order_id: int | UnsetType = UNSET


class BatchResult(Struct, frozen=True, rename="camel"):
    """The result of a batch."""

    status: str
    message: str
    total_received: int
    successful: int
    failed: int
    orders: list[OrderResult]
    success: bool
    failure: bool
    partial: bool
    success_rate: float


class SubmitRequest(Struct, frozen=True, rename="camel"):
    """The orders to submit."""

    order_ids: list[int | None] | None = None


class SubmitResult(Struct, frozen=True, rename="camel"):
    """The result of one order of a submission."""

    order_id: int
    status: str
    message: str
    request_index: int
    trade_order_id: int | UnsetType = UNSET


class SubmitResponse(Struct, frozen=True, rename="camel"):
    """The result of a submission."""

    status: str
    message: str
    total_requested: int = 0
    successful: int = 0
    failed: int = 0
    results: list[SubmitResult] = []


class HandlerError(Struct, frozen=True):
    """What the real service's global exception handler returns."""

    code: str
    message: str
    timestamp: datetime


class BadRequest(Struct, frozen=True):
    """The body returned for a rejected query."""

    error: str
    message: str


class OrderPage(Struct, frozen=True):
    """A page of orders."""

    content: list[OrderDetails]
    pagination: Pagination
