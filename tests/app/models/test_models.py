"""Creating, reading, replacing and deleting models."""

from decimal import Decimal
from typing import Any

import pytest

from tests.harness.api import Api, json_bytes
from tests.harness.bodies import content, created, model, path, position
from tests.harness.upstreams import fresh_id

NOBODY = "f" * 24
KEYS = ["modelId", "name", "positions", "portfolios", "lastRebalanceDate", "version"]


def test_a_created_model_is_returned_whole_and_reads_back_the_same(api: Api) -> None:
    """The response has every key in order, exact numbers, version 1 and the location of the model."""
    positions = [position(target="0.6"), position(target=Decimal("0.350"), high=1, low=0)]
    wanted = model(positions=positions, portfolios=[fresh_id(), fresh_id()])
    response = api.post("/models", wanted).expect(201)
    assert list(response.body) == KEYS
    assert response.body == {
        **wanted,
        "positions": [
            {**positions[0], "target": Decimal("0.6"), "highDrift": Decimal("0.05"), "lowDrift": Decimal("0.05")},
            positions[1],
        ],
        "modelId": response.body["modelId"],
        "lastRebalanceDate": None,
        "version": 1,
    }
    assert api.get(path(response.body)).expect(200).text == response.text


def test_a_model_may_hold_nothing_and_belong_to_nobody(api: Api) -> None:
    """Empty lists of positions and portfolios are valid."""
    assert created(api)["positions"] == created(api)["portfolios"] == []


def test_names_are_trimmed_and_portfolios_that_repeat_count_once(api: Api) -> None:
    """The name is stored without surrounding whitespace, and the portfolios in their first order."""
    name, portfolio = model()["name"], fresh_id()
    response = created(api, name=f"  {name}\n", portfolios=[portfolio, fresh_id(), portfolio])
    assert response["name"] == name
    assert response["portfolios"][0] == portfolio
    assert len(response["portfolios"]) == 2


def test_positions_with_target_zero_are_not_kept(api: Api) -> None:
    """Creating a model drops them, however the zero is written."""
    response = created(api, positions=[position(target=0), position(target="0.005"), position(target="0.00")])
    assert [each["target"] for each in response["positions"]] == [Decimal("0.005")]


def test_a_name_that_is_taken_cannot_be_given_again(api: Api) -> None:
    """Creating and renaming are 409 until the model that has the name is deleted."""
    first, second = created(api), created(api)
    refused = api.post("/models", model(name=f" {first['name']} ")).expect(409, "DUPLICATE_NAME")
    assert refused.error["details"] == {"name": first["name"]}
    api.put(path(second), content(second, name=first["name"])).expect(409, "DUPLICATE_NAME")
    api.delete(path(first), version=1).expect(204)
    api.put(path(second), content(second, name=first["name"])).expect(200)


def test_a_replacement_takes_the_place_of_everything_and_makes_a_version(api: Api) -> None:
    """PUT returns and stores exactly what was sent, as version 2."""
    before = created(api, positions=[position()], portfolios=[fresh_id()])
    wanted = model(positions=[position(target=Decimal("0.2"))], portfolios=[fresh_id()], version=1)
    response = api.put(path(before), wanted).expect(200)
    assert list(response.body) == KEYS
    assert response.body["version"] == 2
    assert response.body["name"] == wanted["name"]
    assert response.body["portfolios"] == wanted["portfolios"]
    assert response.body["positions"][0]["target"] == Decimal("0.2")
    assert api.get(path(before)).text == response.text


def test_a_replacement_that_changes_nothing_is_a_version_all_the_same(api: Api) -> None:
    """A PUT with equal content still increments the version."""
    before = created(api)
    assert api.put(path(before), content(before)).expect(200).body["version"] == 2


@pytest.mark.parametrize("version", [1, 3, 2**31, 10**30])
def test_only_the_present_version_can_be_replaced_or_deleted(api: Api, version: int) -> None:
    """An older or a later version is 409 that states the current one, and changes nothing."""
    before = created(api)
    now = api.put(path(before), content(before)).expect(200).body
    for refused in (
        api.put(path(before), content(now, version=version)),
        api.delete(path(before), version=version),
    ):
        assert refused.expect(409, "VERSION_CONFLICT").error["details"] == {"currentVersion": 2}
    assert api.get(path(before)).body == now


def test_the_date_of_the_last_rebalance_moves_forward_only(api: Api) -> None:
    """An earlier, missing or null date keeps the stored one, which is returned in UTC."""
    before = created(api)

    def replaced(version: int, **date: Any) -> Any:
        return api.put(path(before), content(before, version=version, **date)).expect(200).body["lastRebalanceDate"]

    assert replaced(1) is None
    assert replaced(2, lastRebalanceDate=None) is None
    assert replaced(3, lastRebalanceDate="2024-05-06T07:08:09.123+02:00") == "2024-05-06T05:08:09.123000Z"
    assert replaced(4) == "2024-05-06T05:08:09.123000Z"
    assert replaced(5, lastRebalanceDate=None) == "2024-05-06T05:08:09.123000Z"
    assert replaced(6, lastRebalanceDate="2023-12-31T00:00:00Z") == "2024-05-06T05:08:09.123000Z"
    assert replaced(7, lastRebalanceDate="2024-05-06T05:08:10Z") == "2024-05-06T05:08:10Z"


def test_deleting_takes_the_version_and_leaves_nothing_but_the_audit_trail(api: Api) -> None:
    """Without the version it is 400; afterwards only the history is found."""
    gone = created(api)
    api.delete(path(gone)).expect(400)
    response = api.delete(path(gone), version=1).expect(204)
    assert response.text == ""
    for again in (api.get(path(gone)), api.put(path(gone), content(gone)), api.delete(path(gone), version=1)):
        assert again.expect(404, "MODEL_NOT_FOUND").error["details"] == {"modelId": gone["modelId"]}
    api.get(path(gone, "/history")).expect(200)


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("GET", "", None),
        ("PUT", "", model(version=1)),
        ("DELETE", "?version=1", None),
        ("GET", "/history", None),
        ("POST", "/position", position()),
        ("PUT", "/position", position()),
        ("DELETE", "/position", position()),
        ("POST", "/portfolio", {"portfolios": [fresh_id()]}),
        ("DELETE", "/portfolio", {"portfolios": [fresh_id()]}),
        ("POST", "/rebalance", None),
    ],
)
def test_every_path_of_a_model_knows_malformed_ids_from_unknown_ones(
    api: Api, method: str, rest: str, body: Any
) -> None:
    """A malformed id is 400 with its rule, an unknown one 404 with the id."""
    for malformed in ("1", "z" * 24, "f" * 23, "f" * 25, "%24where", "a.b", "%00" * 24, "\N{FULLWIDTH DIGIT ONE}" * 24):
        refused = api.call(method, f"/model/{malformed}{rest}", body).expect(400)
        assert refused.rules == {api.name("modelId"): "must be 24 hexadecimal characters"}
    unknown = api.call(method, f"/model/{NOBODY}{rest}", body).expect(404, "MODEL_NOT_FOUND")
    assert unknown.error["details"] == {"modelId": NOBODY}


@pytest.mark.parametrize(
    ("version", "rule"),
    [
        (None, "is required"),
        *((each, "must be a whole number of at least 1") for each in ("", "0", "-1", "1.0", "one")),
    ],
)
def test_a_deletion_names_a_version(api: Api, version: str | None, rule: str) -> None:
    """A missing or malformed version is 400, and the model stays."""
    kept = created(api)
    query = {} if version is None else {"version": version}
    assert api.delete(path(kept), **query).expect(400).rules == {"version": rule}
    assert api.get(path(kept)).body == kept


@pytest.mark.parametrize("missing", ["name", "positions", "portfolios", "version"])
def test_a_field_that_is_missing_is_named(api: Api, missing: str) -> None:
    """Each required field is reported by its name in the dialect of the service."""
    before = created(api)
    body = content(before)
    del body[missing]
    assert api.put(path(before), body).expect(400).rules == {api.name(missing): "is required"}
    if missing != "version":
        del body["version"]
        assert api.post("/models", body).expect(400).rules == {api.name(missing): "is required"}


MOMENT = "must be an ISO 8601 date-time with its offset, such as 2026-11-27T12:00:00Z"


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("name", 1, "must be a string, not a number"),
        ("name", None, "must be a string, not null"),
        ("name", ["a"], "must be a string, not an array"),
        ("name", "", "must have 1 to 255 characters after trimming"),
        ("name", " \t\n", "must have 1 to 255 characters after trimming"),
        ("name", "x" * 256, "must have 1 to 255 characters after trimming"),
        ("positions", None, "must be an array, not null"),
        ("positions", {}, "must be an array, not an object"),
        ("portfolios", None, "must be an array, not null"),
        ("portfolios", "a", "must be an array, not a string"),
        ("version", "1", "must be a whole number, not a string"),
        ("version", 1.5, "must be a whole number"),
        ("version", True, "must be a whole number, not true or false"),
        ("version", None, "must be a whole number, not null"),
        ("lastRebalanceDate", "yesterday", MOMENT),
        ("lastRebalanceDate", "2024-05-06", MOMENT),
        ("lastRebalanceDate", "2024-02-30T00:00:00Z", MOMENT),
        ("lastRebalanceDate", "2024-05-06T07:08:09", MOMENT),
        ("lastRebalanceDate", 1714978089, "must be a string, not a number"),
        ("lastRebalanceDate", "0001-01-01T00:00:00+01:00", "must be a date from year 1 to 9999 in UTC"),
    ],
)
def test_a_field_of_a_wrong_kind_is_named_with_its_rule(api: Api, field: str, value: Any, rule: str) -> None:
    """The rule says what the field must be and what was sent, and nothing is stored."""
    before = created(api)
    assert api.put(path(before), content(before) | {field: value}).expect(400).rules == {api.name(field): rule}
    if field in {"name", "positions", "portfolios"}:
        assert api.post("/models", model() | {field: value}).expect(400).rules == {api.name(field): rule}
    assert api.get(path(before)).body == before


def test_a_name_may_have_255_characters_of_any_kind(api: Api) -> None:
    """Characters are counted, not bytes, and signs that databases reserve are plain text."""
    name = model()["name"].ljust(252, "\N{PILE OF POO}") + "a$."
    assert len(name) == 255
    before = created(api, name=name)
    assert api.get(path(before)).body["name"] == name


def test_the_other_dialects_spelling_is_an_unknown_field(api: Api) -> None:
    """The error suggests the spelling of the dialect in force."""
    other = {"standard": "low_drift", "globeco": "lowDrift"}[api.dialect]
    body = model(positions=[api.spell(position()) | {other: 1}])
    sent = api.call("POST", "/models", json_bytes(body))
    assert sent.expect(400).rules == {
        f"positions[0].{other}": f"is not a field of this request; did you mean {api.name('lowDrift')}?"
    }


@pytest.mark.parametrize("unknown", ["modelId", "_id", "$where", "a.b", "", "\x00", "x" * 100])
def test_a_field_that_is_unknown_is_named(api: Api, unknown: str) -> None:
    """Every body, nested ones included, rejects fields that it does not have."""
    before = created(api)
    rule = "is not a field of this request"
    for refused in (
        api.post("/models", model() | {unknown: 1}),
        api.put(path(before), content(before) | {unknown: 1}),
        api.post(path(before, "/position"), position() | {unknown: 1}),
        api.post(path(before, "/portfolio"), {"portfolios": [], unknown: 1}),
        api.post("/rebalances/portfolios", {"portfolios": [], unknown: 1}),
    ):
        assert refused.expect(400).rules == {api.name(unknown) or "body": rule}
    nested = api.post("/models", model(positions=[position() | {unknown: 1}])).expect(400)
    assert nested.rules == {f"positions[0].{api.name(unknown)}": rule}
