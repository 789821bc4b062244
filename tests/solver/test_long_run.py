"""A long run over random portfolios of every family: two strategies and the judges, without one disagreement.

    ./run test -m slow tests/solver/test_long_run.py -s

`SOLVER_PORTFOLIOS` says how many; `SOLVER_FIRST` is the number of the first, so that a run can go on where another
ended.
"""

import os
import random
import time
from collections import Counter
from contextlib import suppress
from fractions import Fraction

import pytest

from solver import Infeasible, Portfolio, Solution, SolutionPath, SolverStrategy, TimeLimit, solve
from tests.oracle.judging import check, judge
from tests.oracle.without_rules import TooLarge, brute_force, dynamic_programme, market_value, without_cash
from tests.solver.portfolios import FAMILIES

PORTFOLIOS = int(os.environ.get("SOLVER_PORTFOLIOS", "100000"))
FIRST = int(os.environ.get("SOLVER_FIRST", "0"))
SIZES = [1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 75, 100]
MILP_SECONDS = 1.0
"""The integer program is asked for every portfolio, and left where it takes longer: HiGHS has no end with some."""


def draw(number: int) -> tuple[str, Portfolio]:
    """Half of all are random books; small ones are more frequent, because judges see more of them."""
    chance = random.Random(f"long run {number}")
    family = "random book" if chance.random() < 0.5 else chance.choice(list(FAMILIES))
    size = chance.choice(SIZES if chance.random() < 0.5 else SIZES[:8])
    return family, FAMILIES[family](chance, max(size, 2 if family == "one cheap, many dear" else 1))


def judged(portfolio: Portfolio, outcome: Solution | Infeasible) -> str:
    """Have the outcome judged by whoever can, and say by whom."""
    relaxed = without_cash(portfolio)
    if relaxed is None:
        assert isinstance(outcome, Infeasible)
        return "infeasible, a band without a whole share"
    if isinstance(outcome, Solution):
        assert Fraction(outcome.objective) >= relaxed.objective
        if Fraction(outcome.objective) == relaxed.objective and outcome.path is SolutionPath.ROUNDING:
            assert sum(abs(Fraction(trade)) for trade in outcome.trades) == relaxed.traded
            return "as good as without regard to cash"
    with suppress(TooLarge):
        judge(portfolio, outcome, brute_force(portfolio, limit=3_000))
        return "brute force"
    with suppress(TooLarge):
        judge(portfolio, outcome, dynamic_programme(portfolio, limit=3_000_000))
        return "dynamic programme"
    return "no judge but the other strategy"


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_no_portfolio_in_a_long_run_is_returned_wrongly() -> None:
    """Every response is verified in fractions, judged where a judge can, and the same from `milp` where it finishes."""
    counts: Counter[str] = Counter()
    slowest = 0.0
    for number in range(FIRST, FIRST + PORTFOLIOS):
        family, portfolio = draw(number)
        assert market_value(portfolio) > 0
        started = time.perf_counter()
        outcome = solve(portfolio)
        slowest = max(slowest, time.perf_counter() - started)
        counts[f"auto: {type(outcome).__name__} {getattr(outcome, 'path', '')}".rstrip()] += 1
        if isinstance(outcome, TimeLimit):
            continue
        assert isinstance(outcome, Solution | Infeasible), (number, family)
        if isinstance(outcome, Solution):
            check(portfolio, outcome)
            counts["auto: tie proven"] += outcome.tie_proven
        counts[f"judged: {judged(portfolio, outcome)}"] += 1
        literal = solve(portfolio, strategy=SolverStrategy.MILP, time_limit_seconds=MILP_SECONDS)
        if isinstance(literal, TimeLimit):
            counts["milp: TimeLimit"] += 1
        elif isinstance(literal, Solution) and isinstance(outcome, Solution):
            assert literal.objective == outcome.objective, (number, family)
            assert literal.trades == outcome.trades or not (literal.tie_proven and outcome.tie_proven), (number, family)
            counts[f"milp: Solution {literal.path}"] += 1
        else:
            assert type(literal) is type(outcome), (number, family)
            counts["milp: Infeasible"] += 1
        if number % 1000 == 999:
            print(f"{number + 1:,}: slowest {slowest:.2f} s, {dict(sorted(counts.items()))}", flush=True)
    assert counts["auto: TimeLimit"] == 0
    assert counts["judged: brute force"] + counts["judged: dynamic programme"] > PORTFOLIOS // 10
