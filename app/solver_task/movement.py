"""How far a rebalance moves a portfolio."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from operator import sub

from msgspec import Struct

from app.solver_task.rounding import EXACT, share6
from app.solver_task.valuation import ZERO, Valuation
from persistence import RebalancedPosition


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


def movement(positions: Sequence[RebalancedPosition], values: Valuation, market_value: Decimal) -> Movement:
    """Measure a rebalanced portfolio. One whose market value is 0 has no drift and no turnover."""
    with localcontext(EXACT):
        wanted = [market_value * position.target for position in positions]
        before = sum(map(abs, map(sub, wanted, values.original_values)), ZERO)
        after = sum(map(abs, map(sub, wanted, values.adjusted_values)), ZERO)
        traded = [value for value in map(sub, values.adjusted_values, values.original_values) if value]
        purchases = [value for value in traded if not value.is_signed()]
        bought_value = sum(purchases, ZERO)
        sold_value = bought_value - sum(traded, ZERO)
        turnover = bought_value + sold_value
    return Movement(
        share6(before, market_value),
        share6(after, market_value),
        share6(turnover, market_value),
        len(purchases),
        len(traded) - len(purchases),
        bought_value,
        sold_value,
    )
