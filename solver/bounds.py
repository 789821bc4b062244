"""The whole shares that each drift band admits, exactly."""

import numpy as np
from msgspec import Struct

from solver.scaling import Integers, ScaledPortfolio


class ShareBounds(Struct, frozen=True):
    """What each security may hold, in whole shares on top of the fraction that cannot be traded.

    Attributes:
        lowest, highest: fewest and most whole shares within the band; `lowest > highest` where no number fits.
        least_value: what the fewest shares of all are worth, fractions included, in fine units.
    """

    lowest: Integers
    highest: Integers
    least_value: int


def share_bounds(scaled: ScaledPortfolio) -> ShareBounds:
    """Return the bounds of every security; one without a target and drifts is sold down to its fraction."""
    prices, fractions = scaled.prices, scaled.fractions
    lowest = np.maximum(-((fractions + scaled.lows - scaled.targets) // prices), 0)
    highest = (scaled.targets + scaled.highs - fractions) // prices
    unlisted = (scaled.targets == 0) & (scaled.lows == 0) & (scaled.highs == 0)
    highest = np.where(unlisted, np.maximum(highest, 0), highest)
    return ShareBounds(lowest, highest, int((lowest * prices + fractions).sum()))
