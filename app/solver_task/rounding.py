"""The one way in which the service rounds: halves away from zero."""

from decimal import ROUND_HALF_UP, Context, Decimal

FOUR_DECIMALS = Decimal("0.0001")
# Two operands of 34 digits each: their product fits, and a quotient is never so near a half that 100 digits mistake it.
EXACT = Context(prec=100)
STORABLE = Context(prec=34, rounding=ROUND_HALF_UP)
ZERO_SHARE = Decimal("0.0000")

difference = EXACT.subtract
"""Subtracts without rounding."""

product = EXACT.multiply
"""Multiplies without rounding."""


def share(part: Decimal, whole: Decimal) -> Decimal:
    """Give `part / whole` with four decimals; 0 of nothing."""
    if not whole:
        return ZERO_SHARE
    return EXACT.divide(part, whole).quantize(FOUR_DECIMALS, ROUND_HALF_UP, EXACT)


def is_storable(value: Decimal) -> bool:
    """Whether the database holds it without rounding."""
    return STORABLE.plus(value) == value


def storable(value: Decimal) -> Decimal:
    """Round what only explains to the 34 digits that the database holds."""
    return STORABLE.plus(value)
