"""The requirements' rules of a model: as functions over everything that can be written, and on every write path."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors.codes import InvalidField, InvalidFields, check
from app.models.rules import checked_positions, name_faults, normalised_name, position_faults
from persistence import Position
from tests.harness.api import Api
from tests.harness.bodies import content, created, model, path, position

ids = st.integers(0, 10**6).map("{:024d}".format)
decimals = st.decimals(min_value="-0.1", max_value="1.1", allow_nan=False).filter(lambda value: len(str(value)) < 34)
targets = st.one_of(st.integers(-2, 200).map(lambda steps: Decimal(steps) * Decimal("0.005")), decimals)
drifts = st.one_of(
    st.sampled_from([Decimal(0), Decimal(1), Decimal("-1e-33"), Decimal("1.000000000000000001")]), decimals
)
BLANKS = "\u115f\u1160\u3164\uffa0"
"""Letters that display as nothing."""


def accepted(check: Callable[[], object]) -> bool:
    try:
        check()
    except (InvalidField, InvalidFields):
        return False
    return True


@given(target=targets, low=drifts, high=drifts)
def test_a_position_is_accepted_exactly_when_its_numbers_satisfy_the_rules(
    target: Decimal, low: Decimal, high: Decimal
) -> None:
    """Checked in fractions, which know no rounding."""
    exact = Fraction(target)
    lawful = (
        0 <= exact <= Fraction(95, 100) and exact % Fraction(5, 1000) == 0 and 0 <= Fraction(low) <= Fraction(high) <= 1
    )
    assert accepted(lambda: check(position_faults(target, low, high))) == lawful


@given(steps=st.lists(st.integers(0, 40), max_size=120), names=st.data())
def test_positions_are_accepted_exactly_when_they_sum_to_95_percent_at_most_and_are_a_hundred_at_most(
    steps: list[int], names: st.DataObject
) -> None:
    """Any other list is rejected, and an accepted one loses its positions with target 0."""
    keys = names.draw(st.lists(ids, min_size=len(steps), max_size=len(steps)))
    zero = Decimal(0)
    positions = [
        Position(key, count * Decimal("0.005"), high_drift=zero, low_drift=zero)
        for key, count in zip(keys, steps, strict=True)
    ]
    lawful = sum(steps) <= 190 and sum(count > 0 for count in steps) <= 100 and len(set(keys)) == len(keys)
    assert accepted(lambda: checked_positions(positions)) == lawful
    if lawful:
        assert checked_positions(positions) == tuple(each for each in positions if each.target > 0)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters=BLANKS), max_size=300))
def test_a_name_is_accepted_exactly_when_it_has_1_to_255_characters_after_trimming(name: str) -> None:
    """Characters are counted in the composed form, in which names are stored and compared."""
    lawful = 1 <= len(normalize("NFC", name.strip())) <= 255
    assert accepted(lambda: check(name_faults(name))) == lawful
    if lawful:
        assert normalised_name(name) == normalize("NFC", name.strip())


WRONG_ALONE = [
    ("securityId", "x", "must be 24 letters or digits"),
    ("securityId", "a" * 23 + "-", "must be 24 letters or digits"),
    ("securityId", "a" * 23 + "\N{LATIN SMALL LETTER E WITH ACUTE}", "must be 24 letters or digits"),
    ("securityId", "a" * 24 + "\n", "must be 24 letters or digits"),
    ("securityId", 1, "must be a string, not a number"),
    ("securityId", {"$gt": ""}, "must be a string, not an object"),
    ("target", "-0.005", "must be between 0 and 0.95"),
    ("target", "0.955", "must be between 0 and 0.95"),
    ("target", "0.9500000000000000000000000000000001", "must be between 0 and 0.95"),
    ("target", "0.0051", "must be 0 or a multiple of 0.005"),
    ("target", "0.0050000000000000000000000000000001", "must be 0 or a multiple of 0.005"),
    ("target", "1e-34", "must be 0 or a multiple of 0.005"),
    ("highDrift", "1.0000000000000000000000000000000001", None),
    ("highDrift", "1.01", "must be between 0 and 1; it is a fraction of 1: for 1.01 percent, send 0.0101"),
    ("highDrift", "-0.01", "must be between 0 and 1"),
    ("lowDrift", "-0.0000000000000000000000000000000001", "must be between 0 and 1"),
    ("lowDrift", "0.0500000000000000000000000000000001", "must not exceed the high drift"),
]


@pytest.mark.parametrize(("field", "value", "rule"), WRONG_ALONE)
def test_a_wrong_position_is_refused_on_every_write_path(api: Api, field: str, value: Any, rule: str | None) -> None:
    """Creating, replacing and editing report the same rule for the same field, and change nothing."""
    rule = rule or "must be a number of at most 34 digits and 34 decimals"
    before = created(api, positions=[position()])
    wrong = position() | {field: value}
    for refused in (
        api.post("/models", model(positions=[position(), wrong])),
        api.put(path(before), content(before, positions=[position(), wrong])),
    ):
        assert refused.expect(400).rules == {f"positions[1].{api.name(field)}": rule}
    for method in ("POST", "PUT", "DELETE"):
        refused = api.call(method, path(before, "/position"), wrong).expect(400)
        assert refused.rules == {api.name(field): rule}
    assert api.get(path(before)).body == before


def test_targets_sum_to_95_percent_at_most_on_every_write_path(api: Api) -> None:
    """Ten targets of 0.095 are exactly enough, which binary floats would not say."""
    ten = [position(target=Decimal("0.095")) for _ in range(10)]
    before = created(api, positions=ten)
    rule = {"positions": "must have targets that sum to at most 0.95; they sum to 0.955"}
    least = position(target="0.005")
    assert api.post("/models", model(positions=[*ten, least])).expect(400).rules == rule
    assert api.put(path(before), content(before, positions=[*ten, least])).expect(400).rules == rule
    assert api.post(path(before, "/position"), least).expect(400).rules == rule
    assert api.put(path(before, "/position"), ten[0] | {"target": "0.1"}).expect(400).rules == rule
    assert api.get(path(before)).body == before
    api.put(path(before, "/position"), ten[0] | {"target": "0.09"}).expect(200)
    api.post(path(before, "/position"), least).expect(200)


def test_a_hundred_positions_have_a_target_at_most_on_every_write_path(api: Api) -> None:
    """Positions with target 0 do not count towards the hundred."""
    hundred = [position(target="0.005") for _ in range(100)]
    nothing = [position(target=0) for _ in range(20)]
    before = created(api, positions=[*hundred, *nothing])
    assert len(before["positions"]) == 100
    one = position(target="0.005")
    rule = {"positions": "must be at most 100 with a target above 0"}
    assert api.post("/models", model(positions=[*hundred, one])).expect(400).rules == rule
    assert api.put(path(before), content(before, positions=[*hundred, one])).expect(400).rules == rule
    assert api.post(path(before, "/position"), one).expect(400).rules == rule
    api.put(path(before), content(before, positions=[*hundred, *nothing])).expect(200)
    assert api.post(path(before, "/position"), nothing[0]).expect(200).body["version"] == 2


@pytest.mark.parametrize("target", ["0.1", 0])
def test_a_security_appears_once_on_every_write_path(api: Api, target: Any) -> None:
    """Also where the second one would not be kept."""
    first = position()
    second = position(first["securityId"], target=target)
    before = created(api, positions=[first])
    rule = {f"positions[1].{api.name('securityId')}": "must be unique within the model"}
    assert api.post("/models", model(positions=[first, second])).expect(400).rules == rule
    assert api.put(path(before), content(before, positions=[first, second])).expect(400).rules == rule
    api.post(path(before, "/position"), second).expect(409, "DUPLICATE_POSITION")
