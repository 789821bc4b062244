"""The endpoints that send the orders of a rebalance and show their state."""

from typing import Any

from litestar import Controller, MediaType, Request, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from app.errors.codes import ErrorCode, OrderGenerationError
from app.history.endpoints import RebalanceId
from app.http.cors import ANY
from app.http.identifiers import object_id
from app.http.responses import documented, errors
from app.http.streaming import blocks
from app.orders.schemas import OrdersRequest, OrderSubmissionDTO
from app.orders.submission import OrderState, OrderSubmission

USER_HEADER = "X-Forwarded-User"
LONGEST_USER = 256
_CROSS_SITE = "cross-site"


def orders_allowed(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Reject a request to send orders that this service, or the browser that sends it, must not make.

    Raises:
        OrderGenerationError: `ORDERS_DISABLED` or `CROSS_SITE`.
    """
    state = connection.app.state
    if not state.orders_enabled:
        raise OrderGenerationError(
            ErrorCode.ORDERS_DISABLED, "This service does not send orders: ORDERS_ENABLED is false."
        )
    origins = {origin for origin in state.allowed_origins if origin != ANY}
    headers = connection.headers
    if headers.get("Sec-Fetch-Site", "").strip().lower() == _CROSS_SITE and headers.get("Origin") not in origins:
        raise OrderGenerationError(
            ErrorCode.CROSS_SITE,
            "A browser sent this request from another site, whose origin CORS_ALLOW_ORIGINS does not list by name.",
        )


class OrderController(Controller):
    """Send the trades of stored rebalances as orders."""

    path = "/api/v1"
    tags = ("Orders",)

    @post(
        "/rebalance/{rebalance_id:str}/orders",
        operation_id="sendOrders",
        summary="Send the orders of a rebalance",
        status_code=HTTP_200_OK,
        guards=[orders_allowed],
        responses=errors(
            ErrorCode.ORDERS_DISABLED,
            ErrorCode.CROSS_SITE,
            ErrorCode.REBALANCE_NOT_FOUND,
            ErrorCode.PORTFOLIO_NOT_FOUND,
            ErrorCode.SUPERSEDED,
            ErrorCode.REBALANCE_TOO_OLD,
            ErrorCode.DOCUMENT_UNREADABLE,
            body=True,
        )
        | documented(OrderSubmissionDTO, description="Every requested order has an outcome.")
        | documented(
            OrderSubmissionDTO,
            HTTP_202_ACCEPTED,
            "Some orders are PENDING or UNKNOWN. They continue by themselves; GET shows their state.",
        ),
    )
    async def send_orders(
        self,
        rebalance_id: RebalanceId,
        request: Request[Any, Any, Any],
        order_submission: OrderSubmission,
        data: OrdersRequest | None = None,
    ) -> Stream:
        """Send the trades of a rebalance's completed portfolios to the Order Service, each at most once.

        The orders are stored before the first is sent, and continue by themselves if this call ends early. A repeated
        call never sends an order again: it returns the state, and adds portfolios that were not requested before.
        Previews are not stored and cannot be sent; a failed portfolio, or one without trades, sends nothing.
        """
        user = request.headers.get(USER_HEADER, "")[:LONGEST_USER] or None
        state = await order_submission.request(object_id("rebalanceId", rebalance_id), data or OrdersRequest(), user)
        return _shown(state, HTTP_202_ACCEPTED if state.unfinished else HTTP_200_OK)

    @get(
        "/rebalance/{rebalance_id:str}/orders",
        operation_id="getOrders",
        summary="Get the orders of a rebalance",
        responses=errors(ErrorCode.REBALANCE_NOT_FOUND, ErrorCode.NOT_FOUND, ErrorCode.DOCUMENT_UNREADABLE)
        | documented(OrderSubmissionDTO),
    )
    async def get_orders(self, rebalance_id: RebalanceId, order_submission: OrderSubmission) -> Stream:
        """Return the recorded state of the orders of a rebalance; nothing is sent or queried."""
        return _shown(await order_submission.get(object_id("rebalanceId", rebalance_id)), HTTP_200_OK)


def _shown(state: OrderState, status: int) -> Stream:
    return Stream(blocks(state.chunks()), media_type=MediaType.JSON, status_code=status)
