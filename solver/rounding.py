"""The rounding certificate: each security at its own best whole share, the optimum whenever the cash allows."""

from solver.bounds import ShareBounds
from solver.scaling import ScaledPortfolio


def round_to_nearest(scaled: ScaledPortfolio, bounds: ShareBounds) -> list[int]:
    """Whole shares of each security nearest to its target within its band.

    Of two equally near, the one that trades fewer shares. Every term of the objective is at its own minimum, so the
    sum is a lower bound of every feasible objective, and the quantities are optimal if they fit in the cash.
    """
    nearest = []
    for least, most, shares, remainder, price, held in zip(
        bounds.lowest, bounds.highest, bounds.below, bounds.remainders, bounds.fine_prices, scaled.held, strict=True
    ):
        twice = remainder + remainder
        up = twice > price or (twice == price and shares < held)
        nearest.append(max(least, min(shares + up, most)))
    return nearest
