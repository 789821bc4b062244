"""Values come back from BSON as they went in."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import bson
import pytest
from bson import Decimal128
from hypothesis import given
from hypothesis import strategies as st

from persistence import Failure, Model
from persistence.codec import CODEC_OPTIONS, from_document, to_document
from tests.persistence import examples


def _there_and_back(document: dict[str, object]) -> dict[str, object]:
    return bson.decode(bson.encode(document, codec_options=CODEC_OPTIONS), codec_options=CODEC_OPTIONS)


_DECIMALS = st.builds(
    lambda negative, coefficient, exponent: Decimal(f"{'-' if negative else ''}{coefficient}E{exponent}"),
    st.booleans(),
    st.integers(0, 10**34 - 1),
    st.integers(-6176, 6111),
)


@given(_DECIMALS)
def test_a_decimal_keeps_every_digit_trailing_zero_and_sign(value: Decimal) -> None:
    """Any Decimal of 34 digits survives BSON."""
    back = _there_and_back({"value": value})["value"]
    assert isinstance(back, Decimal)
    assert back.as_tuple() == value.as_tuple()


def test_equal_decimals_of_different_spelling_are_kept_apart() -> None:
    """Scale and sign of zero are stored."""
    spellings = ["1", "1.0", "1.00", "1E+1", "10", "0", "-0", "0E+3", "0.000"]
    back = _there_and_back({"values": [Decimal(spelling) for spelling in spellings]})["values"]
    assert isinstance(back, list)
    assert [str(value) for value in back] == spellings


@pytest.mark.parametrize(
    "text", ["1.0000000000000000000000000000000001", "12345678901234567890123456789012345", "1E+7000"]
)
def test_a_decimal_that_does_not_fit_is_an_error_and_not_a_rounded_number(text: str) -> None:
    """More than 34 digits or too large an exponent raises."""
    with pytest.raises(ValueError, match="34"):
        bson.encode({"value": Decimal(text)}, codec_options=CODEC_OPTIONS)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_a_stored_number_that_is_not_finite_does_not_become_a_decimal(text: str) -> None:
    """A foreign document may have one: it stays the type of the database, which no field accepts."""
    assert _there_and_back({"value": Decimal128(text)}) == {"value": Decimal128(text)}


def test_a_moment_comes_back_in_utc_to_the_millisecond() -> None:
    """Other zones are converted, and microseconds cut."""
    there = datetime(2025, 8, 10, 14, 0, 0, 123456, timezone(timedelta(hours=2)))
    assert _there_and_back({"at": there})["at"] == datetime(2025, 8, 10, 12, 0, 0, 123000, UTC)


def test_a_model_is_stored_under_the_names_of_the_data_model() -> None:
    """The document has the fields of the requirements, in order."""
    document = to_document(examples.model())
    assert list(document) == ["_id", "name", "positions", "portfolios", "lastRebalanceDate", "version"]
    assert list(document["positions"][0]) == ["securityId", "target", "highDrift", "lowDrift"]


def test_a_failure_keeps_the_shape_of_its_details() -> None:
    """Decimals, nulls and keys that look like operators survive."""
    details: dict[str, object] = {"bound": Decimal("1.10"), "names": ["a", None, {"$where": 1}], "depth": {"a.b": True}}
    failure = Failure("OPTIMIZATION_FAILED", "No.", details, examples.NOON, "trace")
    assert from_document(_there_and_back(to_document(failure)), Failure) == failure


def test_a_field_that_another_version_of_the_service_stored_is_no_obstacle() -> None:
    """Unknown fields of a document are ignored."""
    model = examples.model()
    assert from_document({**to_document(model), "colour": "green"}, Model) == model
