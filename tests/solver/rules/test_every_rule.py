"""Every rule alone, every pair and random mixtures have the outcome that independent judges find."""

import random
from decimal import Decimal

import pytest
from hypothesis import given, reject, settings

from solver import Portfolio, Rules, Security, Solution, SolutionPath, SolverStrategy, solve
from tests.oracle.agreement import assert_right, right_outcome
from tests.oracle.rules import TooLarge
from tests.solver.rules.books import DRAWERS, PAIRS, Book, books, counted_book, draw_book, even_book, mixture


@pytest.mark.parametrize("name", DRAWERS)
def test_each_rule_alone(name: str) -> None:
    """With one rule, the outcome is the right one: quantities, objective, restraints, or every reason against it."""

    @settings(max_examples=30, deadline=None)
    @given(books([name]))
    def check(book: Book) -> None:
        assert_solved_right(book)

    check()


@pytest.mark.parametrize("name", DRAWERS)
def test_each_rule_with_every_other(name: str) -> None:
    """With two rules, the outcome is the right one."""
    pairs = [pair for pair in PAIRS if name == pair[0]]
    for pair in pairs:
        for number in range(6):
            assert_solved_right(draw_book(random.Random(f"{pair} {number}"), pair))
    assert pairs or name == list(DRAWERS)[-1]


@settings(max_examples=75, deadline=None)
@given(books())
def test_any_mixture_of_rules(book: Book) -> None:
    """With any rules together, the outcome is the right one."""
    assert_solved_right(book)


@pytest.mark.parametrize("size", [8, 15, 30])
def test_larger_books(size: int) -> None:
    """A dynamic programme over the cash confirms books of up to 30 securities."""
    judged = 0
    for number in range(20):
        chance = random.Random(f"larger {size} {number}")
        book = draw_book(chance, mixture(chance), most_securities=size, coarse=True)
        try:
            right = right_outcome(*book)
        except TooLarge:
            continue
        assert_right(*book, solve(book[0], rules=book[1]), right)
        judged += 1
    assert judged >= 10


@pytest.mark.parametrize("size", [15, 30])
def test_large_books_in_which_cash_binds(size: int) -> None:
    """A dynamic programme confirms books with fees and minimum trades in whole tens of money."""
    for number in range(6):
        portfolio, rules = counted_book(random.Random(f"counted {size} {number}"), size)
        assert_right(portfolio, rules, solve(portfolio, rules=rules), right_outcome(portfolio, rules))


@pytest.mark.parametrize("size", [6, 20])
def test_ties_without_rules(size: int) -> None:
    """Of many equal optima without rules, the one with the fewest shares traded and the lower quantities is found."""
    bound = 0
    for number in range(20):
        portfolio, rules = even_book(random.Random(f"even {size} {number}"), size)
        solved = solve(portfolio)
        assert_right(portfolio, rules, solved, right_outcome(portfolio, rules))
        assert isinstance(solved, Solution)
        bound += solved.path is SolutionPath.KNAPSACK
    assert bound > 2


@settings(max_examples=25, deadline=None)
@given(books(most_securities=3))
def test_the_integer_program_applies_the_same_rules(book: Book) -> None:
    """The strategy `milp` returns the same right outcome through CVXPY and HiGHS."""
    try:
        right = right_outcome(*book)
    except TooLarge:
        reject()
    assert_right(*book, solve(book[0], rules=book[1], strategy=SolverStrategy.MILP), right)


def assert_solved_right(book: Book) -> None:
    try:
        right = right_outcome(*book)
    except TooLarge:
        return
    assert_right(*book, solve(book[0], rules=book[1]), right)


def test_fractional_shares_with_a_fee_rate_are_proven() -> None:
    """All cash is invested in fractions of shares: what no purchases can use stays, and the search proves it."""
    prices, held = ("123.45", "87.12", "301.07"), ("260.123", "400.5", "90.001")
    securities = [
        Security(f"S{i}", Decimal(prices[i]), Decimal(held[i]), Decimal("0.333"), Decimal("0.05"), Decimal("0.05"))
        for i in range(3)
    ]
    portfolio = Portfolio(tuple(securities), Decimal(4_321))
    solved = solve(portfolio, rules=Rules(lot_size=Decimal("0.0001"), fee_rate=Decimal("0.001")))
    assert isinstance(solved, Solution)
    assert solved.gap == 0
