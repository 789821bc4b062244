"""How far a rebalance moves a portfolio."""

from decimal import Decimal

from msgspec import Struct

from app.solver_task.rounding import EXACT, magnitude, share6
from solver import Portfolio, Solution


class Movement(Struct, frozen=True, array_like=True):
    """How far a rebalance moves a portfolio.

    Attributes:
        drift_before, drift_after: distance from the model, `sum |target - weight|`, 6 decimal places.
        turnover: value traded, a share of the market value, 6 decimal places.
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
    """Measure a rebalanced portfolio. One whose market value is 0 has no drift and no turnover."""
    value = solution.market_value
    multiply, subtract, add = EXACT.multiply, EXACT.subtract, EXACT.add
    before = after = bought_value = sold_value = Decimal(0)
    bought = sold = 0
    for security, trade, quantity in zip(portfolio.securities, solution.trades, solution.quantities, strict=True):
        wanted = multiply(value, security.target)
        distance = magnitude(subtract(wanted, multiply(security.quantity, security.price)))
        before = add(before, distance)
        if not trade:
            after = add(after, distance)
            continue
        after = add(after, magnitude(subtract(wanted, multiply(quantity, security.price))))
        traded_value = multiply(Decimal(trade), security.price)
        if trade > 0:
            bought += 1
            bought_value = add(bought_value, traded_value)
        else:
            sold += 1
            sold_value = subtract(sold_value, traded_value)
    traded = add(bought_value, sold_value)
    return Movement(
        share6(before, value), share6(after, value), share6(traded, value), bought, sold, bought_value, sold_value
    )
