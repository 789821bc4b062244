"""From a model, what a portfolio holds and what everything costs, to the assignment of a solver process."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec
from bson import ObjectId

from app.errors.codes import ErrorCode, OrderGenerationError
from app.http.dialect import Dialect
from app.solver_task.assignment import Assignment, Terms
from integrations import Holdings, Quote
from persistence import Model
from solver import Security

ZERO = Decimal(0)


def securities_of(model: Model) -> list[str]:
    """List the model's securities in its order."""
    return [position.security_id for position in model.positions]


def securities_outside(in_model: Sequence[str], holdings: Holdings) -> list[str]:
    """List the securities held outside the model, by id."""
    return sorted({holding.security_id for holding in holdings.positions}.difference(in_model))


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


def encoded_terms(rebalance_id: ObjectId, trade_date: date, dialect: Dialect, model: Model, quote: Quote) -> bytes:
    """Encode the terms of a rebalance; empty if a security of the model has no price."""
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
    return msgspec.msgpack.encode(Terms(str(rebalance_id), trade_date.isoformat(), dialect, securities))


def assignment(
    terms: bytes, in_model: Sequence[str], place: int, portfolio_name: str | None, holdings: Holdings, quote: Quote
) -> Assignment:
    """Tell of a portfolio, all of whose securities have a price; the quote has to have those held outside the model."""
    held = {holding.security_id: holding.quantity for holding in holdings.positions}
    quantities = tuple(held.pop(security_id, ZERO) for security_id in in_model)
    others = tuple(Security(each, quote.prices[each], held[each]) for each in sorted(held))
    return Assignment(terms, place, holdings.portfolio_id, portfolio_name, holdings.cash, quantities, others)


def named(security_ids: Sequence[str]) -> str:
    """Name securities in a sentence, the first few of many."""
    more = len(security_ids) - 5
    listed = ", ".join(security_ids[:5]) + (f" and {more} more" if more > 0 else "")
    return f"{'security' if len(security_ids) == 1 else 'securities'} {listed}"
