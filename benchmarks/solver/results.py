"""What a method responses for a portfolio, and the exact judgement of it."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from fractions import Fraction
from math import ceil, floor

from msgspec import Struct

from solver import Portfolio


class Result(Struct, frozen=True):
    """What a method made of a portfolio.

    Attributes:
        quantities: whole shares, in the portfolio's order; None where it has none to offer.
        finished: it says that these are its best, or that there are none; False when its time ran out or it failed.
        seconds: of one core, from decimals to whole shares.
    """

    quantities: tuple[int, ...] | None
    finished: bool
    seconds: float = 0.0


class Verdict(StrEnum):
    """What a response is worth, the worst that applies."""

    RIGHT = "right"
    OFF = "off the optimum"
    BAND = "band broken"
    CASH = "cash overspent"
    MISSING = "no response"
    LIMIT = "time limit"


def judge(portfolio: Portfolio, responses: Mapping[str, Result]) -> dict[str, Verdict]:
    """Judge each response in exact arithmetic, the optimum being the best feasible response of all."""
    exact = _Exact(portfolio)
    feasible = [
        response.quantities
        for response in responses.values()
        if response.quantities is not None and exact.breach(response.quantities) is None
    ]
    best = min((exact.objective(quantities) for quantities in feasible), default=None)
    return {name: _verdict(exact, response, best) for name, response in responses.items()}


def _verdict(exact: "_Exact", response: Result, best: Fraction | None) -> Verdict:
    if not response.finished:
        return Verdict.LIMIT
    if response.quantities is None:
        return Verdict.MISSING if exact.feasible else Verdict.RIGHT
    breach = exact.breach(response.quantities)
    if breach is not None:
        return breach
    return Verdict.RIGHT if exact.objective(response.quantities) == best else Verdict.OFF


class _Exact:
    """A portfolio in fractions."""

    def __init__(self, portfolio: Portfolio) -> None:
        rows = portfolio.securities
        self.prices = [Fraction(row.price) for row in rows]
        self.value = Fraction(portfolio.cash) + sum(Fraction(row.quantity) * Fraction(row.price) for row in rows)
        self.targets = [self.value * Fraction(row.target) for row in rows]
        self.lowest = [
            max(0, ceil(self.value * (Fraction(row.target) - Fraction(row.low_drift)) / Fraction(row.price)))
            for row in rows
        ]
        self.highest = [
            floor(self.value * (Fraction(row.target) + Fraction(row.high_drift)) / Fraction(row.price)) for row in rows
        ]

    @property
    def feasible(self) -> bool:
        bands = all(low <= high for low, high in zip(self.lowest, self.highest, strict=True))
        return bands and self.cost(self.lowest) <= self.value

    def cost(self, quantities: Sequence[int]) -> Fraction:
        return sum((price * held for price, held in zip(self.prices, quantities, strict=True)), Fraction(0))

    def breach(self, quantities: Sequence[int]) -> Verdict | None:
        within = zip(self.lowest, quantities, self.highest, strict=True)
        if not all(low <= held <= high for low, held, high in within):
            return Verdict.BAND
        return Verdict.CASH if self.cost(quantities) > self.value else None

    def objective(self, quantities: Sequence[int]) -> Fraction:
        rows = zip(self.targets, self.prices, quantities, strict=True)
        return sum((abs(target - price * held) for target, price, held in rows), Fraction(0))
