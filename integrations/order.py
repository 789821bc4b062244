"""The Order Service: posts orders, finds the orders of a post again, and submits them.

`POST /api/v1/orders` is not idempotent, and its response can hide what it did: an order can be reported as a failure,
with `requestIndex` -1, or not at all, and exist. So a post is sent once, and its outcome separates what is certain from
what is not. An `orderTimestamp` that no other post has finds the orders of a post again:
`GET /api/v1/orders?orderTimestamp=` compares for equality, to the microsecond.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from integrations.http.client import ServiceClient
from integrations.http.errors import Cause, ServiceError

MAX_ORDERS: Final = 1000
MAX_SUBMISSIONS: Final = 100
QUERY_SECONDS: Final = 10.0
"""A query is repeated anyway; a silent Order Service must not hold it up for as long as a post may take."""

_ORDERS: Final = "/api/v1/orders"
_NEW: Final = (1, "NEW")
_OVERLOAD: Final = "temporarily overloaded"
_NO_RESULTS: Final = "No orders to process"
_NOTHING_CREATED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
_VALIDATIONS: Final = frozenset(
    {
        "Order data is required",
        "Blotter ID is required",
        "Status ID is required",
        "Portfolio ID is required",
        "Order Type ID is required",
        "Security ID is required",
        "Quantity must be positive",
        "Limit price must be positive when provided",
    }
)
_MISSING_REFERENCES: Final = ("Blotter with ID ", "Status with ID ", "Order Type with ID ")

type Moment = Annotated[datetime, Meta(tz=True)]


class OrderType(IntEnum):
    """The Order Service's own numbers."""

    BUY = 1
    SELL = 2


class Order(Struct, frozen=True, kw_only=True, rename="camel"):
    """An order to create.

    Attributes:
        quantity: shares, above 0, with at most 8 decimal places.
        order_timestamp: that of the post, in UTC with microseconds.
    """

    portfolio_id: str
    order_type: OrderType = msgspec.field(name="orderTypeId")
    security_id: str
    quantity: Decimal
    order_timestamp: datetime
    blotter_id: int = 1
    status_id: int = 1
    limit_price: None = None
    trade_order_id: None = None
    version: int = 1


class OrderOutcome(StrEnum):
    """The certain outcome of one order after its post."""

    CREATED = "CREATED"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"


class OrderResult(Struct, frozen=True):
    """The outcome of one order: its id if it was created, and the Order Service's message."""

    outcome: OrderOutcome
    message: str
    order_id: int | None = None


class PostResult(Struct, frozen=True):
    """The outcome of a post.

    Attributes:
        orders: one result for each order, in the order of the post; empty if clearly nothing was created.
        message: why nothing was created, or why the outcome is unknown; empty if the response was usable.
    """

    orders: tuple[OrderResult, ...]
    message: str = ""

    @property
    def nothing_created(self) -> bool:
        """Whether the same orders may be posted again."""
        return not self.orders


class FoundOrder(Struct, frozen=True):
    """An order that exists in the Order Service; `submitted` if it is past NEW or has a trade order.

    Attributes:
        order_type: None for a type that this service does not send.
    """

    order_id: int
    portfolio_id: str
    order_type: OrderType | None
    security_id: str
    quantity: Decimal
    submitted: bool


class _Reference(Struct, frozen=True):
    """A nested status or order type."""

    id: int | None = None
    abbreviation: str | None = None

    def is_(self, number: int, abbreviation: str) -> bool:
        """Return whether this is the row with this number, which may be named by its abbreviation alone."""
        return self.abbreviation == abbreviation if self.id is None else self.id == number


class _SecurityId(Struct, frozen=True, rename="camel"):
    security_id: str


class _PortfolioId(Struct, frozen=True, rename="camel"):
    portfolio_id: str


class _Details(Struct, frozen=True, rename="camel"):
    id: int
    status: _Reference
    portfolio: _PortfolioId
    order_type: _Reference
    security: _SecurityId
    quantity: Decimal
    order_timestamp: Moment
    trade_order_id: int | None = None


class _Result(Struct, frozen=True, rename="camel"):
    status: str
    request_index: int
    message: str | None = None
    order_id: int | None = None
    order: _Details | None = None


class _Receipt(Struct, frozen=True):
    orders: tuple[_Result, ...]


class _Failure(Struct, frozen=True, rename="camel"):
    message: str
    total_received: int


class _Pagination(Struct, frozen=True, rename="camel"):
    total_elements: int


class _Page(Struct, frozen=True):
    content: tuple[_Details, ...]
    pagination: _Pagination


class _Submission(Struct, frozen=True):
    status: str


_encode = msgspec.json.Encoder(decimal_format="number").encode


class Orders:
    """Creates, finds and submits orders; nothing is repeated here."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    @property
    def available(self) -> bool:
        """Whether the circuit breaker admits calls."""
        return self._client.state != "open"

    async def post(self, orders: Sequence[Order], *, before_body: Callable[[], None]) -> PostResult:
        """Post orders once.

        Args:
            orders: 1 to 1000 of them, all with the same timestamp.
            before_body: called immediately before the body is sent; if it raises, the Order Service does not get it.

        Returns:
            What is certain; never raises for anything that the Order Service does.

        Raises:
            ValueError: no order, or more than 1000.
        """
        if not 0 < len(orders) <= MAX_ORDERS:
            raise ValueError(f"between 1 and {MAX_ORDERS} orders can be posted at once, not {len(orders)}")
        try:
            receipt = await self._client.send_once(
                "POST", _ORDERS, body=_encode(orders), expect=_Receipt, before_body=before_body
            )
        except ServiceError as error:
            return _failed(orders, error)
        return _outcome(orders, receipt)

    async def find(self, timestamp: datetime) -> tuple[FoundOrder, ...]:
        """Return all orders of a post.

        Raises:
            ServiceError: no response, or none that is certain to be complete and about this timestamp.
        """
        params = {"orderTimestamp": timestamp_text(timestamp), "limit": str(MAX_ORDERS), "offset": "0"}
        try:
            async with asyncio.timeout(QUERY_SECONDS):
                page = await self._client.send_once("GET", _ORDERS, params=params, expect=_Page)
        except TimeoutError:
            reason = f"no complete response within {QUERY_SECONDS:g} s"
            raise ServiceError(self._client.name, Cause.TIMEOUT, reason) from None
        if page.pagination.total_elements != len(page.content):
            raise ServiceError(self._client.name, Cause.BAD_PAYLOAD, "the response is not the whole list of orders")
        if any(row.order_timestamp != timestamp for row in page.content):
            raise ServiceError(self._client.name, Cause.BAD_PAYLOAD, "the response has orders with another timestamp")
        return tuple(_found(row) for row in page.content)

    async def submit(self, order_ids: Sequence[int], *, before_body: Callable[[], None]) -> None:
        """Submit created orders once. Only a query shows which of them were submitted.

        Raises:
            ValueError: no order, or more than 100.
            ServiceError: the Order Service did not accept the call, or its response did not arrive.
        """
        if not 0 < len(order_ids) <= MAX_SUBMISSIONS:
            raise ValueError(f"between 1 and {MAX_SUBMISSIONS} orders can be submitted at once, not {len(order_ids)}")
        body = _encode({"orderIds": order_ids})
        await self._client.send_once(
            "POST", f"{_ORDERS}/batch/submit", body=body, expect=_Submission, before_body=before_body
        )


def timestamp_text(timestamp: datetime) -> str:
    """Return a timestamp as the Order Service is sent it: UTC, six decimal places, `Z`."""
    return f"{timestamp.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _found(row: _Details) -> FoundOrder:
    return FoundOrder(
        order_id=row.id,
        portfolio_id=row.portfolio.portfolio_id,
        order_type=next((each for each in OrderType if row.order_type.is_(each, each.name)), None),
        security_id=row.security.security_id,
        quantity=row.quantity,
        submitted=not row.status.is_(*_NEW) or row.trade_order_id is not None,
    )


def _failed(orders: Sequence[Order], error: ServiceError) -> PostResult:
    """Return the outcome of a post without a usable result for each order."""
    rejected = error.status in _NOTHING_CREATED and not _lost_its_results(error)
    if not error.sent or rejected or _is_overload(error):
        return PostResult((), error.reason)
    unknown = OrderResult(OrderOutcome.UNKNOWN, f"The outcome is unknown: {error.reason}.")
    return PostResult((unknown,) * len(orders), error.reason)


def _is_overload(error: ServiceError) -> bool:
    """Return whether the Order Service rejected a post before its first order."""
    failure = _failure(error)
    return (
        error.status == HTTPStatus.INTERNAL_SERVER_ERROR
        and failure is not None
        and failure.total_received == 0
        and _OVERLOAD in failure.message
    )


def _lost_its_results(error: ServiceError) -> bool:
    """Return whether a post of orders was rejected as empty: the Order Service says so if it has results of none."""
    failure = _failure(error)
    return failure is not None and _NO_RESULTS in failure.message


def _failure(error: ServiceError) -> _Failure | None:
    if error.body is None:
        return None
    try:
        return msgspec.json.decode(error.body, type=_Failure)
    except (ValueError, RecursionError):
        return None


def _outcome(orders: Sequence[Order], receipt: _Receipt) -> PostResult:
    """Return what a response says about each order; what it does not say, or says twice, is unknown."""
    by_index = {result.request_index: result for result in receipt.orders}
    counts = Counter(result.request_index for result in receipt.orders)
    ids = Counter(result.order_id for result in receipt.orders)
    results: list[OrderResult] = []
    for index, order in enumerate(orders):
        result = by_index.get(index)
        if result is None or counts[index] > 1:
            message = "The Order Service did not report the outcome of this order."
            results.append(OrderResult(OrderOutcome.UNKNOWN, message))
        else:
            results.append(_order_outcome(order, result, is_id_unique=ids[result.order_id] == 1))
    return PostResult(tuple(results))


def _order_outcome(order: Order, result: _Result, *, is_id_unique: bool) -> OrderResult:
    message = result.message or ""
    if (
        result.status == "SUCCESS"
        and result.order_id is not None
        and is_id_unique
        and (result.order is None or _is_about(result.order, order, result.order_id))
    ):
        return OrderResult(OrderOutcome.CREATED, message, result.order_id)
    if result.status == "FAILURE" and result.order_id is None and _is_validation(message):
        return OrderResult(OrderOutcome.REFUSED, message)
    return OrderResult(OrderOutcome.UNKNOWN, f"The outcome is unknown: {message or 'no message'}")


def _is_about(row: _Details, order: Order, order_id: int) -> bool:
    return (
        row.id == order_id
        and row.portfolio.portfolio_id == order.portfolio_id
        and row.security.security_id == order.security_id
        and row.order_type.is_(order.order_type, order.order_type.name)
        and row.quantity == order.quantity
        and row.order_timestamp == order.order_timestamp
    )


def _is_validation(message: str) -> bool:
    """Return whether a failure is final: every other message can hide an order that was created."""
    return message in _VALIDATIONS or (message.startswith(_MISSING_REFERENCES) and message.endswith(" not found"))
