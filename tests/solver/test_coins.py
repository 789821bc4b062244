"""Items with copies in abundance: the sums that they make, and knapsacks that are completed by them."""

import random
from decimal import Decimal
from itertools import product
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver import Bands, Portfolio, Rules, Security, Solution, SolutionPath, TimeLimit, solve
from solver.knapsack import abundant, greedy
from solver.knapsack.coins import Coins
from solver.knapsack.greedy import pack
from solver.knapsack.reduction import Item
from tests.oracle.judging import check
from tests.solver.test_knapsack import assert_consistent, greatest_profit

TINY = Decimal("1e-8")
FEW_BOOKS, MANY_BOOKS = 30, 4_000


@st.composite
def _knapsacks(draw: st.DrawFn) -> tuple[list[Item], int]:
    """Draw items of which some are equally dense, and a capacity."""
    numerator, denominator = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    dense = [
        Item(0, denominator * weight, numerator * weight, copies)
        for weight, copies in draw(st.lists(st.tuples(st.integers(1, 15), st.integers(2, 6)), min_size=1, max_size=3))
    ]
    others = draw(
        st.lists(st.builds(Item, st.just(0), st.integers(1, 40), st.integers(1, 60), st.integers(1, 2)), max_size=3)
    )
    items = draw(st.permutations(dense + others))
    return items, draw(st.integers(0, sum(item.weight * item.copies for item in items)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 9)), min_size=1, max_size=4), st.data())
def test_the_greatest_sum_is_that_of_trying_every_number_of_copies(
    coins: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Where copies are returned, they make the greatest sum; where none are, the sum is an upper bound."""
    sums = {
        sum(weight * count for (weight, _), count in zip(coins, counts, strict=True))
        for counts in product(*(range(limit + 1) for _, limit in coins))
    }
    most = data.draw(st.integers(0, max(sums) + 3))
    found, copies = Coins([weight for weight, _ in coins], [limit for _, limit in coins]).greatest(most, 10_000)
    greatest = max(some for some in sums if some <= most)
    assert greatest <= found <= most
    if copies is not None:
        assert found == greatest
        assert found == sum(weight * count for (weight, _), count in zip(coins, copies, strict=True))
        assert all(0 <= count <= limit for count, (_, limit) in zip(copies, coins, strict=True))


def test_a_search_for_a_sum_that_is_given_up_returns_a_bound() -> None:
    """Of two large weights, small sums are far apart."""
    found, copies = Coins([1_000_003, 2_000_029], [10**6, 10**6]).greatest(900_000, 5_000)
    assert copies is None
    assert 0 <= found < 900_000


@settings(max_examples=150, deadline=None)
@given(_knapsacks(), st.booleans(), st.booleans())
def test_knapsacks_with_coins_are_packed_as_trying_everything_packs_them(
    knapsack: tuple[list[Item], int], at_once: bool, short: bool
) -> None:
    """With coins from two copies on, tried before or after a short search, in long or short lists of sums."""
    items, capacity = knapsack
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(abundant, "MANY", 2)
        patched.setattr(abundant, "ABUNDANT", 2)
        patched.setattr(greedy, "WITHOUT_SEARCH", 0 if at_once else 100)
        patched.setattr(greedy, "BEFORE_COINS", 3)
        patched.setattr(abundant, "TABLE_WORK", 6 if short else abundant.TABLE_WORK)
        packing = pack(items, capacity, deadline=perf_counter() + 60, max_states=50_000, persist=True)
    assert_consistent(items, capacity, packing)
    assert packing.profit == packing.bound == greatest_profit(items, capacity)


def test_coins_of_a_large_common_divisor_are_chosen_before_odd_ones() -> None:
    """All coins together need a list of four million sums; without the odd price, a hundred are enough."""
    rows = """
        1.06 243 .015 .01 .005|.5856 2851.7221 .125 .08 .045|.59 1531.736 .051077759 .03 .025
        633.5228 1 .025 .015 .0067925710749|7220.51 0 .245 .10493777361630303 .11198359
        96.15 1 .005 .00156272 .005|167.69800914 0 .188464739 .06 .085
        633.24 2.1 .045 .0241567778694 .00969187|430.14 2 .055 .0307482927703 .035
        .04 5170 .01 .005 .004008700038|162.29 5 .050850508 .02406118 .015|.96012809 0 .11 .025 .0364572652735
    """
    numbers = [list(map(Decimal, row.split())) for line in rows.split("\n") for row in line.split("|") if row.strip()]
    securities = tuple(Security(f"S{number}", *row) for number, row in enumerate(numbers))
    outcome = solve(Portfolio(securities, Decimal("13692.02049824")), time_limit_seconds=30)
    assert isinstance(outcome, Solution)
    assert outcome.objective == Decimal("3132.4075206778")


def _tiny_prices(number: int) -> Portfolio:
    """Return a book with two securities at tiny prices of eight decimals among expensive ones."""
    chance = random.Random(f"tiny prices {number}")
    cash = Decimal(chance.choice([10**5, 10**6, 10**7, 5 * 10**7]))
    count = chance.randint(3, 8)
    cuts = sorted(chance.sample(range(1, 190), count - 1))
    securities = []
    for position, (low, high) in enumerate(zip([0, *cuts], [*cuts, 190], strict=True)):
        target = (high - low) * Decimal("0.005")
        price, drift = chance.randint(10**5, 5 * 10**7) * TINY, min(target, Decimal("0.05"))
        if position > 1:
            price = round(cash * target / Decimal(chance.uniform(0.5, 3.5)), 2)
            drift = min(target, Decimal("0.325"))
        securities.append(Security(f"S{position}", price, Decimal(0), target, drift, Decimal("0.2")))
    return Portfolio(tuple(chance.sample(securities, count)), cash)


def _assert_proven(books: range) -> None:
    binding = 0
    for number in books:
        portfolio = _tiny_prices(number)
        outcome = solve(portfolio, time_limit_seconds=60)
        assert not isinstance(outcome, TimeLimit), number
        if isinstance(outcome, Solution):
            check(portfolio, outcome)
            assert outcome.gap == 0
            binding += outcome.path is SolutionPath.KNAPSACK
    assert binding >= len(books) // 8


def test_books_with_tiny_prices_are_proven() -> None:
    """Millions of copies of two securities, among expensive ones, are no obstacle."""
    _assert_proven(range(FEW_BOOKS))


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_many_books_with_tiny_prices_are_proven() -> None:
    """At least five hundred of them have cash that binds."""
    _assert_proven(range(FEW_BOOKS, FEW_BOOKS + MANY_BOOKS))


@pytest.mark.parametrize("lot_size", ["0.001", "0.00000001"])
@pytest.mark.parametrize("count", [3, 5, 50])
def test_fractional_lots_with_a_fee_rate_are_proven_if_everything_is_invested(lot_size: str, count: int) -> None:
    """The fees have to be paid by buying less, in lots that are worth little, so no cash is left that buys a lot."""
    chance = random.Random(f"fractions {count}")
    worth = Decimal(500_000)
    cuts = sorted(chance.sample(range(1, 200), count - 1))
    securities = []
    for position, (low, high) in enumerate(zip([0, *cuts], [*cuts, 200], strict=True)):
        target, price = (high - low) * Decimal("0.005"), Decimal(chance.randint(500, 20_000)) / 100
        held = round(worth * target / price * Decimal(chance.uniform(0.8, 1.2)), 3)
        drift = Decimal("0.005")
        securities.append(Security(f"S{position}", price, held, target, drift, drift))
    rules = Rules(lot_size=Decimal(lot_size), fee_rate=Decimal("0.001"), bands=Bands.PREFERRED)
    outcome = solve(Portfolio(tuple(securities), Decimal(0)), rules=rules, time_limit_seconds=60)
    assert isinstance(outcome, Solution)
    assert outcome.path is SolutionPath.KNAPSACK
    assert outcome.gap == 0
