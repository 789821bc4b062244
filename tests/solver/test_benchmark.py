"""The benchmark's families are as hard as they claim, and its judge separates right results from wrong ones."""

import random
import re
from math import floor
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.solver import checkouts
from benchmarks.solver.checkouts import HERE
from benchmarks.solver.knapsacks import FAMILIES, METHODS, drawn, measure
from benchmarks.solver.portfolios import HARD, realistic
from benchmarks.solver.results import Result, Verdict, judge
from solver import Portfolio, Solution, SolutionPath
from solver import solve as solve_exactly

SIZES = [10, 50, 100]


def best_result(portfolio: Portfolio) -> Result:
    outcome = solve_exactly(portfolio)
    assert isinstance(outcome, Solution)
    return Result(tuple(int(quantity) for quantity in outcome.quantities), finished=True)


def rounded(portfolio: Portfolio, up: int = 0) -> Result:
    """Each security at the whole share below its target, or above it, whatever bands and cash say."""
    value = portfolio.cash
    shares = (floor(value * security.target / security.price) + up for security in portfolio.securities)
    return Result(tuple(shares), finished=True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", [name for name in HARD if name != "hair's breadth"])
def test_cash_binds_in_the_hard_families(family: str, size: int) -> None:
    """Rounding each security by itself is not enough for any of them."""
    for seed in range(10):
        outcome = solve_exactly(HARD[family](random.Random(seed), size))
        assert isinstance(outcome, Solution)
        assert outcome.path is not SolutionPath.ROUNDING


@pytest.mark.parametrize("size", SIZES)
def test_realistic_targets_are_half_percents_of_95_percent(size: int) -> None:
    """Every size has valid targets."""
    for seed in range(10):
        targets = [security.target for security in realistic(random.Random(seed), size).securities]
        assert sum(targets) * 100 == 95
        assert all(target > 0 and target * 1000 % 5 == 0 for target in targets)


def test_the_judge_knows_the_optimum_from_what_is_off_it() -> None:
    """A rounded result is off the optimum."""
    portfolio = HARD["subset sums"](random.Random(1), 50)
    verdicts = judge(portfolio, {"best": best_result(portfolio), "below": rounded(portfolio)})
    assert verdicts == {"best": Verdict.RIGHT, "below": Verdict.OFF}


def test_the_judge_sees_overspent_cash_and_broken_bands() -> None:
    """Both are separate verdicts."""
    portfolio = HARD["expensive shares"](random.Random(1), 50)
    assert judge(portfolio, {"above": rounded(portfolio, up=1)}) == {"above": Verdict.CASH}
    portfolio = HARD["hair's breadth"](random.Random(1), 50)
    assert judge(portfolio, {"below": rounded(portfolio)}) == {"below": Verdict.BAND}


def test_the_judge_tells_a_true_infeasibility_from_a_false_one() -> None:
    """A missing solution, an unfinished search and a true infeasibility are three verdicts."""
    feasible = HARD["forced minimums"](random.Random(1), 10)
    infeasible = Portfolio(feasible.securities, feasible.cash / 1000)
    none = Result(None, finished=True)
    assert judge(feasible, {"none": none, "late": Result(None, finished=False)}) == {
        "none": Verdict.MISSING,
        "late": Verdict.LIMIT,
    }
    assert judge(infeasible, {"none": none}) == {"none": Verdict.RIGHT}


@pytest.mark.parametrize("family", list(FAMILIES))
def test_published_knapsacks_have_the_same_optimum_by_highs(family: str) -> None:
    """The greatest profit is proven, and HiGHS without a gap proves the same."""
    for number in range(2):
        knapsack = drawn(family, 20, number, 2, seed=1)
        ours, other = (measure(method, knapsack, 60) for method in ("ours", "HiGHS"))
        assert ours.proven
        assert other.proven
        assert ours.profit == other.profit


def test_the_capacity_of_a_published_family_is_what_makes_it_hard() -> None:
    """Of Avis's items fewer than half fit, and no choice fills the capacity."""
    knapsack = drawn("Avis", 20, 0, 1, seed=1)
    assert knapsack.weights == knapsack.profits
    assert sum(sorted(knapsack.weights)[:10]) > knapsack.capacity
    profit, proven = METHODS["ours"](knapsack, 60)
    assert proven
    assert profit < knapsack.capacity


def test_two_checkouts_are_compared_on_the_same_portfolios() -> None:
    """A checkout against itself has one row for each family and path, with a time and a ratio."""
    arguments = ["--against", str(HERE), "--sizes", "2", "--count", "1", "--markdown"]
    result = CliRunner().invoke(checkouts.main, arguments)
    assert result.exit_code == 0, result.output
    rows = re.findall(r"^\| (\S.*?) +\| (ROUNDING|KNAPSACK) +\| +[\d,]+ \(\d+\.\d\d\) \|$", result.stdout, re.MULTILINE)
    assert [family for family, _ in rows] == list(checkouts.FAMILIES)


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    """The error names the folder."""
    result = CliRunner().invoke(checkouts.main, ["--against", str(tmp_path)])
    assert result.exit_code == 2
    assert tmp_path.name in result.output
