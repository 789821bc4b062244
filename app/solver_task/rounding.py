"""The one way in which the service rounds: halves away from zero."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from operator import eq, pos

FOUR_DECIMALS = Decimal("0.0001")
SIX_DECIMALS = Decimal("0.000001")
# Two operands of 34 digits each: their product fits, and 100 digits never misplace a quotient that is close to a half.
EXACT = Context(prec=100)
STORABLE = Context(prec=34, rounding=ROUND_HALF_UP)
ZERO_SHARE = Decimal("0.0000")

difference = EXACT.subtract
"""Subtracts without rounding."""

product = EXACT.multiply
"""Multiplies without rounding."""

negative = EXACT.minus
"""Negates without rounding; `-value` rounds to 28 digits, and so does `abs(value)`."""

magnitude = EXACT.abs
"""Returns the absolute value without rounding."""

shortest = EXACT.normalize
"""Removes trailing zeros without rounding."""


def share(part: Decimal, whole: Decimal, decimals: Decimal = FOUR_DECIMALS) -> Decimal:
    """Return `part / whole` with four decimals, or as many as `decimals` has; 0 if the whole is 0, and never -0."""
    if not whole:
        return decimals - decimals
    return EXACT.plus(EXACT.divide(part, whole).quantize(decimals, ROUND_HALF_UP, EXACT))


def shares(parts: Sequence[Decimal], whole: Decimal) -> list[Decimal]:
    """Return the `share` of each part, in a fraction of the time."""
    if not whole:
        return [ZERO_SHARE] * len(parts)
    with localcontext(EXACT):
        return [+(part / whole).quantize(FOUR_DECIMALS, ROUND_HALF_UP) if part else ZERO_SHARE for part in parts]


def share6(part: Decimal, whole: Decimal) -> Decimal:
    """Return `part / whole` with six decimals; 0 if the whole is 0."""
    return share(part, whole, SIX_DECIMALS)


def is_storable(value: Decimal) -> bool:
    """Return whether the database can hold the value without rounding."""
    return STORABLE.plus(value) == value


def are_storable(values: Sequence[Decimal]) -> bool:
    """Return whether the database can hold all values without rounding."""
    with localcontext(STORABLE):
        return all(map(eq, map(pos, values), values))


def storable(value: Decimal) -> Decimal:
    """Round a value that only explains something to the 34 digits that the database holds."""
    return STORABLE.plus(value)
