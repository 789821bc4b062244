"""Shares are rounded to four decimals, halves away from zero, and nothing else is rounded."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.solver_task.rounding import are_storable, difference, is_storable, product, share, shares, storable

stored = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=8)
weights = st.decimals(allow_nan=False, allow_infinity=False, min_value=-10, max_value=10, places=30)


@given(part=stored, whole=stored.filter(bool))
def test_a_share_is_the_nearest_of_four_decimals_and_of_two_the_one_farther_from_zero(
    part: Decimal, whole: Decimal
) -> None:
    """Any ratio is rounded half away from zero."""
    given_share, exact = share(part, whole), Fraction(part) / Fraction(whole)
    assert given_share.as_tuple().exponent == -4
    distance = abs(Fraction(given_share) - exact)
    assert distance <= Fraction(1, 20_000)
    if distance == Fraction(1, 20_000):
        assert abs(given_share) > abs(exact)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        ("0.00005", "1", "0.0001"),
        ("0.00015", "1", "0.0002"),
        ("-0.00005", "1", "-0.0001"),
        ("0.0000499999999999999999999999999999", "1", "0.0000"),
        ("-0.0000499999999999999999999999999999", "1", "0.0000"),
        ("-1", "1000000", "0.0000"),
        ("1", "3", "0.3333"),
        ("2", "3", "0.6667"),
        ("5", "0", "0.0000"),
        ("0", "5", "0.0000"),
    ],
)
def test_halves_are_rounded_up_and_a_share_of_nothing_is_none(part: str, whole: str, expected: str) -> None:
    """Examples at and beside the halves, of both signs, and of a whole of 0."""
    assert str(share(Decimal(part), Decimal(whole))) == expected


@given(parts=st.lists(stored), whole=stored)
def test_many_shares_are_rounded_as_each_is(parts: list[Decimal], whole: Decimal) -> None:
    """The result for many parts has the digits of the results for each, also for a whole of 0."""
    assert list(map(str, shares(parts, whole))) == [str(share(part, whole)) for part in parts]


@given(stored, weights)
def test_products_and_differences_are_exact(one: Decimal, other: Decimal) -> None:
    """No digit is lost for any numbers that can be stored."""
    assert Fraction(product(one, other)) == Fraction(one) * Fraction(other)
    assert Fraction(difference(one, other)) == Fraction(one) - Fraction(other)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_34_digits_are_storable_and_what_is_longer_is_cut_to_them(value: Decimal) -> None:
    """Decimal128's precision decides."""
    assert is_storable(value) == (storable(value) == value)
    assert are_storable([value, Decimal(1)]) == is_storable(value)
    assert len(storable(value).as_tuple().digits) <= 34
