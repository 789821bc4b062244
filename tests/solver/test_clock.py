"""The clock may end a search at any moment and changes nothing else: no error, no false bound, no other trades."""

import itertools
import json
import random
from decimal import Decimal
from pathlib import Path

import pytest

from solver import Bands, Goal, Portfolio, Rules, Security, Solution, TimeLimit, solve, stages
from solver.knapsack import search
from solver.ruled import choice
from solver.ruled import stages as ruled_stages
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

    for module in (search, stages, choice, ruled_stages):
        monkeypatch.setattr(module, "perf_counter", clock)
    monkeypatch.setattr("solver.cascade.perf_counter", start)
    return steps


RULES = {
    "no rules": None,
    "reserve": Rules(minimum_cash=Decimal(10)),
    "fees": Rules(fee_per_order=Decimal(3), fee_rate=Decimal("0.001")),
    "minimum trade": Rules(minimum_trade_value=Decimal(150)),
    "preferred": Rules(bands=Bands.PREFERRED, minimum_cash=Decimal(300), fee_per_order=Decimal(1)),
    "band": Rules(bands=Bands.PREFERRED, goal=Goal.BAND, minimum_cash=Decimal(250)),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", BOOKS)
def test_a_search_that_the_clock_ends_at_any_step_reports_a_true_bound(
    name: str, rule: str, ends_after: list[int]
) -> None:
    """Every step of the search is the last one once, and what is proven then is true of the optimum."""
    portfolio = BOOKS[name]
    ends_after[0] = 10**9
    rules = RULES[rule]
    optimum = solve(portfolio, rules=rules)
    assert isinstance(optimum, Solution)
    limits = 0
    for step in range(100):
        ends_after[0] = step
        outcome = solve(portfolio, rules=rules)
        if isinstance(outcome, Solution):
            assert outcome.objective == optimum.objective
            assert not outcome.tie_proven or outcome.trades == optimum.trades
            if outcome.tie_proven == optimum.tie_proven and outcome.trades == optimum.trades:
                break
        else:
            limits += 1
            assert isinstance(outcome, TimeLimit)
            assert outcome.objective is not None
            assert outcome.bound is not None
            assert outcome.bound <= optimum.objective
            assert optimum.objective <= outcome.objective or rule in {"preferred", "band"}
    assert limits or rule != "no rules" or name == "false bound"


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


def test_an_acceptable_gap_completes_a_search_that_the_clock_ends(ends_after: list[int]) -> None:
    """The verified result is returned with its gap; without the rule, the same search is at its time limit."""
    portfolio = BOOKS["equal densities"]
    ends_after[0] = 0
    reserve = Decimal("123.45")
    hasty = solve(portfolio, rules=Rules(minimum_cash=reserve))
    assert isinstance(hasty, TimeLimit)
    accepted = solve(portfolio, rules=Rules(minimum_cash=reserve, acceptable_gap=Decimal("0.05")))
    assert isinstance(accepted, Solution)
    assert hasty.gap == accepted.gap > 0
    assert not accepted.tie_proven
    strict = solve(portfolio, rules=Rules(minimum_cash=reserve, acceptable_gap=Decimal("0.0000001")))
    assert isinstance(strict, TimeLimit)
