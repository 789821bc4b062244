"""Checks of many values at once agree with the checks of single values."""

import re
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from integrations.validation import ENTITY_ID, are_entity_ids, are_within_limits, broken_limit, difference

amounts = st.decimals(allow_nan=True, allow_infinity=True) | st.decimals(places=18, allow_nan=False)


@given(st.lists(amounts, max_size=5))
@example([Decimal("999999999999999.999999999999999999")])
@example([Decimal(10) ** 15])
@example([Decimal("-999999999999999.9999999999999999990")])
@example([Decimal("1E-19")])
@example([Decimal("0E-999")])
@example([Decimal("sNaN")])
def test_many_numbers_are_within_the_limits_if_each_is(values: list[Decimal]) -> None:
    """The fast check of a whole page accepts exactly what the check of each number accepts."""
    assert are_within_limits(values) == all(broken_limit(value) is None for value in values)


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ("999999999999999.999999999999999999", None),
        ("-999999999999999.999999999999999999", None),
        ("1.50000000000000000000000000", None),
        ("0E-999", None),
        ("1E+15", "is not below 10^15"),
        ("-1E+15", "is not below 10^15"),
        ("1E+999999", "is not below 10^15"),
        ("1E-19", "has more than 18 decimals"),
        ("1E-999999", "has more than 18 decimals"),
        ("0.1234567890123456789", "has more than 18 decimals"),
        ("NaN", "is not a finite number"),
        ("-Infinity", "is not a finite number"),
    ],
)
def test_numbers_have_18_decimals_and_are_below_10_to_the_15th(value: str, limit: str | None) -> None:
    """Every limit of the contract has a phrase of its own, and zeros at the end are no decimals."""
    assert broken_limit(Decimal(value)) == limit


def test_a_difference_of_numbers_within_the_limits_is_exact() -> None:
    """Python's own subtraction would round after 28 digits."""
    largest, smallest = Decimal("999999999999999.999999999999999999"), Decimal("1E-18")
    assert difference(largest, smallest) == Decimal("999999999999999.999999999999999998")
    assert difference(largest.copy_negate(), largest) == Decimal("-1999999999999999.999999999999999998")


@given(
    st.lists(
        st.from_regex(ENTITY_ID)
        | st.text("aZ09-\n\N{ARABIC-INDIC DIGIT ONE}\N{LATIN SMALL LETTER E WITH ACUTE}", min_size=23, max_size=25)
    )
)
def test_entity_ids_are_24_letters_or_digits(texts: list[str]) -> None:
    """The fast check of many ids accepts exactly what the pattern accepts."""
    assert are_entity_ids(texts) == all(re.match(ENTITY_ID, text) for text in texts)
