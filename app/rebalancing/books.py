"""The portfolios of one rebalance as the books have them: holdings, prices and names from the upstreams."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from decimal import Decimal

import msgspec
from bson import ObjectId
from msgspec import Struct
from msgspec.structs import replace

from app.errors.codes import ErrorCode, OrderGenerationError
from app.http.dialect import Dialect
from app.solver_task.assignment import Assignment, HeldSecurity, Terms
from app.solver_task.warnings import named
from integrations import BooksInvalid, PriceSnapshot, Quote, ServiceError, Upstreams
from persistence import Model
from solver import Rules, Security, Unpriced

ZERO = Decimal(0)


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


class Books(Struct, frozen=True):
    """What the portfolios of one rebalance share, fixed before the first of them starts.

    Attributes:
        security_ids: of the model, in its order.
        holds_unpriced: whether a security held outside the model may be without a price.
        deadline: on `time.monotonic()`.
        names: loads the portfolios' names, as far as they are available in time.
        priced: the model's securities at their prices; the error instead, if it fails every portfolio.
    """

    upstreams: Upstreams
    security_ids: list[str]
    holds_unpriced: bool
    deadline: float
    names: asyncio.Task[dict[str, str | None]]
    priced: PricedModel | BooksInvalid | ServiceError

    @property
    def priced_at(self) -> datetime | None:
        """When the price snapshot was taken; None without a snapshot."""
        return self.priced.snapshot.taken_at if isinstance(self.priced, PricedModel) else None

    async def name(self, portfolio_id: str) -> str | None:
        """Return a portfolio's name; a portfolio that is cancelled while it waits leaves the load running."""
        names = await asyncio.shield(self.names)
        # A name that was not waited for may have arrived since.
        return names.get(portfolio_id) or self.upstreams.portfolio_names.cached(portfolio_id)

    async def assignment(self, index: int, portfolio_id: str) -> Assignment:
        """Read and price one portfolio.

        Raises:
            ServiceError: an upstream failed.
            OrderGenerationError: a security has no price.
        """
        priced = self.priced
        if not isinstance(priced, PricedModel):
            raise priced
        holdings = await self.upstreams.accounting.holdings(portfolio_id, deadline=self.deadline)
        outside = sorted({holding.security_id for holding in holdings.positions}.difference(self.security_ids))
        quote = await priced.snapshot.quote(outside, deadline=self.deadline)
        require_prices(priced.quote, *(() if self.holds_unpriced else (quote,)))
        held = {holding.security_id: holding.quantity for holding in holdings.positions}
        return Assignment(
            terms=priced.terms,
            index=index,
            portfolio_id=holdings.portfolio_id,
            portfolio_name=await self.name(portfolio_id),
            cash=holdings.cash,
            quantities=tuple(held.get(security_id, ZERO) for security_id in self.security_ids),
            others=tuple(
                HeldSecurity(
                    security_id, quote.tickers.get(security_id), quote.prices.get(security_id), held[security_id]
                )
                for security_id in outside
            ),
            has_balances=holdings.has_balances,
        )


@asynccontextmanager
async def open_books(
    upstreams: Upstreams,
    model: Model,
    portfolio_ids: Sequence[str],
    *,
    rules: Rules | None,
    rebalance_id: ObjectId | None,
    trade_date: date,
    dialect: Dialect,
    deadline: float,
    with_proof: bool = False,
) -> AsyncIterator[Books]:
    """Load the price snapshot, and load the portfolios' names in the background for as long as the block lasts.

    Args:
        upstreams: where to read.
        model: the targets.
        portfolio_ids: whose names to load.
        rules: None for none.
        rebalance_id: None if nothing is stored.
        trade_date: day of the trades.
        dialect: of the response.
        deadline: on `time.monotonic()`.
        with_proof: whether the response contains the proofs.
    """
    security_ids = [position.security_id for position in model.positions]
    names = asyncio.create_task(upstreams.portfolio_names.names(portfolio_ids))
    try:
        priced: PricedModel | BooksInvalid | ServiceError
        try:
            snapshot = await upstreams.market_data.snapshot(deadline=deadline)
            quote = await snapshot.quote(security_ids, deadline=deadline)
            day = trade_date.isoformat()
            terms = Terms(_hexadecimal(rebalance_id), day, dialect, (), (), rules, with_proof)
            priced = PricedModel(snapshot, quote, _encoded_terms(model, quote, terms))
        except (BooksInvalid, ServiceError) as error:
            priced = error
        holds_unpriced = rules is not None and rules.unpriced is Unpriced.HOLD
        yield Books(upstreams, security_ids, holds_unpriced, deadline, names, priced)
    finally:
        names.cancel()


def require_prices(*quotes: Quote) -> None:
    """Require a price for every security of the quotes.

    Raises:
        OrderGenerationError: `SECURITY_NOT_FOUND` or `PRICE_UNAVAILABLE`, naming the securities.
    """
    if unknown := [security_id for quote in quotes for security_id in quote.unknown]:
        raise OrderGenerationError(
            ErrorCode.SECURITY_NOT_FOUND,
            f"The Security Service does not know {named(unknown)}.",
            {"securityIds": unknown},
        )
    if unpriced := {security_id: price for quote in quotes for security_id, price in quote.unpriced.items()}:
        explained = [f"{security_id} ({missing.explanation})" for security_id, missing in unpriced.items()]
        tickers = {security_id: ticker for quote in quotes for security_id, ticker in quote.tickers.items()}
        raise OrderGenerationError(
            ErrorCode.PRICE_UNAVAILABLE,
            f"The Pricing Service has no usable price for {named(explained)}.",
            {
                "securityIds": list(unpriced),
                "prices": [
                    {
                        "securityId": security_id,
                        "ticker": tickers.get(security_id),
                        "reason": missing.fault.value,
                        "value": missing.value,
                        "date": missing.date,
                        "message": missing.explanation,
                    }
                    for security_id, missing in unpriced.items()
                ],
            },
        )


def _encoded_terms(model: Model, quote: Quote, terms: Terms) -> bytes:
    """Encode the terms of a rebalance with the model's securities; empty if one of them has no price."""
    if quote.unknown or quote.unpriced:
        return b""
    securities = tuple(
        Security(
            position.security_id,
            quote.prices[position.security_id],
            ZERO,
            position.target,
            position.low_drift,
            position.high_drift,
        )
        for position in model.positions
    )
    tickers = tuple(quote.tickers.get(position.security_id) for position in model.positions)
    return msgspec.msgpack.encode(replace(terms, securities=securities, tickers=tickers))


def _hexadecimal(rebalance_id: ObjectId | None) -> str | None:
    return None if rebalance_id is None else str(rebalance_id)
