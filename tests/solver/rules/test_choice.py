"""The choice of one point from each menu is the cheapest that fits, whichever method decides it."""

import random
import zlib
from itertools import pairwise, product
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.solver.rules import CONTRIBUTIONS, contribution
from solver import Solution, SolutionPath, solve
from solver.knapsack.search import UNLIMITED
from solver.ruled.allowed import Line
from solver.ruled.choice import Limits, choose
from solver.ruled.dynamic import Programme
from solver.ruled.menus import Menu, Point

NOBODY = Line(0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, no_buying=False, no_selling=False, locked=False, in_band=False)


@st.composite
def chains(draw: st.DrawFn, first: int) -> list[Point]:
    """A chain of up to three runs with falling gains, that starts at a trade."""
    points = [Point(first, draw(st.integers(-20, 40)), draw(st.integers(0, 90)))]
    cash, gain = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    for _ in range(draw(st.integers(0, 3))):
        lots, last = draw(st.integers(1, 3)), points[-1]
        points.append(Point(last.trade + lots, last.cash + lots * cash, last.cost - lots * gain))
        gain = draw(st.integers(1, gain))
    return points


@st.composite
def menus(draw: st.DrawFn) -> list[Menu]:
    """Up to four securities with up to three chains each."""
    return [
        Menu(NOBODY, [draw(chains(100 * number)) for number in range(draw(st.integers(1, 3)))])
        for _ in range(draw(st.integers(1, 4)))
    ]


def options(menu: Menu) -> list[tuple[int, int, int]]:
    """Every trade of a menu with its cash and cost."""
    found = []
    for chain in menu.chains:
        found.append((chain[0].trade, chain[0].cash, chain[0].cost))
        for before, after in pairwise(chain):
            lots = after.trade - before.trade
            for lot in range(1, lots + 1):
                cash, gain = (after.cash - before.cash) // lots, (before.cost - after.cost) // lots
                found.append((before.trade + lot, before.cash + lot * cash, before.cost - lot * gain))
    return found


def cheapest(offers: list[Menu], capacity: int) -> int:
    """The least cost, by trying everything that no other option of its menu beats."""
    kept = []
    for offer in offers:
        some: list[tuple[int, int]] = []
        for _, cash, cost in sorted(options(offer), key=lambda option: option[1:]):
            if not some or cost < some[-1][1]:
                some.append((cash, cost))
        kept.append(some)
    return min(
        sum(cost for _, cost in combination)
        for combination in product(*kept)
        if sum(cash for cash, _ in combination) <= capacity
    )


def limits() -> Limits:
    return Limits(perf_counter() + 60, max_states=50_000, persist=True, max_work=UNLIMITED)


@settings(max_examples=80, deadline=None)
@given(menus(), st.integers(0, 120))
def test_the_cheapest_choice_is_found_and_proven(offers: list[Menu], room: int) -> None:
    """Cost, bound and the trades' own cash and cost agree with trying everything."""
    capacity = room + sum(min(cash for _, cash, _ in options(offer)) for offer in offers)
    choice = choose(offers, capacity, limits())
    assert choice.trades is not None
    assert choice.cost == choice.bound == cheapest(offers, capacity)
    chosen = [
        next(option for option in options(offer) if option[0] == trade)
        for offer, trade in zip(offers, choice.trades, strict=True)
    ]
    assert sum(cash for _, cash, _ in chosen) <= capacity
    assert sum(cost for _, _, cost in chosen) == choice.cost


@settings(max_examples=80, deadline=None)
@given(menus(), st.integers(0, 120), st.integers(0, 30), st.integers(1, 20))
def test_the_dynamic_programme_finds_the_cheapest_choice_at_any_density(
    offers: list[Menu], room: int, gain: int, cash: int
) -> None:
    """The density only guides it; the relaxation of lots never lies above the cheapest choice."""
    capacity = room + sum(min(used for _, used, _ in options(offer)) for offer in offers)
    least = cheapest(offers, capacity)
    ceiling, bound = least + 1 + room, least - room
    found = Programme(offers, capacity, (gain, cash), ceiling, bound).run(perf_counter() + 60, 50_000, UNLIMITED)
    assert found.complete
    assert found.cost == least
    relaxed = Programme(offers, capacity, (gain, cash), ceiling, bound).relax_lots(
        perf_counter() + 60, 50_000, UNLIMITED
    )
    assert relaxed is not None
    assert relaxed.bound <= least


@pytest.mark.parametrize("name", CONTRIBUTIONS)
@pytest.mark.parametrize("size", [10, 100])
def test_contributions_are_proven_in_large_portfolios(name: str, size: int) -> None:
    """Cash binds, orders have fees or a least value, and the result is proven all the same."""
    bound_by_cash = 0
    for number in range(3):
        portfolio = contribution(random.Random(f"{name} {size} {number}"), size)
        outcome = solve(portfolio, rules=CONTRIBUTIONS[name])
        assert isinstance(outcome, Solution)
        assert outcome.gap == 0
        bound_by_cash += outcome.path is SolutionPath.KNAPSACK
    assert bound_by_cash


@pytest.mark.parametrize("number", [336, 511, 1099, 1974])
def test_a_contribution_close_to_all_shortfalls_is_proven(number: int) -> None:
    """With a minimum trade, most combinations of orders lose nothing against the bound, and few use the cash."""
    chance = random.Random(zlib.crc32(f"1 contribution 100 {number}".encode()))
    outcome = solve(contribution(chance, 100), rules=CONTRIBUTIONS["BUY_ONLY, minimumTradeValue 500"])
    assert isinstance(outcome, Solution)
    assert outcome.gap == 0
