"""The simulated Order Service's HTTP interface, quirks included."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from integrations.simulator.faults.kinds import CallFault, Creation, OrderFault, OrderResponse
from integrations.simulator.order_schemas import (
    Abbreviated,
    BadRequest,
    BatchResult,
    HandlerError,
    Named,
    NestedPortfolio,
    NestedSecurity,
    OrderDetails,
    OrderPage,
    OrderResult,
    SubmitRequest,
    SubmitResponse,
    SubmitResult,
)
from integrations.simulator.orders import (
    BLOTTERS,
    ORDER_TYPES,
    STATUSES,
    Order,
    OrderBook,
    OrderPost,
    read_timestamp,
)
from integrations.simulator.reply import JSON, Reply, Route, pagination
from integrations.simulator.world import World

LARGEST_BATCH, LARGEST_SUBMISSION = 1000, 100
_DEFAULT_PAGE, _LARGEST_PAGE = 50, 1000
_OVERLOAD = "System temporarily overloaded - please retry in a few minutes"
_THROWN = "Internal server error processing batch request: "
_FILTERS = (
    "security.ticker",
    "portfolio.name",
    "blotter.name",
    "status.abbreviation",
    "orderType.abbreviation",
    "orderTimestamp",
)
_PAGING = ("limit", "offset", "sort")

_encode = msgspec.json.Encoder(decimal_format="number").encode


class OrderService:
    """Responds to calls about the orders of a book."""

    def __init__(self, world: World, book: OrderBook) -> None:
        self._world, self._book = world, book

    def routes(self) -> tuple[Route, ...]:
        """Return the calls that the service accepts."""
        orders, order, submit = "/api/v1/orders", "/api/v1/order/{id}", "/api/v1/orders/batch/submit"
        return (
            Route("POST", orders, self.post_orders, self.post_orders_under),
            Route("GET", orders, self.list_orders),
            Route("GET", order, self.get_order),
            Route("POST", submit, self.submit, self.submit_under),
            *(Route("*", path, wrong_method) for path in (orders, order, submit)),
        )

    async def post_orders(self, request: web.Request) -> Reply:
        """Create the orders of a batch."""
        posts = await self._batch(request)
        return posts if isinstance(posts, Reply) else self._batch_reply(await self._book.create_all(posts))

    async def post_orders_under(self, request: web.Request, fault: CallFault) -> Reply:
        """Create the orders of a batch as far as the fault allows, and respond as it says.

        The fault's `cut-…` and `hang` are left to the delivery of the response.
        """
        posts = await self._batch(request)
        if isinstance(posts, Reply) or not isinstance(fault, OrderFault):
            return posts if isinstance(posts, Reply) else self._batch_reply(await self._book.create_all(posts))
        if fault.responds is OrderResponse.OVERLOAD:
            return _whole_batch(_THROWN + _OVERLOAD, 500)
        affected = _affected(posts, fault)
        if fault.creates is Creation.LATER:
            self._book.create_later([posts[index] for index in affected], fault.later_seconds)
        created = await self._book.create_all(
            posts, lambda index: fault.creates is Creation.YES or index not in affected
        )
        await asyncio.sleep(fault.delay_seconds)
        if fault.responds is OrderResponse.ERROR:
            return _whole_batch(_THROWN + fault.message, 500)
        return self._batch_reply(self._shown(created, affected, fault), minus_one=_minus_one(affected, fault))

    async def list_orders(self, request: web.Request) -> Reply:
        """Return a page of the orders that pass all filters; the values of one filter are alternatives."""
        limit, offset = (_integer(request.query.get(name, str(default))) for name, default in _PAGE_DEFAULTS)
        if limit is None or offset is None:
            return _handler_error()
        if not 1 <= limit <= _LARGEST_PAGE or offset < 0:
            return _bad_request("Invalid limit parameter", f"Limit must be between 1 and {_LARGEST_PAGE}, got: {limit}")
        unknown = [name for name in request.query if name not in (*_FILTERS, *_PAGING)]
        if unknown:
            return _bad_request("Invalid filter parameter", f"Invalid filter fields: {unknown}")
        chosen = self._book.orders
        for name in _FILTERS:
            values = [value.strip() for value in ",".join(request.query.getall(name, [])).split(",") if value.strip()]
            if not values:
                continue
            if name == "orderTimestamp":
                moments = [read_timestamp(value) for value in values]
                if None in moments:
                    return _bad_request("Validation error", f"Invalid timestamp format for orderTimestamp: {values}")
                chosen = [order for order in chosen if order.order_timestamp in moments]
            else:
                chosen = [order for order in chosen if self._value(order, name) in values]
        # The real service's pages begin at multiples of their size.
        start = offset // limit * limit
        page = [self._details(order) for order in chosen[start : start + limit]]
        return Reply(_encode(OrderPage(page, pagination(len(chosen), limit, start))))

    async def get_order(self, request: web.Request) -> Reply:
        """Return one order; 404 without a body if it is unknown."""
        order_id = _integer(request.match_info["id"])
        if order_id is None:
            return _handler_error()
        order = self._book.find(order_id)
        return Reply(b"", 404) if order is None else Reply(_encode(self._details(order)))

    async def submit(self, request: web.Request) -> Reply:
        """Send the trades of orders."""
        return await self._submit(request, record=True)

    async def submit_under(self, request: web.Request, _: CallFault) -> Reply:
        """Send the trades of orders, lose their new status and return 500."""
        reply = await self._submit(request, record=False)
        if reply.status not in (200, 207):
            return reply
        message = "Internal server error processing batch submission request: could not commit"
        return Reply(_encode(SubmitResponse("FAILURE", message)), 500)

    async def _submit(self, request: web.Request, *, record: bool) -> Reply:
        if request.content_type != JSON:
            return _handler_error()
        try:
            order_ids = msgspec.json.decode(await request.read(), type=SubmitRequest, strict=False).order_ids
        except msgspec.MsgspecError:
            return _handler_error()
        if not order_ids or None in order_ids:
            message = "Order IDs list cannot be empty" if not order_ids else "Order IDs cannot contain null values"
            return Reply(_encode(SubmitResponse("FAILURE", message)), 400)
        if len(order_ids) > LARGEST_SUBMISSION:
            message = f"Batch size {len(order_ids)} exceeds maximum allowed size of {LARGEST_SUBMISSION}"
            return Reply(_encode(SubmitResponse("FAILURE", message)), 413)
        asked = [order_id for order_id in order_ids if order_id is not None]
        orders = self._book.submittable(asked)
        if not orders:
            return Reply(_encode(SubmitResponse("FAILURE", "No eligible orders to submit")), 400)
        # Like the real service: the place among the eligible orders, with the id at that place among the requested.
        results = [
            SubmitResult(
                asked[place], "SUCCESS", "Order submitted successfully", place, self._book.trade(order, record=record)
            )
            for place, order in enumerate(orders)
        ]
        whole = len(orders) == len(asked)
        status = "SUCCESS" if whole else "PARTIAL"
        message = f"{len(orders)} of {len(asked)} orders submitted successfully"
        response = SubmitResponse(status, message, len(asked), len(orders), len(asked) - len(orders), results)
        return Reply(_encode(response), 200 if whole else 207)

    async def _batch(self, request: web.Request) -> list[OrderPost | None] | Reply:
        if request.content_type != JSON:
            return _handler_error()
        try:
            posts = msgspec.json.decode(await request.read(), type=list[OrderPost | None], strict=False)
        except msgspec.MsgspecError:
            return _handler_error()
        if len(posts) > LARGEST_BATCH:
            return _whole_batch(f"Batch size {len(posts)} exceeds maximum allowed size of {LARGEST_BATCH}", 413)
        return posts or _whole_batch("No orders to process", 400)

    def _batch_reply(self, results: Mapping[int, Order | str], minus_one: frozenset[int] = frozenset()) -> Reply:
        rows = [self._result(-1 if index in minus_one else index, result) for index, result in sorted(results.items())]
        successful = sum(row.success for row in rows)
        if not rows:
            return _whole_batch("No orders to process", 400)
        if successful == len(rows):
            status, message = "SUCCESS", f"All {successful} orders processed successfully"
        elif not successful:
            status, message = "FAILURE", "All orders failed to process"
        else:
            status, message = "PARTIAL", f"{successful} of {len(rows)} orders processed successfully"
        return Reply(_encode(_batch_result(status, message, rows)), 200 if status == "SUCCESS" else 207)

    def _shown(
        self, created: Mapping[int, Order | str], affected: frozenset[int], fault: OrderFault
    ) -> dict[int, Order | str]:
        """Return the results as the fault shows them."""
        shown = dict(created)
        for index in affected:
            match fault.responds:
                case OrderResponse.SHORT:
                    shown.pop(index, None)
                case OrderResponse.FAILURE | OrderResponse.MINUS_ONE:
                    shown[index] = fault.message
                case _:
                    shown.setdefault(index, fault.message)
        return shown

    def _result(self, index: int, result: Order | str) -> OrderResult:
        if isinstance(result, str):
            return OrderResult("FAILURE", result, index, success=False, failure=True)
        return OrderResult(
            "SUCCESS",
            "Order created successfully",
            index,
            success=True,
            failure=False,
            order=self._details(result),
            order_id=result.id,
        )

    def _details(self, order: Order) -> OrderDetails:
        security = self._world.by_id.get(order.security_id)
        portfolio = self._world.portfolio(order.portfolio_id)
        status, order_type = STATUSES[order.status_id - 1], ORDER_TYPES[order.order_type_id - 1]
        return OrderDetails(
            id=order.id,
            blotter=Named(order.blotter_id, BLOTTERS[order.blotter_id - 1]),
            status=Abbreviated(order.status_id, status, status.capitalize()),
            portfolio=NestedPortfolio(order.portfolio_id, None if portfolio is None else portfolio.name),
            order_type=Abbreviated(order.order_type_id, order_type, order_type.capitalize()),
            security=NestedSecurity(order.security_id, None if security is None else security.ticker),
            quantity=order.quantity,
            limit_price=order.limit_price,
            trade_order_id=order.trade_order_id,
            order_timestamp=order.order_timestamp,
            version=order.version,
        )

    def _value(self, order: Order, name: str) -> str | None:
        details = self._details(order)
        match name:
            case "security.ticker":
                return details.security.ticker
            case "portfolio.name":
                return details.portfolio.name
            case "blotter.name":
                return details.blotter.name
            case "status.abbreviation":
                return details.status.abbreviation
            case _:
                return details.order_type.abbreviation


_PAGE_DEFAULTS = (("limit", _DEFAULT_PAGE), ("offset", 0))


async def wrong_method(_: web.Request) -> Reply:
    """Respond to a method that a path does not have, as the real service does: with an internal error."""
    return _handler_error()


def _affected(posts: Sequence[OrderPost | None], fault: OrderFault) -> frozenset[int]:
    chosen = [
        index
        for index, post in enumerate(posts)
        if fault.order_type is None or (post is not None and post.order_type_id == fault.order_type)
    ]
    return frozenset(chosen[:: fault.every])


def _minus_one(affected: frozenset[int], fault: OrderFault) -> frozenset[int]:
    return affected if fault.responds is OrderResponse.MINUS_ONE else frozenset()


def _batch_result(status: str, message: str, rows: list[OrderResult]) -> BatchResult:
    successful = sum(row.success for row in rows)
    return BatchResult(
        status=status,
        message=message,
        total_received=len(rows),
        successful=successful,
        failed=len(rows) - successful,
        orders=rows,
        success=status == "SUCCESS",
        failure=status == "FAILURE",
        partial=status == "PARTIAL",
        success_rate=successful / len(rows) if rows else 0.0,
    )


def _whole_batch(message: str, status: int) -> Reply:
    """Respond to a batch as a whole, without a result for any order."""
    return Reply(_encode(_batch_result("FAILURE", message, [])), status)


def _handler_error() -> Reply:
    message = "An unexpected error occurred. Please try again later."
    return Reply(_encode(HandlerError("INTERNAL_ERROR", message, datetime.now(UTC))), 500)


def _bad_request(error: str, message: str) -> Reply:
    return Reply(_encode(BadRequest(error, message)), 400)


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
