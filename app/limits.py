"""The limits of a model, which the rules check and the API document states."""

from decimal import Decimal

MAXIMUM_TARGET = Decimal("0.95")
"""Of one position and of all together: at least 5% of a portfolio stays cash."""
TARGET_STEP = Decimal("0.005")
MAXIMUM_POSITIONS = 100
MAXIMUM_NAME_LENGTH = 255
MAXIMUM_PORTFOLIOS = 10_000
"""A document holds at most 16 MB, and a change of a model carries its portfolios three times."""
