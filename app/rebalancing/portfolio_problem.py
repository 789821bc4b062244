"""From a model, what a portfolio holds and what everything costs, to the problem that the solver takes."""

from decimal import Decimal

from app.errors import ErrorCode, OrderGenerationError
from integrations.market_data import Quote
from integrations.portfolio_accounting import Holdings
from persistence.documents import Model
from solver import Portfolio, Security

ZERO = Decimal(0)


def securities_of(model: Model, holdings: Holdings) -> list[str]:
    """List the model's securities in its order, then those held outside it by id."""
    in_model = [position.security_id for position in model.positions]
    return in_model + sorted({holding.security_id for holding in holdings.positions}.difference(in_model))


def portfolio_problem(model: Model, holdings: Holdings, quote: Quote) -> Portfolio:
    """Build the problem.

    Raises:
        OrderGenerationError: `SECURITY_NOT_FOUND` or `PRICE_UNAVAILABLE`, naming the securities.
    """
    if quote.unknown:
        raise OrderGenerationError(
            ErrorCode.SECURITY_NOT_FOUND,
            f"The Security Service does not know {named(quote.unknown)}.",
            {"portfolioId": holdings.portfolio_id, "securityIds": list(quote.unknown)},
        )
    if quote.unpriced:
        raise OrderGenerationError(
            ErrorCode.PRICE_UNAVAILABLE,
            f"The Pricing Service has no price for {named(quote.unpriced)}.",
            {"portfolioId": holdings.portfolio_id, "securityIds": list(quote.unpriced)},
        )
    positions = {position.security_id: position for position in model.positions}
    held = {holding.security_id: holding.quantity for holding in holdings.positions}
    securities = []
    for security_id in securities_of(model, holdings):
        position = positions.get(security_id)
        wanted = (position.target, position.low_drift, position.high_drift) if position else (ZERO, ZERO, ZERO)
        securities.append(Security(security_id, quote.prices[security_id], held.get(security_id, ZERO), *wanted))
    return Portfolio(tuple(securities), holdings.cash)


def named(security_ids: tuple[str, ...]) -> str:
    """Name securities in a sentence, the first few of many."""
    shown = ", ".join(security_ids[:5])
    more = len(security_ids) - 5
    return f"{'security' if len(security_ids) == 1 else 'securities'} {shown}" + (
        f" and {more} more" if more > 0 else ""
    )
