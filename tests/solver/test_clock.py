"""The clock may end a search at any moment and changes nothing else: no error, no false bound, no other trades."""

import itertools
import json
import random
from decimal import Decimal
from pathlib import Path

import pytest

from solver import Portfolio, Security, Solution, TimeLimit, solve, stages
from solver.knapsack import search
from tests.solver.portfolios import FAMILIES, equal_densities

FALSE_BOUND = json.loads((Path(__file__).parent / "false_bound.json").read_text())
"""A search that ended at once used to report a bound above its objective; what it had found is the optimum."""


def book(rows: list[list[str]], cash: str) -> Portfolio:
    return Portfolio(tuple(Security(name, *map(Decimal, numbers)) for name, *numbers in rows), Decimal(cash))


BOOKS = {
    "false bound": book(FALSE_BOUND["secs"], FALSE_BOUND["cash"]),
    "equal densities": equal_densities(random.Random("clock"), 12),
    "even dollars": FAMILIES["even dollars"](random.Random("clock"), 12),
    "one cheap, many dear": FAMILIES["one cheap, many dear"](random.Random("clock"), 12),
}


@pytest.fixture
def ends_after(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of times the clock is read before the time is over; the caller sets the only element."""
    steps = [0]
    reads = itertools.count()

    def clock() -> float:
        return 0.0 if next(reads) < steps[0] else 1e9

    def start() -> float:
        nonlocal reads
        reads = itertools.count()
        return 0.0

    for module in (search, stages):
        monkeypatch.setattr(module, "perf_counter", clock)
    monkeypatch.setattr("solver.cascade.perf_counter", start)
    return steps


@pytest.mark.parametrize("name", BOOKS)
def test_a_search_that_the_clock_ends_at_any_step_reports_a_true_bound(name: str, ends_after: list[int]) -> None:
    """Every step of the search is the last one once, and what is proven then is true of the optimum."""
    portfolio = BOOKS[name]
    ends_after[0] = 10**9
    optimum = solve(portfolio)
    assert isinstance(optimum, Solution)
    limits = 0
    for step in range(400):
        ends_after[0] = step
        outcome = solve(portfolio)
        if isinstance(outcome, Solution):
            assert outcome.objective == optimum.objective
            assert not outcome.tie_proven or outcome.trades == optimum.trades
            if outcome.tie_proven:
                break
        else:
            limits += 1
            assert isinstance(outcome, TimeLimit)
            assert outcome.objective is not None
            assert outcome.bound is not None
            assert outcome.bound <= optimum.objective <= outcome.objective
    assert limits or name == "false bound"


def test_another_order_of_the_positions_produces_the_same_trades() -> None:
    """Securities are considered in the order of their ids, so ties are broken alike."""
    binding = 0
    for family in FAMILIES:
        for number in range(8):
            chance = random.Random(f"order {family} {number}")
            portfolio = FAMILIES[family](chance, 12)
            shuffled = Portfolio(tuple(chance.sample(portfolio.securities, 12)), portfolio.cash)
            first, second = solve(portfolio), solve(shuffled)
            assert type(first) is type(second)
            if isinstance(first, Solution) and isinstance(second, Solution):
                binding += first.path == "KNAPSACK"
                trades = {row.security_id: trade for row, trade in zip(shuffled.securities, second.trades, strict=True)}
                assert tuple(trades[row.security_id] for row in portfolio.securities) == first.trades
    assert binding > 20
