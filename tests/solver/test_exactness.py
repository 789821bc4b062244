"""Both strategies find the optimum that judges who try everything find, or agree that there is none."""

import random
from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import assume, given, reject, settings

from solver import Infeasible, Portfolio, Solution, SolutionPath, SolverStrategy, solve
from tests.oracle.judging import check, judge
from tests.oracle.without_rules import TooLarge, brute_force, dynamic_programme, market_value, without_cash
from tests.solver.portfolios import FAMILIES, portfolios, random_book


@settings(max_examples=100, deadline=None)
@given(portfolios())
def test_small_portfolios_are_solved_as_trying_everything_solves_them(portfolio: Portfolio) -> None:
    """Optimum, shares traded and feasibility are those of the best of all combinations."""
    assume(market_value(portfolio) > 0)
    try:
        optimum = brute_force(portfolio)
    except TooLarge:
        reject()
    outcome = solve(portfolio)
    judge(portfolio, outcome, optimum)
    if isinstance(outcome, Solution):
        assert outcome.tie_proven
        check(portfolio, outcome)


@settings(max_examples=25, deadline=None)
@given(portfolios(most_securities=4))
def test_the_integer_program_finds_the_same(portfolio: Portfolio) -> None:
    """The same trades, whichever method found them first."""
    assume(market_value(portfolio) > 0)
    automatic = solve(portfolio)
    literal = solve(portfolio, strategy=SolverStrategy.MILP)
    assert type(automatic) is type(literal)
    if isinstance(automatic, Solution) and isinstance(literal, Solution):
        assert literal.trades == automatic.trades
        assert literal.tie_proven == automatic.tie_proven


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [2, 7, 20, 50, 100])
def test_larger_portfolios_are_solved_as_a_dynamic_programme_solves_them(family: str, size: int) -> None:
    """Where money can be counted out unit by unit, the best for every sum spent is known."""
    judged = 0
    for number in range(8):
        portfolio = FAMILIES[family](random.Random(f"{family} {size} {number}"), size)
        outcome = solve(portfolio)
        if isinstance(outcome, Solution):
            check(portfolio, outcome)
        with suppress(TooLarge):
            judge(portfolio, outcome, dynamic_programme(portfolio, limit=20_000_000))
            judged += 1
    assert judged or (family == "random book" and size > 20)


@pytest.mark.parametrize("size", [1, 10, 100])
def test_rounding_is_as_good_as_if_cash_were_no_concern(size: int) -> None:
    """A response by rounding reaches what no response could beat, with as few shares traded as that takes."""
    rounded = 0
    for number in range(40):
        portfolio = random_book(random.Random(f"rounding {size} {number}"), size)
        outcome = solve(portfolio)
        best = without_cash(portfolio)
        if best is None:
            assert isinstance(outcome, Infeasible)
        elif isinstance(outcome, Solution):
            assert Fraction(outcome.objective) >= best.objective
            if outcome.path is SolutionPath.ROUNDING:
                rounded += 1
                assert (Fraction(outcome.objective), sum(abs(Fraction(trade)) for trade in outcome.trades)) == best
    assert rounded > 20


def test_cash_binds_in_the_hard_families() -> None:
    """The families hold what they are for: hardly any of their portfolios is solved by rounding."""
    rounded = 0
    for family in FAMILIES.keys() - {"random book"}:
        for number in range(10):
            outcome = solve(FAMILIES[family](random.Random(f"{family} {number}"), 30))
            assert isinstance(outcome, Solution)
            rounded += outcome.path is SolutionPath.ROUNDING
    assert rounded < 10
