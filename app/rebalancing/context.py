"""What the portfolios of one rebalance share, fixed before the first of them starts."""

import asyncio
from collections.abc import Callable
from datetime import date, datetime

from bson import ObjectId
from msgspec import Struct

from app.clock import now
from app.http.dialect import Dialect
from app.rebalancing.schedule import RunningRebalance
from app.rebalancing.telemetry import ObservedRebalance
from integrations import BooksInvalid, PriceSnapshot, Quote, ServiceError
from persistence import Model, Rebalance


class PricedModel(Struct, frozen=True):
    """The model's securities at the prices of the rebalance.

    Attributes:
        snapshot: prices the securities that a portfolio holds outside the model.
        quote: of the model's securities.
        terms: encoded `Terms`, the same bytes for every portfolio; empty if a security of the model has no price.
    """

    snapshot: PriceSnapshot
    quote: Quote
    terms: bytes


class RebalanceContext(Struct, frozen=True):
    """What the portfolios of one rebalance share.

    Attributes:
        security_ids: of the model, in its order.
        requested_at: UTC.
        deadline: on `time.monotonic()`.
        names: loads the portfolios' names, as far as they are available in time.
        cached_name: returns a name that has been loaded by now.
        priced: the model's securities at their prices; the error instead, if it fails every portfolio.
    """

    id: ObjectId
    model: Model
    security_ids: list[str]
    requested_at: datetime
    trade_date: date
    deadline: float
    dialect: Dialect
    running: RunningRebalance
    observed: ObservedRebalance
    names: asyncio.Task[dict[str, str | None]]
    cached_name: Callable[[str], str | None]
    priced: PricedModel | BooksInvalid | ServiceError

    async def name(self, portfolio_id: str) -> str | None:
        """Return a portfolio's name; a portfolio that is cancelled while it waits leaves the load running."""
        names = await asyncio.shield(self.names)
        # A name that was not waited for may have arrived since.
        return names.get(portfolio_id) or self.cached_name(portfolio_id)

    def header(self, number_of_portfolios: int) -> Rebalance:
        """Return the document that completes the stored rebalance."""
        return Rebalance(
            id=self.id,
            model_id=self.model.id,
            model_name=self.model.name,
            rebalance_date=self.requested_at,
            priced_at=self.priced.snapshot.taken_at if isinstance(self.priced, PricedModel) else None,
            number_of_portfolios=number_of_portfolios,
            created_at=now(),
            version=1,
        )
