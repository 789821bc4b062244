"""The last word on every solution: checks every constraint and recomputes every figure, in exact integers.

Shares nothing with the code that finds solutions but the portfolio in whole numbers: no bounds in shares, no items.
"""

from collections.abc import Sequence
from operator import mul, sub

import numpy as np
from msgspec import Struct

from solver.plain import PlainPortfolio
from solver.scaling import Integers, ScaledPortfolio


class VerificationError(ArithmeticError):
    """A solution breaks a constraint or contradicts its own proof; it must not leave the solver."""


class Verified(Struct, frozen=True):
    """What is true of whole shares that satisfy every constraint; money in fine units.

    Attributes:
        trades: shares to trade, positive to buy.
        cash_after: what the trades leave, at least 0.
        objective: sum of the distances between targets and values.
    """

    trades: list[int]
    cash_after: int
    objective: int


def verify(scaled: ScaledPortfolio, shares: Integers, bound: int | None = None) -> Verified:
    """Check whole shares against the portfolio.

    Args:
        scaled: the portfolio.
        shares: whole shares of each security, of the same kind of integers as the portfolio's.
        bound: lower bound of the objective that the solution's producer claims to have proven, if it does.

    Raises:
        VerificationError: a quantity is negative or outside its band, the cash does not suffice, value is not
            conserved, or the objective lies below the claimed bound.
    """
    values = shares * scaled.prices + scaled.fractions
    distances = values - scaled.targets
    outside = (shares < 0) | (distances > scaled.highs) | (-distances > scaled.lows)
    if outside.any():
        # Without a target and drifts, everything but the fraction must be sold; the fraction stays.
        outside &= (shares != 0) | (scaled.targets != 0) | (scaled.lows != 0) | (scaled.highs != 0)
        if outside.any():
            raise VerificationError(f"security {int(np.argmax(outside))} is outside its band")
    cash_after = scaled.market_value - int(values.sum())
    if cash_after < 0:
        raise VerificationError(f"the trades overspend by {-cash_after}")
    trades = shares - scaled.held
    if scaled.cash - int(trades @ scaled.prices) != cash_after:
        raise VerificationError("market value is not conserved")
    objective = int(np.abs(distances).sum())
    if bound is not None and objective < bound:
        raise VerificationError(f"the objective {objective} lies below its proven bound {bound}")
    return Verified(trades.tolist(), cash_after, objective)


def verify_plain(plain: PlainPortfolio, shares: Sequence[int], bound: int | None = None) -> Verified:
    """Check whole shares against a portfolio in lists; see `verify`."""
    used = objective = 0
    for index, (number, price, fraction, target, low, high) in enumerate(
        zip(shares, plain.prices, plain.fractions, plain.targets, plain.lows, plain.highs, strict=True)
    ):
        value = number * price + fraction
        distance = value - target
        # Without a target and drifts, everything but the fraction must be sold; the fraction stays.
        if (number < 0 or distance > high or -distance > low) and (number or target or low or high):
            raise VerificationError(f"security {index} is outside its band")
        used += value
        objective += abs(distance)
    cash_after = plain.market_value - used
    if cash_after < 0:
        raise VerificationError(f"the trades overspend by {-cash_after}")
    trades = list(map(sub, shares, plain.held))
    if plain.cash - sum(map(mul, trades, plain.prices)) != cash_after:
        raise VerificationError("market value is not conserved")
    if bound is not None and objective < bound:
        raise VerificationError(f"the objective {objective} lies below its proven bound {bound}")
    return Verified(trades, cash_after, objective)
