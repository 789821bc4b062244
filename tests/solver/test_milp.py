"""The integer program solves every portfolio, and its wrong results are corrected."""

import random
from decimal import Decimal

import numpy as np
import pytest

from solver import Portfolio, Security, Solution, SolutionPath, SolverStrategy, solve
from solver import milp as integer_program
from solver.bounds import ShareBounds
from solver.scaling import Integers, ScaledPortfolio
from tests.oracle.judging import check
from tests.solver.portfolios import FAMILIES, expensive_shares, random_book

WIDE = Decimal(1)


def both(portfolio: Portfolio) -> tuple[Solution, Solution]:
    """What `auto` and `milp` response."""
    automatic, literal = (solve(portfolio, strategy=strategy) for strategy in SolverStrategy)
    assert isinstance(automatic, Solution)
    assert isinstance(literal, Solution)
    check(portfolio, literal)
    return automatic, literal


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [4, 12])
def test_auto_and_milp_trade_the_same(family: str, size: int) -> None:
    """On every family, whatever each went through; the integer program found the optimum by itself nearly always."""
    by_itself = total = 0
    for number in range(5):
        portfolio = FAMILIES[family](random.Random(f"milp {family} {size} {number}"), size)
        automatic = solve(portfolio)
        if isinstance(automatic, Solution):
            automatic, literal = both(portfolio)
            assert (literal.trades, literal.tie_proven) == (automatic.trades, automatic.tie_proven)
            total += 1
            by_itself += literal.path is SolutionPath.FULL_MILP
    assert by_itself >= total - 1


def test_portfolios_that_rounding_decides_go_through_it_too() -> None:
    """It is the reference and the load: the certificate does not spare it anything."""
    automatic, literal = both(random_book(random.Random("milp rounding 1"), 30))
    assert automatic.path is SolutionPath.ROUNDING
    assert literal.path is SolutionPath.FULL_MILP
    assert literal.trades == automatic.trades


def test_an_optimum_that_floats_miss_is_replaced() -> None:
    """Prices of 0.37 and 90,000,000 in one row: what HiGHS calls optimal is not, and what is returned is."""
    dear = [Decimal(f"{chance}.{chance % 97:02}") for chance in range(71_234_567, 98_000_000, 3_456_789)]
    securities = [Security("cheap", Decimal("0.37"), Decimal(0), Decimal("0.38"), WIDE, WIDE)]
    securities += [Security(f"S{i}", price, Decimal(0), Decimal("0.06"), WIDE, WIDE) for i, price in enumerate(dear)]
    automatic, literal = both(Portfolio(tuple(securities), Decimal(10**9)))
    assert literal.path is SolutionPath.KNAPSACK
    assert literal.trades == automatic.trades


@pytest.mark.parametrize("wrong", ["everything sold", "everything bought", "nothing"])
def test_a_response_that_breaks_a_constraint_is_replaced(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All zeros, as CVXPY says at a time limit, more than the cash pays for, or nothing at all: none gets through."""

    def misled(scaled: ScaledPortfolio, bounds: ShareBounds, _seconds: float) -> Integers | None:
        if wrong == "nothing":
            return None
        return np.zeros_like(bounds.lowest) if wrong == "everything sold" else bounds.highest

    portfolio = expensive_shares(random.Random("milp misled"), 12)
    monkeypatch.setattr(integer_program, "solve_milp", misled)
    automatic, literal = both(portfolio)
    assert literal.path is SolutionPath.KNAPSACK
    assert literal.trades == automatic.trades
