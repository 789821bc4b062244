"""Judges of the solver that share nothing with it: they read the decimals as fractions and try everything.

All weigh objective and shares traded at once, so they know the optimum and how few shares it can be reached with.
"""

from fractions import Fraction
from itertools import product
from math import ceil, floor, gcd, lcm
from typing import NamedTuple

import numpy as np

from solver import Portfolio

NEVER = 2**61


class TooLarge(Exception):
    """The portfolio has more combinations than this judge can go through."""


class Optimum(NamedTuple):
    """The least objective of all feasible holdings, and the fewest shares traded to reach it."""

    objective: Fraction
    traded: int


class Choice(NamedTuple):
    """One number of shares that a security's band allows: their value, distance from the target, and shares traded."""

    value: Fraction
    distance: Fraction
    traded: int


def market_value(portfolio: Portfolio) -> Fraction:
    held = (Fraction(security.quantity) * Fraction(security.price) for security in portfolio.securities)
    return Fraction(portfolio.cash) + sum(held, Fraction(0))


def choices(portfolio: Portfolio, limit: int) -> list[list[Choice]]:
    """Everything that each band allows; raises TooLarge where that is more than `limit` for a security."""
    total = market_value(portfolio)
    found = []
    for security in portfolio.securities:
        price, quantity, target = Fraction(security.price), Fraction(security.quantity), Fraction(security.target)
        fraction = quantity - floor(quantity)
        lower, upper = total * (target - Fraction(security.low_drift)), total * (target + Fraction(security.high_drift))
        first = max(0, floor(lower / price - fraction) - 1)
        if upper / price - first > limit:
            raise TooLarge
        allowed = []
        whole = first
        while (fraction + whole) * price <= upper or whole == 0:
            value = (fraction + whole) * price
            if lower <= value <= upper or (whole == 0 and target == 0):
                allowed.append(Choice(value, abs(total * target - value), abs(whole - floor(quantity))))
            whole += 1
        found.append(allowed)
    return found


def without_cash(portfolio: Portfolio) -> Optimum | None:
    """The best if cash were no concern, so no portfolio is better; None where a band holds no whole share.

    The market value must be above 0.
    """
    total = market_value(portfolio)
    objective, traded = Fraction(0), 0
    for security in portfolio.securities:
        price, target = Fraction(security.price), Fraction(security.target)
        held = floor(Fraction(security.quantity))
        fraction = Fraction(security.quantity) - held
        lowest = max(0, ceil(total * (target - Fraction(security.low_drift)) / price - fraction))
        highest = floor(total * (target + Fraction(security.high_drift)) / price - fraction)
        if target == 0:
            highest = max(0, highest)
        if lowest > highest:
            return None
        below = floor(total * target / price - fraction)
        near = {min(max(whole, lowest), highest) for whole in (below, below + 1)}
        distance, fewest = min((abs(total * target - (fraction + whole) * price), abs(whole - held)) for whole in near)
        objective += distance
        traded += fewest
    return Optimum(objective, traded)


def brute_force(portfolio: Portfolio, *, limit: int = 20_000) -> Optimum | None:
    """Tries every combination; None where there is none. The market value must be above 0."""
    allowed = choices(portfolio, limit)
    combinations = 1
    for some in allowed:
        combinations *= len(some)
    if combinations > limit:
        raise TooLarge
    total = market_value(portfolio)
    unit = lcm(total.denominator, *(number.denominator for some in allowed for choice in some for number in choice[:2]))
    whole = [[(int(one.value * unit), int(one.distance * unit), one.traded) for one in some] for some in allowed]
    best = min(
        (
            (sum(one[1] for one in combination), sum(one[2] for one in combination))
            for combination in product(*whole)
            if sum(one[0] for one in combination) <= total * unit
        ),
        default=None,
    )
    return None if best is None else Optimum(Fraction(best[0], unit), best[1])


def sensible(some: list[Choice]) -> list[Choice]:
    """The choices of a security, without those that another beats or equals in value, distance and shares traded."""
    kept: list[Choice] = []
    for one in sorted(some):
        if not any(other.distance <= one.distance and other.traded <= one.traded for other in kept):
            kept.append(one)
    return kept


def dynamic_programme(portfolio: Portfolio, *, limit: int = 2_000_000) -> Optimum | None:
    """Finds the best for every sum of money that can be spent to the last unit; None where there is none.

    The market value must be above 0.
    """
    allowed = [sensible(some) for some in choices(portfolio, 2_000)]
    if any(not some for some in allowed):
        return None
    total = market_value(portfolio)
    cheapest = [min(choice.value for choice in some) for some in allowed]
    extras = {choice.value - least for some, least in zip(allowed, cheapest, strict=True) for choice in some}
    cents = lcm(1, *(extra.denominator for extra in extras))
    unit = Fraction(gcd(*(int(extra * cents) for extra in extras)) or 1, cents)
    spare = total - sum(cheapest, Fraction(0))
    if spare < 0:
        return None
    widest = sum((max(choice.value for choice in some) for some in allowed), Fraction(0)) - sum(cheapest, Fraction(0))
    size = floor(min(spare, widest) / unit) + 1
    if size * sum(map(len, allowed)) > limit:
        raise TooLarge
    nearest = [min(choice.distance for choice in some) for some in allowed]
    lost = {choice.distance - least for some, least in zip(allowed, nearest, strict=True) for choice in some}
    pence = lcm(1, *(loss.denominator for loss in lost))
    grain = Fraction(gcd(*(int(loss * pence) for loss in lost)) or 1, pence)
    factor = 1 + sum(max(choice.traded for choice in some) for some in allowed)
    if (sum(max(choice.distance for choice in some) for some in allowed) / grain + 1) * factor >= NEVER:
        raise TooLarge
    best = np.full(size, NEVER, dtype=np.int64)
    best[0] = 0
    for some, least, closest in zip(allowed, cheapest, nearest, strict=True):
        following = np.full(size, NEVER, dtype=np.int64)
        for choice in some:
            spent = int((choice.value - least) / unit)
            if spent < size:
                cost = int((choice.distance - closest) / grain) * factor + choice.traded
                np.minimum(following[spent:], best[: size - spent] + cost, out=following[spent:])
        best = following
    loss, traded = divmod(int(best.min()), factor)
    return Optimum(sum(nearest, Fraction(0)) + loss * grain, traded)
