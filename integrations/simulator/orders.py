"""The simulated Order Service's database: the orders that were created, and the trades sent for them."""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from integrations.simulator.holdings import Holding, Holdings
from integrations.simulator.prices import PriceBoard
from integrations.simulator.world import World

BUY, SELL = 1, 2
STATUSES = ("NEW", "SENT", "WORK", "FULL", "PART", "HOLD", "CNCL", "CNCLD", "CPART", "DEL")
"""Abbreviations of the statuses 1 to 10."""
ORDER_TYPES = ("BUY", "SELL", "SHORT", "COVER", "EXRC")
"""Abbreviations of the order types 1 to 5."""
BLOTTERS = ("Default", "Equity", "Fixed Income", "Derivatives", "Hold")
"""Names of the blotters 1 to 5."""
NEW, SENT = 1, 2

_LONGEST_ID = 24
_SMALLEST_UNIT = Decimal("1e-8")
_NUMBER_LIMIT = Decimal(10**10)
_CREATION_FAILED = "Failed to create order: unknown error"
_CHUNK, _CHUNK_PAUSE_SECONDS = 50, 0.1


class OrderPost(Struct, frozen=True, rename="camel"):
    """One order of a batch as it was sent; like the real service, any key may be absent."""

    blotter_id: int | None = None
    status_id: int | None = None
    portfolio_id: str | None = None
    order_type_id: int | None = None
    security_id: str | None = None
    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    trade_order_id: int | None = None
    order_timestamp: Annotated[datetime, Meta(tz=True)] | None = None
    version: int | None = None


class Order(Struct, rename="camel"):
    """A created order.

    Attributes:
        id: numbered from 1 in the order of creation.
        order_timestamp: UTC, with microseconds.
        trades: how many trades were sent for it; more than 1 means that it was traded twice.
        seconds: when it was created, on the simulator's monotonic clock.
    """

    id: int
    blotter_id: int
    status_id: int
    portfolio_id: str
    order_type_id: int
    security_id: str
    quantity: Decimal
    limit_price: Decimal | None
    trade_order_id: int | None
    order_timestamp: datetime
    version: int
    trades: int = 0
    seconds: float = msgspec.field(default_factory=time.monotonic)


class Settlement(Struct, frozen=True):
    """The result of a settlement: how many orders were applied, and the orders whose security has no price."""

    settled: int
    unpriced: list[int]


class OrderBook:
    """Created orders, in the order of their creation; the same batch twice creates the orders twice."""

    def __init__(self) -> None:
        """Start empty."""
        self.orders: list[Order] = []
        self._settled: set[int] = set()
        self._trades = 0
        self._pending: set[asyncio.Task[Any]] = set()

    def create(self, post: OrderPost | None) -> Order | str:
        """Create one order.

        Returns:
            The order, or the real service's message about why it was not created.
        """
        refusal = _missing_field(post) or _missing_reference(post)
        if refusal is not None:
            return refusal
        assert post is not None
        order = self._row(post)
        if order is None:
            return _CREATION_FAILED
        self.orders.append(order)
        return order

    async def create_all(
        self, posts: Sequence[OrderPost | None], creates: Callable[[int], bool] = lambda _: True
    ) -> dict[int, Order | str]:
        """Create the orders of a batch in chunks of 50 with pauses, as the real service does.

        Args:
            posts: the batch.
            creates: whether to create the order of an index; the result of a skipped one is missing.

        The orders are created even if the caller is cancelled meanwhile, as it is when its client has gone.

        Returns:
            The result of each order, by its index.
        """
        return await asyncio.shield(self._start(self._create_all(posts, creates)))

    async def _create_all(
        self, posts: Sequence[OrderPost | None], creates: Callable[[int], bool]
    ) -> dict[int, Order | str]:
        results: dict[int, Order | str] = {}
        for index, post in enumerate(posts):
            if index and index % _CHUNK == 0:
                await asyncio.sleep(_CHUNK_PAUSE_SECONDS)
            if creates(index):
                results[index] = self.create(post)
        return results

    def create_later(self, posts: Sequence[OrderPost | None], seconds: float) -> None:
        """Create orders after a while, without reporting them to anyone."""

        async def create() -> None:
            await asyncio.sleep(seconds)
            for post in posts:
                self.create(post)

        self._start(create())

    def _start[T](self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        return task

    def find(self, order_id: int) -> Order | None:
        """Return the order with this id, or None if it is unknown."""
        return self.orders[order_id - 1] if 0 < order_id <= len(self.orders) else None

    def submittable(self, order_ids: Collection[int]) -> list[Order]:
        """Return the orders with these ids that are NEW and have no trade order."""
        found = (self.find(order_id) for order_id in order_ids)
        return [order for order in found if order and order.status_id == NEW and order.trade_order_id is None]

    def trade(self, order: Order, *, record: bool = True) -> int:
        """Send a trade for an order and return the trade order's id.

        Args:
            order: of this book.
            record: whether the order's own status is updated, which the real service can fail to do.
        """
        self._trades += 1
        order.trades += 1
        if record:
            order.status_id, order.trade_order_id = SENT, self._trades
        return self._trades

    def clear(self) -> None:
        """Forget every order, including those to be created later."""
        for task in self._pending:
            task.cancel()
        self.orders.clear()
        self._settled.clear()

    def settle(self, world: World, prices: PriceBoard) -> Settlement:
        """Apply the orders that came since the last settlement to their portfolios, at one draw of all prices."""
        drawn = prices.draw()
        unpriced: list[int] = []
        fresh = [order for order in self.orders if order.id not in self._settled]
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
        self._settled.update(order.id for order in fresh)
        return Settlement(len(fresh) - len(unpriced), unpriced)

    def _row(self, post: OrderPost) -> Order | None:
        """Return the row that the database would store, or None if it would refuse it."""
        assert post.blotter_id is not None
        assert post.status_id is not None
        assert post.portfolio_id is not None
        assert post.order_type_id is not None
        assert post.security_id is not None
        assert post.quantity is not None
        quantity = _decimal_18_8(post.quantity)
        limit_price = None if post.limit_price is None else _decimal_18_8(post.limit_price)
        if (
            post.order_timestamp is None
            or post.version is None
            or quantity is None
            or (post.limit_price is not None and limit_price is None)
            or max(len(post.portfolio_id), len(post.security_id)) > _LONGEST_ID
            or (
                post.trade_order_id is not None
                and any(order.trade_order_id == post.trade_order_id for order in self.orders)
            )
        ):
            return None
        return Order(
            id=len(self.orders) + 1,
            blotter_id=post.blotter_id,
            status_id=post.status_id,
            portfolio_id=post.portfolio_id,
            order_type_id=post.order_type_id,
            security_id=post.security_id,
            quantity=quantity,
            limit_price=limit_price,
            trade_order_id=post.trade_order_id,
            order_timestamp=post.order_timestamp.astimezone(UTC),
            version=post.version,
        )


def read_timestamp(text: str) -> datetime | None:
    """Return an ISO 8601 timestamp with an offset as UTC, or None if it is not one."""
    try:
        read: datetime = msgspec.convert(text, Annotated[datetime, Meta(tz=True)])
    except msgspec.ValidationError:
        return None
    return read.astimezone(UTC)


def _missing_field(post: OrderPost | None) -> str | None:
    if post is None:
        return "Order data is required"
    required = (
        (post.blotter_id, "Blotter ID"),
        (post.status_id, "Status ID"),
        ((post.portfolio_id or "").strip() or None, "Portfolio ID"),
        (post.order_type_id, "Order Type ID"),
        ((post.security_id or "").strip() or None, "Security ID"),
    )
    for value, name in required:
        if value is None:
            return f"{name} is required"
    if post.quantity is None or not post.quantity.is_finite() or post.quantity <= 0:
        return "Quantity must be positive"
    if post.limit_price is not None and (not post.limit_price.is_finite() or post.limit_price <= 0):
        return "Limit price must be positive when provided"
    return None


def _missing_reference(post: OrderPost | None) -> str | None:
    assert post is not None
    references = (
        (post.blotter_id, BLOTTERS, "Blotter"),
        (post.status_id, STATUSES, "Status"),
        (post.order_type_id, ORDER_TYPES, "Order Type"),
    )
    for reference, rows, name in references:
        if reference is None or not 1 <= reference <= len(rows):
            return f"{name} with ID {reference} not found"
    return None


def _decimal_18_8(value: Decimal) -> Decimal | None:
    """Return a number as a decimal(18,8) column stores it, or None if it does not fit."""
    try:
        rounded = value.quantize(_SMALLEST_UNIT, ROUND_HALF_UP)
    except InvalidOperation:
        return None
    return rounded if abs(rounded) < _NUMBER_LIMIT else None
