"""A long run over random portfolios of every family: no disagreement with any judge, nor between the strategies.

./run test -m slow tests/solver/test_long_run.py -s
"""

import os
import random
from collections import Counter
from contextlib import suppress

import pytest

from solver import Portfolio, Solution, SolverStrategy, solve
from tests.solver.judging import check, judge, summary
from tests.solver.oracle import TooLarge, brute_force, dynamic_programme, market_value
from tests.solver.portfolios import FAMILIES

PORTFOLIOS = int(os.environ.get("SOLVER_PORTFOLIOS", "100000"))
SMALL = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30)
JUDGED_EVERY, LARGE_EVERY, LITERAL_EVERY = 5, 50, 200
MOST_COMBINATIONS = 300_000


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_no_disagreement_in_a_long_run() -> None:
    counts: Counter[str] = Counter()
    for number in range(PORTFOLIOS):
        chance = random.Random(f"long run {number}")
        size = chance.randint(50, 100) if number % LARGE_EVERY == 0 else chance.choice(SMALL)
        portfolio = list(FAMILIES.values())[number % len(FAMILIES)](chance, size)
        outcome = solve(portfolio)
        counts[type(outcome).__name__] += 1
        if isinstance(outcome, Solution):
            counts[f"by {outcome.path}"] += 1
            counts["with a proven tie"] += outcome.tie_proven
            if number % JUDGED_EVERY == 0:
                check(portfolio, outcome)
        if number % JUDGED_EVERY == 0 and market_value(portfolio) > 0:
            with suppress(TooLarge):
                small = size <= 4
                optimum = brute_force(portfolio) if small else dynamic_programme(portfolio, limit=MOST_COMBINATIONS)
                judge(portfolio, outcome, optimum)
                counts["judged"] += 1
        if number % LITERAL_EVERY == 0:
            counts["compared with the integer program"] += _agrees(portfolio, outcome)
    print(summary(counts))
    assert counts.total() >= PORTFOLIOS


def _agrees(portfolio: Portfolio, outcome: object) -> bool:
    literal = solve(portfolio, strategy=SolverStrategy.MILP)
    assert type(literal) is type(outcome)
    if isinstance(literal, Solution) and isinstance(outcome, Solution):
        assert literal.objective == outcome.objective
        assert literal.trades == outcome.trades or not outcome.tie_proven
    return True
