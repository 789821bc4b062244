"""Decimals become integers and come back without losing a digit."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver import InvalidPortfolio, Portfolio, Security
from solver.plain import PlainPortfolio, in_arrays, scale_plain
from solver.scaling import scale

amounts = st.decimals(-(10**11), 10**11, places=2) | st.decimals(-10, 10, places=30) | st.integers(-9, 9).map(Decimal)
prices = st.decimals(Decimal("0.0001"), 10**5, places=4) | st.decimals(Decimal("1E-8"), 10**11, places=8)
drifts = (
    st.decimals(0, 1, places=3) | st.decimals(0, 1, places=40) | st.sampled_from([Decimal("1E-7"), Decimal("0E+3")])
)
books = st.builds(
    lambda rows, cash: Portfolio(tuple(Security(f"S{i}", *row) for i, row in enumerate(rows)), cash),
    st.lists(st.tuples(prices, amounts, drifts, drifts, drifts), max_size=4),
    amounts | st.sampled_from([Decimal("1E+5"), Decimal("-2.5E-9")]),
)


@given(books)
def test_scaled_numbers_are_the_portfolios_own(book: Portfolio) -> None:
    """Prices, holdings and bands in fine units are what the decimals say, as fractions see them."""
    scaled = scale(book)
    fine = 10 ** (scaled.money_places + scaled.weight_places)
    value = Fraction(book.cash) + sum(Fraction(one.price) * Fraction(one.quantity) for one in book.securities)
    assert Fraction(scaled.market_value, fine) == value
    assert Fraction(scaled.cash, fine) == Fraction(book.cash)
    for index, one in enumerate(book.securities):
        price = Fraction(one.price)
        assert Fraction(int(scaled.prices[index]), fine) == price
        held = int(scaled.held[index]) * price + Fraction(int(scaled.fractions[index]), fine)
        assert held == Fraction(one.quantity) * price
        assert 0 <= int(scaled.fractions[index]) < int(scaled.prices[index])
        assert Fraction(int(scaled.targets[index]), fine) == value * Fraction(one.target)
        assert Fraction(int(scaled.lows[index]), fine) == value * Fraction(one.low_drift)
        assert Fraction(int(scaled.highs[index]), fine) == value * Fraction(one.high_drift)


@given(books)
def test_lists_and_arrays_of_a_portfolio_hold_the_same_numbers(book: Portfolio) -> None:
    """Whether a portfolio is scaled to lists or to arrays, and turned from one into the other, changes no number."""
    plain, scaled = scale_plain(book), scale(book)
    for same in (scaled, in_arrays(plain)):
        for field in PlainPortfolio.__struct_fields__:
            assert np.array_equal(getattr(plain, field), getattr(same, field)), field


@given(books)
def test_amounts_come_back_exactly(book: Portfolio) -> None:
    """Market value and a target's value as Decimals are what went in."""
    scaled = scale(book)
    value = Fraction(book.cash) + sum(Fraction(one.price) * Fraction(one.quantity) for one in book.securities)
    assert Fraction(scaled.cash_money(scaled.market_value)) == value
    for index, one in enumerate(book.securities):
        assert Fraction(scaled.money(int(scaled.targets[index]))) == value * Fraction(one.target)


def test_machine_integers_are_used_only_where_everything_fits() -> None:
    """A book of the usual size is worked on in int64; a hundred thousand million with eight decimals is not."""
    usual = Security("A", Decimal("63.12"), Decimal(2347), Decimal("0.05"), Decimal("0.005"), Decimal("0.005"))
    assert scale(Portfolio((usual,), Decimal("3602571.11"))).prices.dtype == np.int64
    fine = Security("A", Decimal("63.12345678"), Decimal(0), Decimal("0.05"), Decimal("0.005"), Decimal("0.005"))
    assert scale(Portfolio((fine,), Decimal(10**11))).prices.dtype == object


@pytest.mark.parametrize("count", [2, 40])
def test_portfolios_share_numbers_only_if_they_have_the_same_objects(count: int) -> None:
    """Neither another quantity nor a target with another count of decimals is that of an earlier portfolio."""
    price, short, long = Decimal("12.5"), Decimal("0.02"), Decimal("0.0200")
    names = [f"S{number:03}" for number in range(count)]

    def book(quantity: int, target: Decimal) -> Portfolio:
        return Portfolio(tuple(Security(name, price, Decimal(quantity), target) for name in names), Decimal("1.5"))

    first, second = (scale(book(quantity, short)) for quantity in (3, 5))
    assert first.prices.tolist() == second.prices.tolist()
    assert [first.held[0], second.held[0]] == [3, 5]
    for scaling in (scale, scale_plain):
        assert [scaling(book(3, target)).target_places for target in (short, long, short)] == [2, 4, 2]


def test_a_rejected_portfolio_is_rejected_again() -> None:
    """The numbers of securities that break a rule are not remembered."""
    wrong = Portfolio((Security("A", Decimal(0)),), Decimal(1))
    for scaling in (scale, scale_plain) * 2:
        with pytest.raises(InvalidPortfolio, match="price of A"):
            scaling(wrong)
