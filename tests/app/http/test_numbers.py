"""Numbers, digit for digit: into the service, into the database, and back."""

import json
from decimal import Decimal
from typing import Any

import bson
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.exact_json import MAXIMUM_DIGITS, Number, encode
from persistence import Position
from persistence.codec import CODEC_OPTIONS, from_document, to_document
from tests.harness.api import Api, Literal
from tests.harness.bodies import created, model, path, position

NOT_A_NUMBER = "must be a number, or a string that holds one"
TOO_LONG = "must be a number of at most 34 digits and 34 decimals"

digits = st.text("0123456789", min_size=1, max_size=33)
fractions = digits.map("0.{}".format)
numbers = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    st.integers(0, 10**16).map(str),
    st.text("0123456789", min_size=1, max_size=16).map(".{}".format) | st.just(""),
    st.sampled_from(["", "e5", "E-5", "e+0", "E7"]),
)


@given(fractions)
def test_every_digit_of_a_number_is_kept_in_bson_and_on_the_wire(text: str) -> None:
    """Trailing zeros, too: a number that a caller wrote comes back as he wrote it."""
    sent = Number.read(text)
    stored = to_document(Position("a" * 24, target=Decimal(sent), high_drift=Decimal(sent), low_drift=Decimal(sent)))
    read = from_document(bson.decode(bson.encode(stored, codec_options=CODEC_OPTIONS), CODEC_OPTIONS), Position)
    assert encode(read.target).decode() == text


@given(numbers)
def test_a_number_has_one_value_however_it_is_written_and_never_an_exponent_in_a_response(text: str) -> None:
    """Any JSON spelling of a number is read exactly and written as plain digits."""
    literal = msgspec.json.Decoder(Number, dec_hook=lambda _, value: Number.read(value), float_hook=str)
    assert literal.decode(text) == Number.read(text) == Decimal(text)
    written = encode(Decimal(Number.read(text))).decode()
    assert "e" not in written.lower()
    assert json.loads(written, parse_float=Decimal, parse_int=Decimal) == Decimal(text)


@given(st.text('0123456789.E+-",:{}[]\\\n ', max_size=80))
def test_a_text_that_looks_like_a_number_with_an_exponent_is_returned_as_it_is(text: str) -> None:
    """Removing exponents from numbers changes no text, whatever signs it has."""
    content = {"before": Decimal("1E-7"), text: [text, Decimal("-2.5E+8")], "after": Decimal("0E-8")}
    returned = encode(content)
    assert json.loads(returned, parse_float=Decimal, parse_int=Decimal) == content
    assert encode(text) == msgspec.json.encode(text)
    assert b'"before":0.0000001,' in returned
    assert b",-250000000]," in returned


@given(st.text(max_size=80) | st.text("0123456789.eE+-_ ", max_size=80))
def test_a_text_is_read_exactly_when_json_would_read_it_as_a_number_that_can_be_stored(text: str) -> None:
    """The reader of numbers in text accepts JSON's grammar, up to the limit of digits."""
    try:
        value = json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=lambda _: None)
    except (ValueError, ArithmeticError):
        value = None
    # JSON's own white space around a number is none of the number.
    lawful = isinstance(value, Decimal) and text == text.strip()
    if lawful and value is not None:
        _, digits, exponent = value.as_tuple()
        lawful = isinstance(exponent, int) and len(digits) <= MAXIMUM_DIGITS and abs(exponent) <= MAXIMUM_DIGITS
    try:
        assert Number.read(text) == value
    except ValueError:
        assert not lawful
    else:
        assert lawful


@pytest.mark.parametrize(
    ("written", "returned"),
    [
        ("0.1", "0.1"),
        ("0.10", "0.10"),
        ("0.1000000000000000000000000000000000", "0.1000000000000000000000000000000000"),
        ("1", "1"),
        ("1.00", "1.00"),
        ("0", "0"),
        ("0.000", "0.000"),
        ("0e-10", "0.0000000000"),
        ("-0.0", "0.0"),
        ("-0", "0"),
        ("-0e-3", "0.000"),
        ("1e-30", "0.000000000000000000000000000001"),
        ("12E-2", "0.12"),
        ("0.01e+1", "0.1"),
        ("0.1234567890123456789012345678", "0.1234567890123456789012345678"),
        ("0.9999999999999999999999999999999999", "0.9999999999999999999999999999999999"),
        ("0.3000000000000000166533453694", "0.3000000000000000166533453694"),
    ],
)
def test_a_number_is_returned_as_it_was_sent(api: Api, written: str, returned: str) -> None:
    """As a literal and as a string, when it is created and when it is read."""
    for value in (Literal(written), written):
        before = created(api, positions=[position(high=1, low=value)])
        name = api.name("lowDrift")
        assert f'"{name}":{returned}}}' in api.get(path(before)).text
        assert f'"{name}":{returned}}}' in api.get(path(before, "/history")).text


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ('"NaN"', NOT_A_NUMBER),
        ('"Infinity"', NOT_A_NUMBER),
        ('"-Infinity"', NOT_A_NUMBER),
        ('"1_0"', NOT_A_NUMBER),
        ('" 1 "', NOT_A_NUMBER),
        ('"0.1\\n"', NOT_A_NUMBER),
        ('""', NOT_A_NUMBER),
        ('"0x1"', NOT_A_NUMBER),
        ('"01"', NOT_A_NUMBER),
        ('".5"', NOT_A_NUMBER),
        ('"5."', NOT_A_NUMBER),
        ('"+1"', NOT_A_NUMBER),
        ('"1,5"', NOT_A_NUMBER),
        ('"\N{ARABIC-INDIC DIGIT ONE}"', NOT_A_NUMBER),
        ("true", f"{NOT_A_NUMBER}, not true or false"),
        ("null", f"{NOT_A_NUMBER}, not null"),
        ("{}", f"{NOT_A_NUMBER}, not an object"),
        ("[0.1]", f"{NOT_A_NUMBER}, not an array"),
        ("0." + "1" * 35, TOO_LONG),
        ("0." + "1" * 10_000, TOO_LONG),
        ('"' + "1" * 10_000 + '"', TOO_LONG),
        ("1e999999", TOO_LONG),
        ('"1e999999"', TOO_LONG),
        ("1e99999999999999999999", TOO_LONG),
        ('"-1e-99999999999999999999"', TOO_LONG),
        ("1e400", TOO_LONG),
        ("1e-35", TOO_LONG),
        ("1" * 4_000, TOO_LONG),
        ("1" * 10_000, TOO_LONG),
    ],
)
@pytest.mark.parametrize("field", ["target", "lowDrift"])
def test_what_is_no_number_is_refused(api: Api, field: str, written: str, rule: str) -> None:
    """Special values, separators and too many digits are 400 with the field's rule."""
    wrong = position() | {field: Literal(written)}
    refused = api.post("/models", model(positions=[wrong])).expect(400)
    assert refused.rules == {f"positions[0].{api.name(field)}": rule}


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity", "01", ".5", "5.", "+1", "0x1", "1e", "--1", "1_0"])
def test_what_json_does_not_know_is_no_json(api: Api, written: str) -> None:
    """Spellings outside JSON's grammar make the whole body invalid."""
    refused = api.post("/models", model(positions=[position(target=Literal(written))])).expect(400)
    assert list(refused.rules) == ["body"]
    assert refused.rules["body"].startswith("must be JSON; ")


@pytest.mark.parametrize("version", ["1.0", "1e0", "1" * 5000])
def test_a_version_is_an_integer(api: Api, version: str) -> None:
    """A fraction, an exponent or thousands of digits is 400 for the field `version`."""
    before = created(api)
    body: Any = {**model(), "version": Literal(version)}
    assert list(api.put(path(before), body).expect(400).rules) == [api.name("version")]
