"""What is looked at together is judged as if each had been looked at by itself."""

import re
from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from integrations.validation import ENTITY_ID, are_entity_ids, are_quantities, check_quantity

amounts = st.decimals(allow_nan=True, allow_infinity=True) | st.decimals(places=8, allow_nan=False)


def is_quantity(value: Decimal) -> bool:
    try:
        check_quantity("quantity", value)
    except ValueError:
        return False
    return True


@given(st.lists(amounts, max_size=5))
@example([Decimal("999999999999.99999999")])
@example([Decimal(10) ** 12])
@example([Decimal("-999999999999.999999990")])
@example([Decimal("1E-9")])
@example([Decimal("0E-999")])
@example([Decimal("sNaN")])
def test_quantities_are_what_the_books_can_hold(values: list[Decimal]) -> None:
    assert are_quantities(values) == all(map(is_quantity, values))


@given(
    st.lists(
        st.from_regex(ENTITY_ID)
        | st.text("aZ09-\n\N{ARABIC-INDIC DIGIT ONE}\N{LATIN SMALL LETTER E WITH ACUTE}", min_size=23, max_size=25)
    )
)
def test_entity_ids_are_24_letters_or_digits(texts: list[str]) -> None:
    assert are_entity_ids(texts) == all(re.match(ENTITY_ID, text) for text in texts)
