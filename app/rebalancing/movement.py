"""How far a rebalance moves a portfolio."""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from persistence.documents import RebalancedPosition


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


def movement(market_value: Decimal, positions: Sequence[RebalancedPosition]) -> Movement:
    """Measure a rebalanced portfolio. One worth nothing has no drift and no turnover."""
    before = after = bought_value = sold_value = Decimal(0)
    bought = sold = 0
    for position in positions:
        wanted = market_value * position.target
        held, kept = position.original_quantity * position.price, position.adjusted_quantity * position.price
        before += abs(wanted - held)
        after += abs(wanted - kept)
        if kept > held:
            bought += 1
            bought_value += kept - held
        elif kept < held:
            sold += 1
            sold_value += held - kept
    whole = market_value or Decimal("Infinity")
    return Movement(
        before / whole, after / whole, (bought_value + sold_value) / whole, bought, sold, bought_value, sold_value
    )
