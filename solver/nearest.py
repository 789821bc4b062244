"""The rounding certificate: each security at its own best whole share, the optimum whenever bands and cash allow it."""

from solver.scaling import Integers, ScaledPortfolio


def nearest_shares(scaled: ScaledPortfolio) -> Integers:
    """Whole shares of each security whose value is nearest to its target; may be negative, or outside its band.

    Of two equally near, the one that trades fewer shares. Every term of the objective is at its least, whatever the
    constraints: if these shares satisfy them, no others are better, and none as good trade less.
    """
    wanted, price = scaled.targets - scaled.fractions, scaled.prices
    double = price + price
    rounded = wanted + wanted + price
    shares: Integers = rounded // double
    # Half a share away from both: the division went up, which trades more unless it goes towards what is held.
    halfway = (shares * double == rounded) & (shares > scaled.held)
    return shares - halfway if halfway.any() else shares
