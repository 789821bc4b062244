"""Compares what the solver responds with what a judge knows."""

from collections import Counter
from fractions import Fraction
from math import floor

from solver import Infeasible, Outcome, Portfolio, Solution
from tests.oracle.without_rules import Optimum, market_value


def judge(portfolio: Portfolio, outcome: Outcome, optimum: Optimum | None) -> None:
    """Assert that an outcome is what the judge found; a tie must be broken where the solver says so."""
    if optimum is None:
        assert isinstance(outcome, Infeasible)
        return
    assert isinstance(outcome, Solution)
    assert Fraction(outcome.objective) == optimum.objective
    if outcome.tie_proven:
        assert sum(abs(Fraction(trade)) for trade in outcome.trades) == optimum.traded


def check(portfolio: Portfolio, solution: Solution) -> None:
    """Assert in fractions that a solution satisfies every constraint and says of itself only what is true."""
    total = market_value(portfolio)
    value = objective = Fraction(0)
    for security, trade, quantity in zip(portfolio.securities, solution.trades, solution.quantities, strict=True):
        after = Fraction(security.quantity) + Fraction(trade)
        worth = after * Fraction(security.price)
        target = total * Fraction(security.target)
        assert Fraction(quantity) == after >= 0
        assert (
            total * (Fraction(security.target) - Fraction(security.low_drift))
            <= worth
            <= total * (Fraction(security.target) + Fraction(security.high_drift))
        ) or (security.target == 0 and floor(after) == 0)
        value += worth
        objective += abs(target - worth)
    assert Fraction(solution.market_value) == total
    assert Fraction(solution.cash_after) == total - value >= 0
    assert Fraction(solution.objective) == objective
    assert solution.gap == 0


def summary(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(outcomes.items()))
