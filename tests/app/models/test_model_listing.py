"""Listing models, and reading their audit trail."""

from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.harness.api import Api
from tests.harness.bodies import content, created, model, path, position
from tests.harness.upstreams import fresh_id

ACCEPTED = "must be a comma-separated list of model_id, name, last_rebalance_date, each with an optional + or -"


@pytest.fixture
def three(api: Api) -> list[str]:
    """Ids of three models named in the order in which they were made, rebalanced in the reverse of it."""
    prefix = f"~{uuid4().hex}"  # after every other name here
    ids = []
    for number in range(3):
        made = created(api, name=f"{prefix} {number}")
        date = f"300{9 - number}-01-01T00:00:00Z"
        api.put(path(made), content(made, lastRebalanceDate=date)).expect(200)
        ids.append(str(made["modelId"]))
    return ids


def ids_of(response: Any) -> list[str]:
    return [each["modelId"] for each in response.expect(200).body]


def among(listed: list[str], few: list[str]) -> list[str]:
    return [each for each in listed if each in few]


def test_without_parameters_all_models_are_listed_as_they_read_one_by_one(api: Api, three: list[str]) -> None:
    """An element of the list equals the body of the single read."""
    everything = api.get("/models").expect(200).body
    assert isinstance(everything, list)
    assert [each for each in everything if each["modelId"] in three] == [
        api.get(f"/model/{model_id}").body for model_id in three
    ]


@pytest.mark.parametrize(
    ("sort_by", "reverse"),
    [
        ("model_id", False),
        ("modelId", False),
        ("+model_id", False),
        ("-model_id", True),
        ("-modelId", True),
        ("name", False),
        (" name", False),
        ("-name", True),
        ("last_rebalance_date", True),
        ("lastRebalanceDate", True),
        ("-last_rebalance_date", False),
        ("-last_rebalance_date,name", False),
        ("last_rebalance_date, -model_id", True),
        ("+name,-name,name", False),
    ],
)
def test_listings_are_sorted_by_any_field_in_either_spelling_and_direction(
    api: Api, three: list[str], sort_by: str, reverse: bool
) -> None:
    """snake_case and camelCase name the same field, and a minus reverses the order."""
    expected = list(reversed(three)) if reverse else three
    assert among(ids_of(api.get("/models", sort_by=sort_by)), three) == expected


def test_a_plus_arrives_as_a_space_where_it_is_not_encoded(api: Api, three: list[str]) -> None:
    """A literal plus in the query string is accepted as ascending."""
    assert among(ids_of(api.call("GET", "/models?sort_by=+name,+model_id")), three) == three
    assert among(ids_of(api.call("GET", "/models?sort_by=-name,+model_id")), three) == three[::-1]


def test_pages_are_cut_out_of_the_whole(api: Api, three: list[str]) -> None:
    """Offset and limit select a slice of the sorted list, and any offset past the end is an empty page."""
    everything = ids_of(api.get("/models", sort_by="name"))
    assert len(everything) >= 3
    assert ids_of(api.get("/models", sort_by="name", limit=2)) == everything[:2]
    assert ids_of(api.get("/models", sort_by="name", offset=1)) == everything[1:]
    assert ids_of(api.get("/models", sort_by="name", offset=1, limit=2)) == everything[1:3]
    assert ids_of(api.get("/models", limit=0)) == []
    assert ids_of(api.get("/models", sort_by="name", limit=10**30)) == everything
    for past_the_end in (len(everything), 2**31, 2**63, 10**400):
        assert ids_of(api.get("/models", offset=past_the_end, limit=5)) == []


@pytest.mark.parametrize("listing", ["/models", "/rebalances", f"/model/{'f' * 24}/history"])
@pytest.mark.parametrize("parameter", ["offset", "limit"])
@pytest.mark.parametrize(
    "value", ["-1", "", "1.0", "1e1", "one", "null", "true", " 1", "+1", "0x1", "1_0", "٣", "1" * 9 + "x"]
)
def test_pages_are_asked_for_in_whole_numbers(standard: Api, listing: str, parameter: str, value: str) -> None:
    """Anything else is 400 that names the parameter and its rule."""
    (refused,) = standard.get(listing, **{parameter: value}).expect(400).rules.items()
    assert refused[0] == parameter
    assert refused[1].startswith("must be a whole number of at least 0")


@pytest.mark.parametrize(
    "sort_by",
    [
        "",
        ",",
        "name,",
        "portfolios",
        "_id",
        "$natural",
        "name desc",
        "--name",
        "- name",
        "name;-name",
        "MODEL_ID",
        "\x00",
    ],
)
def test_only_known_fields_can_be_sorted_by(api: Api, sort_by: str) -> None:
    """An unknown, empty or decorated field is 400 with the accepted ones."""
    assert api.get("/models", sort_by=sort_by).expect(400).rules == {"sort_by": ACCEPTED}


def test_every_change_is_in_the_audit_trail_with_who_when_and_what(api: Api) -> None:
    """Each kind of edit adds an entry with action, version, user, time and the changed fields."""
    who = uuid4().hex
    first, second, portfolio = position(), position(), fresh_id()
    made = created(api, positions=[first])
    begun = datetime.fromisoformat(api.get(path(made, "/history")).body[0]["changedAt"])
    steps: list[tuple[str, str, str, Any]] = [
        ("POSITION_ADDED", "POST", "/position", second),
        ("POSITION_CHANGED", "PUT", "/position", second | {"target": "0.2"}),
        ("POSITION_REMOVED", "DELETE", "/position", second | {"target": "0.2"}),
        ("PORTFOLIOS_ADDED", "POST", "/portfolio", {"portfolios": [portfolio]}),
        ("PORTFOLIOS_REMOVED", "DELETE", "/portfolio", {"portfolios": [portfolio]}),
        ("REPLACED", "PUT", "", model(version=6)),
    ]
    contents = [made]
    for number, (_, method, rest, body) in enumerate(steps):
        response = api.call(method, path(made, rest), body, headers={"X-Correlation-ID": f"{who}-{number}"})
        contents.append(response.expect(200).body)
    api.call("DELETE", path(made), params={"version": 7}, headers={"X-Correlation-ID": f"{who}-6"}).expect(204)

    trail = api.get(path(made, "/history"), limit=100).expect(200).body
    assert [list(entry) for entry in trail] == 8 * [
        ["modelId", "version", "action", "changedAt", "correlationId", "before", "after"]
    ]
    trail.reverse()
    assert [entry["version"] for entry in trail] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [entry["action"] for entry in trail] == ["CREATED", *(step[0] for step in steps), "DELETED"]
    assert [entry["correlationId"] for entry in trail[1:]] == [f"{who}-{number}" for number in range(7)]
    told = [
        {name: each[name] for name in ("name", "positions", "portfolios", "lastRebalanceDate")} for each in contents
    ]
    assert [entry["before"] for entry in trail] == [None, *told]
    assert [entry["after"] for entry in trail] == [*told, None]
    assert all(entry["changedAt"].endswith("Z") for entry in trail)
    times = [datetime.fromisoformat(entry["changedAt"]) for entry in trail]
    assert times == sorted(times)
    assert times[0] == begun

    newest = api.get(path(made, "/history"), offset=1, limit=2).expect(200).body
    assert [entry["version"] for entry in newest] == [7, 6]


def test_ten_entries_are_shown_unless_more_are_asked_for_and_a_hundred_at_most(api: Api) -> None:
    """The default page has ten entries, and a limit above a hundred is rejected."""
    made = created(api)
    for _ in range(10):
        made = api.put(path(made), content(made)).expect(200).body
    assert len(api.get(path(made, "/history")).body) == 10
    assert len(api.get(path(made, "/history"), limit=100).body) == 11
    assert api.get(path(made, "/history"), limit=0).expect(200).body == []
    rule = {"limit": "must be a whole number of at least 0 and at most 100"}
    assert api.get(path(made, "/history"), limit=101).expect(400).rules == rule
