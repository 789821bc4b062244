"""Adding, changing and removing a model's positions, one call each."""

from decimal import Decimal
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.bodies import created, path, position
from tests.harness.upstreams import fresh_id


def held(of: Any) -> dict[str, tuple[Decimal, Decimal, Decimal]]:
    """Target and drifts of a returned model's positions, by security, in its order."""
    return {each["securityId"]: (each["target"], each["lowDrift"], each["highDrift"]) for each in of["positions"]}


def test_a_position_is_added_at_the_end_and_makes_a_version(api: Api) -> None:
    """The response and a later read agree on order, numbers and version."""
    before = created(api, positions=[position()])
    added = position(target="0.2", low="0.01", high="0.02")
    after = api.post(path(before, "/position"), added).expect(200).body
    assert after["version"] == 2
    assert list(held(after)) == [before["positions"][0]["securityId"], added["securityId"]]
    assert held(after)[added["securityId"]] == (Decimal("0.2"), Decimal("0.01"), Decimal("0.02"))
    assert api.get(path(before)).body == after


def test_a_security_is_added_once(api: Api) -> None:
    """A second position of the security is 409 and changes nothing."""
    there = position()
    before = created(api, positions=[there])
    refused = api.post(path(before, "/position"), there | {"target": "0.2"}).expect(409, "DUPLICATE_POSITION")
    assert refused.error["details"] == {"securityId": there["securityId"]}
    assert api.get(path(before)).body == before


def test_a_position_changes_in_its_place(api: Api) -> None:
    """PUT replaces the numbers and keeps the order."""
    first, second = position(), position()
    before = created(api, positions=[first, second])
    after = api.put(path(before, "/position"), first | {"target": "0.3"}).expect(200).body
    assert after["version"] == 2
    assert [each["target"] for each in after["positions"]] == [Decimal("0.3"), Decimal("0.1")]
    assert list(held(after)) == list(held(before))


def test_a_position_that_is_set_to_zero_goes(api: Api) -> None:
    """A target of 0 removes the position."""
    first, second = position(), position()
    before = created(api, positions=[first, second])
    after = api.put(path(before, "/position"), first | {"target": 0}).expect(200).body
    assert list(held(after)) == [second["securityId"]]


def test_a_position_is_removed_when_it_is_the_one_the_caller_knows(api: Api) -> None:
    """Numbers are compared by value, not by spelling."""
    there = position(target="0.10", low="0.010", high="0.05")
    before = created(api, positions=[there, position()])
    same = there | {"target": Decimal("0.1"), "lowDrift": "1e-2", "highDrift": Decimal("0.0500")}
    after = api.delete(path(before, "/position"), same).expect(200).body
    assert after["version"] == 2
    assert there["securityId"] not in held(after)


@pytest.mark.parametrize("changed", [{"target": "0.2"}, {"lowDrift": "0.04"}, {"highDrift": "0.06"}])
def test_another_position_in_the_same_security_is_not_removed(api: Api, changed: dict[str, str]) -> None:
    """A differing target or drift is 409 with the stored position."""
    there = position()
    before = created(api, positions=[there])
    refused = api.delete(path(before, "/position"), there | changed).expect(409, "POSITION_MISMATCH")
    assert refused.error["details"] == before["positions"][0]
    assert api.get(path(before)).body == before


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_position_that_is_not_there_is_not_found(api: Api, method: str) -> None:
    """Changing or removing it is 404 and changes nothing."""
    before = created(api, positions=[position()])
    missing = position()
    refused = api.call(method, path(before, "/position"), missing).expect(404, "POSITION_NOT_FOUND")
    assert refused.error["details"] == {"securityId": missing["securityId"]}
    assert api.get(path(before)).body == before


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("missing", ["securityId", "target", "highDrift", "lowDrift"])
def test_a_position_says_everything(api: Api, method: str, missing: str) -> None:
    """Each of the four fields is required by every operation on positions."""
    before = created(api)
    body = position()
    del body[missing]
    refused = api.call(method, path(before, "/position"), body).expect(400)
    assert refused.rules == {api.name(missing): "is required"}


def test_a_portfolio_list_grows_and_shrinks_by_what_is_new_and_what_is_there(api: Api) -> None:
    """Known portfolios are not added again, and unknown ones not removed."""
    first, second, third, never = (fresh_id() for _ in range(4))
    before = created(api, portfolios=[first])
    after = api.post(path(before, "/portfolio"), {"portfolios": [second, first, third, second]}).expect(200).body
    assert (after["portfolios"], after["version"]) == ([first, second, third], 2)
    after = api.delete(path(before, "/portfolio"), {"portfolios": [second, never, second]}).expect(200).body
    assert (after["portfolios"], after["version"]) == ([first, third], 3)
    assert api.get(path(before)).body == after


def test_a_call_that_leaves_the_portfolios_as_they_are_is_no_change(api: Api) -> None:
    """It returns the model as it is, without a version and an audit entry."""
    there = fresh_id()
    before = created(api, portfolios=[there])
    assert api.post(path(before, "/portfolio"), {"portfolios": [there]}).expect(200).body == before
    assert api.post(path(before, "/portfolio"), {"portfolios": []}).expect(200).body == before
    assert api.delete(path(before, "/portfolio"), {"portfolios": [fresh_id()]}).expect(200).body == before
    assert len(api.get(path(before, "/history")).body) == 1


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("portfolios", "field", "rule"),
    [
        (["x"], "portfolios[0]", "must be 24 letters or digits"),
        ([fresh_id(), "a.b"], "portfolios[1]", "must be 24 letters or digits"),
        ([None], "portfolios[0]", "must be a string, not null"),
        ([{"$ne": None}], "portfolios[0]", "must be a string, not an object"),
        ({"$in": []}, "portfolios", "must be an array, not an object"),
        (None, "portfolios", "must be an array, not null"),
    ],
)
def test_ids_of_portfolios_are_checked(api: Api, method: str, portfolios: Any, field: str, rule: str) -> None:
    """A malformed id is 400 with its place in the list, and nothing changes."""
    before = created(api, portfolios=[fresh_id()])
    refused = api.call(method, path(before, "/portfolio"), {"portfolios": portfolios}).expect(400)
    assert refused.rules == {field: rule}
    assert api.get(path(before)).body == before


def test_a_model_has_at_most_ten_thousand_portfolios(standard: Api) -> None:
    """The list can be filled to the limit and not beyond."""
    before = created(standard, portfolios=[f"{number:024d}" for number in range(9_999)])
    more = {"portfolios": [f"{number:024d}" for number in range(9_998, 10_001)]}
    refused = standard.post(path(before, "/portfolio"), more).expect(400)
    assert refused.rules == {"portfolios": "must be at most 10000"}
    last = {"portfolios": [f"{9_999:024d}"]}
    assert len(standard.post(path(before, "/portfolio"), last).expect(200).body["portfolios"]) == 10_000
