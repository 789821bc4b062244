"""What the positions of a portfolio trade and are worth, computed once for the response and the metrics.

The operators of `Decimal` take a third of the time that the methods of a context take, so each function computes under
the exact context as a whole instead of calling its methods for each number.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext

from msgspec import Struct

from app.solver_task.rounding import EXACT
from persistence import RebalancedPosition

ZERO = Decimal(0)


class Valuation(Struct, frozen=True):
    """Trades and values of positions, each in the order of the positions, without rounding.

    Attributes:
        trades: shares, positive if bought and negative if sold.
        original_values, adjusted_values: money before and after the trades; 0 for a holding without a price.
    """

    trades: list[Decimal]
    original_values: list[Decimal]
    adjusted_values: list[Decimal]


def valuation(positions: Sequence[RebalancedPosition]) -> Valuation:
    """Value the positions of a portfolio."""
    with localcontext(EXACT):
        trades = [each.adjusted_quantity - each.original_quantity for each in positions]
        originals = [ZERO if each.price is None else each.original_quantity * each.price for each in positions]
        adjusted = [
            each.adjusted_quantity * each.price if trade and each.price is not None else original
            for each, trade, original in zip(positions, trades, originals, strict=True)
        ]
    return Valuation(trades, originals, adjusted)
