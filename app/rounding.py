"""The one way in which the service rounds: shares of a whole to four decimals, halves away from zero."""

from decimal import ROUND_HALF_UP, Context, Decimal

FOUR_DECIMALS = Decimal("0.0001")
# Two operands of 34 digits each: their product fits, and a quotient is never so near a half that 100 digits mistake it.
EXACT = Context(prec=100)
ZERO_SHARE = Decimal("0.0000")


def share(part: Decimal, whole: Decimal) -> Decimal:
    """Give `part / whole` with four decimals; 0 of nothing."""
    if not whole:
        return ZERO_SHARE
    return EXACT.divide(part, whole).quantize(FOUR_DECIMALS, ROUND_HALF_UP, EXACT)


def difference(one: Decimal, other: Decimal) -> Decimal:
    """Subtract without rounding."""
    return EXACT.subtract(one, other)


def product(one: Decimal, other: Decimal) -> Decimal:
    """Multiply without rounding."""
    return EXACT.multiply(one, other)
