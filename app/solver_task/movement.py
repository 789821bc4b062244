"""How far a rebalance moves a portfolio."""

from decimal import Decimal

from msgspec import Struct

from solver import Portfolio, Solution


class Movement(Struct, frozen=True, array_like=True):
    """How far a rebalance moves a portfolio.

    Attributes:
        drift_before, drift_after: distance from the model, `sum |target - weight|`, a share of the market value.
        turnover: value traded, a share of the market value.
        bought, sold: number of orders.
        bought_value, sold_value: money.
    """

    drift_before: Decimal
    drift_after: Decimal
    turnover: Decimal
    bought: int
    sold: int
    bought_value: Decimal
    sold_value: Decimal


def movement(portfolio: Portfolio, solution: Solution) -> Movement:
    """Measure a rebalanced portfolio. One worth nothing has no drift and no turnover."""
    value = solution.market_value
    before = bought_value = sold_value = Decimal(0)
    bought = sold = 0
    for security, trade in zip(portfolio.securities, solution.trades, strict=True):
        price = security.price
        before += abs(value * security.target - security.quantity * price)
        if trade > 0:
            bought += 1
            bought_value += trade * price
        elif trade < 0:
            sold += 1
            sold_value -= trade * price
    whole = value or Decimal("Infinity")
    turnover = (bought_value + sold_value) / whole
    return Movement(before / whole, solution.objective / whole, turnover, bought, sold, bought_value, sold_value)
