"""The orders that were accepted, with the answers the order service gives to a batch of them."""

from datetime import datetime
from decimal import Decimal

from msgspec import UNSET, Struct, UnsetType

from integrations.simulator.holdings import Holding, Holdings
from integrations.simulator.prices import PriceBoard
from integrations.simulator.world import World

BUY, SELL = 1, 2
LARGEST_BATCH = 1000


class OrderPost(Struct, frozen=True, rename="camel"):
    """One order of a batch as it was sent; the real service, too, takes any key as absent."""

    blotter_id: int | None = None
    status_id: int | None = None
    portfolio_id: str | None = None
    order_type_id: int | None = None
    security_id: str | None = None
    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    trade_order_id: int | None = None
    order_timestamp: datetime | None = None
    version: int | None = None


class Order(Struct, frozen=True, rename="camel"):
    """An accepted order; `quantity` is above 0 and `order_type_id` 1 to buy, 2 to sell."""

    id: int
    blotter_id: int
    status_id: int
    portfolio_id: str
    order_type_id: int
    security_id: str
    quantity: Decimal
    limit_price: Decimal | None
    order_timestamp: datetime
    version: int


class OrderResult(Struct, frozen=True, rename="camel"):
    """What became of one order of a batch; a refused one has no `orderId` key."""

    status: str
    message: str
    request_index: int
    order_id: int | UnsetType = UNSET


class BatchResult(Struct, frozen=True, rename="camel"):
    """What became of a batch."""

    status: str
    message: str
    total_received: int
    successful: int
    failed: int
    orders: list[OrderResult]


class Settlement(Struct, frozen=True):
    """What settling did: how many orders were applied to holdings, and which could not be for want of a price."""

    settled: int
    unpriced: list[int]


class OrderBook:
    """Accepted orders, in the order they came; the same batch twice makes the orders twice."""

    def __init__(self) -> None:
        """Begin empty."""
        self.orders: list[Order] = []
        self._unsettled = 0

    def accept(self, batch: list[OrderPost]) -> BatchResult:
        """Keep the good orders of a batch and answer for each."""
        results = [self._accept(index, post) for index, post in enumerate(batch)]
        if not results:
            return refused_batch("No orders to process")
        successful = sum(result.status == "SUCCESS" for result in results)
        failed = len(results) - successful
        if not failed:
            status, message = "SUCCESS", f"All {successful} orders processed successfully"
        elif not successful:
            status, message = "FAILURE", "All orders failed to process"
        else:
            status, message = "PARTIAL", f"{successful} of {len(results)} orders processed successfully"
        return BatchResult(status, message, len(results), successful, failed, results)

    def settle(self, world: World, prices: PriceBoard) -> Settlement:
        """Apply the orders that came since the last settlement to their portfolios, at one draw of all prices."""
        drawn = prices.draw()
        unpriced: list[int] = []
        fresh = self.orders[self._unsettled :]
        for order in fresh:
            security = world.by_id.get(order.security_id)
            price = None if security is None else drawn.get(security.ticker)
            if price is None:
                unpriced.append(order.id)
                continue
            quantity = order.quantity if order.order_type_id == BUY else -order.quantity
            held = world.holdings(order.portfolio_id)
            quantities = {holding.security_id: holding.quantity for holding in held.holdings}
            quantities[order.security_id] = quantities.get(order.security_id, Decimal(0)) + quantity
            rows = tuple(Holding(security_id, amount) for security_id, amount in quantities.items())
            world.put_holdings(order.portfolio_id, Holdings((held.cash or Decimal(0)) - quantity * price, rows))
        self._unsettled = len(self.orders)
        return Settlement(len(fresh) - len(unpriced), unpriced)

    def _accept(self, index: int, post: OrderPost) -> OrderResult:
        if (
            post.blotter_id is None
            or post.status_id is None
            or post.portfolio_id is None
            or post.security_id is None
            or post.order_timestamp is None
            or post.version is None
        ):
            return OrderResult("FAILURE", "A required field is missing", index)
        if post.order_type_id not in (BUY, SELL):
            return OrderResult("FAILURE", f"Order type {post.order_type_id} does not exist", index)
        if post.quantity is None or not post.quantity.is_finite() or post.quantity <= 0:
            return OrderResult("FAILURE", "Quantity must be positive", index)
        order = Order(
            id=len(self.orders) + 1,
            blotter_id=post.blotter_id,
            status_id=post.status_id,
            portfolio_id=post.portfolio_id,
            order_type_id=post.order_type_id,
            security_id=post.security_id,
            quantity=post.quantity,
            limit_price=post.limit_price,
            order_timestamp=post.order_timestamp,
            version=post.version,
        )
        self.orders.append(order)
        return OrderResult("SUCCESS", "Order created successfully", index, order.id)


def refused_batch(message: str) -> BatchResult:
    """The answer to a batch that was not looked into."""
    return BatchResult("FAILURE", message, 0, 0, 0, [])
