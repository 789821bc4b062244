"""What is decided among optima under rules costs one further search at most, and is proven in books of usual size."""

import random
from typing import Any

import pytest

from benchmarks.solver.rules import CONTRIBUTIONS, contribution
from solver import Solution, SolutionPath, solve
from solver.ruled import binding
from solver.ruled.choice import choose


@pytest.mark.parametrize("size", [6, 12, 40, 100])
def test_ties_cost_at_most_one_further_search(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for the optimum is followed by one among the optima, whose work no clock limits."""
    searches: list[Any] = []

    def counted(*arguments: Any) -> Any:
        searches.append(arguments)
        return choose(*arguments)

    monkeypatch.setattr(binding, "choose", counted)
    for number in range(6):
        portfolio = contribution(random.Random(f"ties {size} {number}"), size)
        searches.clear()
        outcome = solve(portfolio, rules=CONTRIBUTIONS["BUY_ONLY"], time_limit_seconds=300)
        assert isinstance(outcome, Solution)
        if outcome.path is SolutionPath.KNAPSACK:
            assert 1 <= len(searches) <= 2
            limits = searches[-1][2]
            assert limits.max_work <= max(binding.TIE_WORK, binding.SMALL_FACTOR * binding.BRIEF_WORK)
            assert not limits.persist


@pytest.mark.parametrize("name", CONTRIBUTIONS)
def test_ties_are_proven_in_books_of_ten_securities(name: str) -> None:
    """Shares and quantities are compared, too; with lots of a thousandth, not all of the many optima can be."""
    solutions = [
        solve(contribution(random.Random(f"proven {number}"), 10), rules=CONTRIBUTIONS[name], time_limit_seconds=300)
        for number in range(8)
    ]
    proven = sum(isinstance(solution, Solution) and solution.tie_proven for solution in solutions)
    assert proven >= (2 if "lotSize" in name else 6)
