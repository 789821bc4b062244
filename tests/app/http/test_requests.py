"""Requests are checked as a whole: every fault is named at once, and common mistakes get a hint."""

from typing import Any
from unicodedata import normalize

import pytest

from tests.harness.api import Api, json_bytes
from tests.harness.bodies import content, created, model, path, position
from tests.harness.upstreams import Upstreams, fresh_id

GOOD = "0123456789abcdefghijKLMN"


def test_all_faults_of_a_body_are_named_at_once(api: Api) -> None:
    """Faults of every kind are reported together, each with its path and rule."""
    good = position()
    body = api.spell(
        {
            "name": " ",
            "positions": [
                good,
                {**position(), "target": 55, "lowDrift": "x"},
                "cash",
                {"securityId": "IBM", "target": 0.003, "highDrift": 0.1, "lowDrift": 0.2, "ticker": "IBM"},
                good,
            ],
            "portfolios": ["short", None],
            "extra": 1,
        }
    )
    refused = api.call("POST", "/models", json_bytes(body)).expect(400, "VALIDATION_ERROR")
    second, fourth = "positions[1]", "positions[3]"
    assert refused.rules == {
        f"{second}.target": "must be between 0 and 0.95; it is a fraction of 1: for 55 percent, send 0.55",
        f"{second}.{api.name('lowDrift')}": "must be a number, or a string that holds one",
        "positions[2]": "must be a JSON object, not a string",
        f"{fourth}.{api.name('securityId')}": "must be 24 letters or digits; IBM looks like a ticker: "
        "send the id of the security",
        f"{fourth}.target": "must be 0 or a multiple of 0.005",
        f"{fourth}.{api.name('lowDrift')}": "must not exceed the high drift",
        f"{fourth}.ticker": "is not a field of this request",
        "portfolios[1]": "must be a string, not null",
        "extra": "is not a field of this request",
        "name": "must have 1 to 255 characters after trimming",
        f"positions[4].{api.name('securityId')}": "must be unique within the model",
        "portfolios[0]": "must be 24 letters or digits",
    }
    assert refused.body["error"]["message"].endswith("(11 more in the details)")


RULES = {
    "goal": "X",
    "doNotTrade": ["x y", GOOD, "IBM ", GOOD, 5],
    "doNotSell": ["x y"],
    "lotSize": -1,
    "lotSizes": [
        {"securityId": "x y", "lotSize": 0},
        {"securityId": GOOD, "lotSize": "x"},
        {"securityId": GOOD, "lotSize": 1},
        7,
    ],
    "feeRate": 2,
    "minimumCash": "1e15",
}


@pytest.mark.parametrize(
    ("route", "rest", "id_rule", "other_rules"),
    [
        (f"/model/{'0' * 24}/rebalance", {"preview": 1}, "must be 24 letters or digits", {"preview"}),
        (
            "/optimizations",
            {"positions": [], "prices": [], "portfolios": [], "now": 1},
            "must be 1 to 64 characters from A-Z a-z 0-9 . _ -",
            {"now"},
        ),
    ],
)
def test_all_faults_of_rules_are_named_at_once(
    api: Api, route: str, rest: dict[str, Any], id_rule: str, other_rules: set[str]
) -> None:
    """Wrong ids and amounts within rules are reported together with other faults of the rules and of the body."""
    refused = api.call("POST", route, json_bytes(api.spell({**rest, "rules": RULES}))).expect(400, "VALIDATION_ERROR")
    repeated = "must be unique in its list"
    expected = {
        "goal": 'must be "TARGET" or "BAND"',
        "doNotTrade[0]": id_rule,
        "doNotTrade[2]": id_rule,
        "doNotTrade[3]": repeated,
        "doNotTrade[4]": "must be a string, not a number",
        "doNotSell[0]": id_rule,
        "lotSize": "must be above 0, is -1",
        "lotSizes[0].securityId": id_rule,
        "lotSizes[0].lotSize": "must be above 0, is 0",
        "lotSizes[1].lotSize": "must be a number, or a string that holds one",
        "lotSizes[2].securityId": repeated,
        "lotSizes[3]": "must be a JSON object, not a number",
        "feeRate": "must be at least 0 and below 1, is 2; it is a fraction of 1: for 2 percent, send 0.02",
        "minimumCash": "must be below 10^15 and have at most 18 decimal places",
    }
    assert {path: rule for path, rule in refused.rules.items() if path not in other_rules} == {
        f"rules.{api.name(field)}": rule for field, rule in expected.items()
    }
    assert other_rules < set(refused.rules)


def test_faults_of_elements_hide_no_fault_of_their_list(api: Api) -> None:
    """Repeated ids and sums are checked as far as elements can be read, whatever else is wrong with them."""
    zero = {"highDrift": 0, "lowDrift": 0}
    holdings = [{"securityId": "z", "quantity": quantity} for quantity in ("1e20", 1, 2)]
    body = {
        "positions": [
            {"securityId": "A", "target": 0.5, **zero, "extra": 1},
            {"securityId": "A", "target": 0.6, **zero},
            {"securityId": "B", "target": 100, **zero},
        ],
        "prices": [{"securityId": "A", "price": price} for price in (0, 1, 2)],
        "portfolios": [{"portfolioId": "p", "cash": 1, "holdings": each} for each in (holdings, [])],
    }
    refused = api.call("POST", "/optimizations", json_bytes(api.spell(body))).expect(400, "VALIDATION_ERROR")
    assert {
        path: rule for path, rule in refused.rules.items() if rule.startswith(("must be unique", "must have targets"))
    } == {
        "positions": "must have targets with a sum of at most 1; their sum is 1.1",
        **{
            api.name(path): "must be unique in its list"
            for path in (
                "positions[1].securityId",
                "prices[1].securityId",
                "prices[2].securityId",
                "portfolios[0].holdings[1].securityId",
                "portfolios[0].holdings[2].securityId",
                "portfolios[1].portfolioId",
            )
        },
    }
    repeated = position(target="0.9")
    positions = [{**repeated, "lowDrift": "x"}, repeated]
    refused = api.call("POST", "/models", json_bytes(api.spell(model(positions=positions)))).expect(400)
    assert {path: rule for path, rule in refused.rules.items() if api.name("lowDrift") not in path} == {
        f"positions[1].{api.name('securityId')}": "must be unique within the model",
        "positions": "must have targets that sum to at most 0.95; they sum to 1.8",
    }


def test_twenty_faults_are_named_at_most(api: Api) -> None:
    """A body with many faults is not read further than is reported."""
    refused = api.post("/models", model(portfolios=["x"] * 1000)).expect(400)
    assert len(refused.body["error"]["details"]["errors"]) == 20


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"{", "must be JSON; it cannot be read at line 1, column 2"),
        (b'{"name":\n "x",}', "must be JSON; it cannot be read at line 2, column 5"),
        (b" ", "must be JSON; it is empty"),
        (b'{"name": "\xff"}', "must be JSON in UTF-8"),
        (b'{"name": NaN}', "must be JSON; NaN is not a JSON value"),
        (b"[]", "must be a JSON object, not an array"),
    ],
)
def test_what_is_not_json_is_reported_where_it_ends(standard: Api, body: bytes, rule: str) -> None:
    """The rule says in this service's words what is wrong, and where."""
    assert standard.call("POST", "/models", body).expect(400).rules == {"body": rule}


@pytest.mark.parametrize(
    "character", ["\0", "\x1f", "\u200b", "\u200d", "\ufeff", "\u202e", "\u2028", "\u3164", "\ufe0f"]
)
def test_a_name_has_no_characters_that_cannot_be_seen(api: Api, character: str) -> None:
    """Control and zero-width characters within a name are rejected on both ways to write one."""
    before = created(api)
    name = f"a{character}b"
    rule = {"name": f"must not have control or zero-width characters, as U+{ord(character):04X} is"}
    assert api.post("/models", model(name=name)).expect(400).rules == rule
    assert api.put(path(before), content(before, name=name)).expect(400).rules == rule


def test_names_are_compared_in_the_composed_form(api: Api) -> None:
    """A name is stored in NFC, so that its decomposed twin is a duplicate."""
    name = f"Z\u00fcrich \u1e69 {fresh_id()}"
    assert created(api, name=normalize("NFD", name))["name"] == name
    api.post("/models", model(name=name)).expect(409, "DUPLICATE_NAME")
    api.post("/models", model(name=normalize("NFD", name))).expect(409, "DUPLICATE_NAME")


def test_twenty_unknown_parameters_are_named_at_most(standard: Api) -> None:
    """A query of thousands of parameters costs no more than a short one, and long names are shortened."""
    query = "&".join([f"{'n' * 200}=", *(f"x{number}" for number in range(2000))])
    rejected = standard.call("GET", f"/models?{query}").expect(400, "VALIDATION_ERROR")
    assert list(rejected.rules) == ["n" * 100, *(f"x{number}" for number in range(19))]


@pytest.mark.parametrize(
    ("method", "route", "query", "rules"),
    [
        (
            "GET",
            "/models",
            "page=1&sortby=name",
            {
                "page": "is not a query parameter of this request; accepted: limit, offset, sort_by",
                "sortby": "is not a query parameter of this request; did you mean sort_by?",
            },
        ),
        ("GET", "/models", "limit=1&limit=2", {"limit": "occurs more than once"}),
        ("GET", "/models", "limit=1&limit=1", {"limit": "occurs more than once"}),
        ("HEAD", "/models", "page=1", None),
        (
            "POST",
            "/models",
            "dryRun=true",
            {"dryRun": "is not a query parameter of this request; it has none"},
        ),
        ("GET", "/rebalances", "view=summary&View=full", {"View": None}),
        ("DELETE", f"/model/{'0' * 24}", "version=1&force=1", {"force": None}),
    ],
)
def test_unknown_query_parameters_are_named(
    standard: Api, method: str, route: str, query: str, rules: dict[str, str | None] | None
) -> None:
    """In the standard dialect, a parameter that the operation does not have, or has once, is an error."""
    refused = standard.raw(method, f"/api/v1{route}?{query}").expect(400)
    if rules is not None:
        assert set(refused.rules) == set(rules)
        for name, rule in rules.items():
            assert rule is None or refused.rules[name] == rule


def test_unknown_query_parameters_are_ignored_elsewhere(standard: Api, globeco: Api) -> None:
    """The suite's portal forwards any query, and probes may have one."""
    for route in ("/api/v1/models?page=1", "/api/v1/rebalances?limit=1&limit=2&x=", "/health/live?x=1"):
        globeco.raw("GET", route).expect(200)
    for route in ("/health/live?x=1", "/health/ready?x=1", "/metrics?x=1", "/docs?x=1"):
        standard.raw("GET", route).expect(200)


def gets(api: Api) -> list[str]:
    """Every GET operation of the API document, and the pages beside it, with ids that nothing has."""
    document: dict[str, Any] = api.raw("GET", "/docs/openapi.json").exact
    paths = [each for each, item in document["paths"].items() if "get" in item]
    assert len(paths) > 8
    for name in ("{modelId}", "{rebalanceId}", "{portfolioId}"):
        paths = [each.replace(name, "0" * 24) for each in paths]
    return [*paths, "/docs", "/docs/openapi.json", "/redoc", "/metrics", "/static/redoc/redoc.standalone.js"]


def test_head_is_get_without_the_body(standard: Api) -> None:
    """Every GET endpoint has the same status and headers for HEAD, and no body; probes are among them."""
    made = created(standard)
    for route in [*gets(standard), f"/api/v1{path(made)}", f"/api/v1{path(made, '/history')}", "/nothing"]:
        whole, head = standard.raw("GET", route), standard.raw("HEAD", route)
        assert head.status == whole.status, route
        assert head.text == ""
        varying = {"content-length", "transfer-encoding"}
        assert set(head.headers) - varying == set(whole.headers) - varying, route
        if "content-length" in whole.headers and route != "/metrics":
            assert head.headers["content-length"] == whole.headers["content-length"], route


def test_head_is_allowed_where_get_is(standard: Api) -> None:
    """The header `Allow` names HEAD with GET, and HEAD on another endpoint is not allowed."""
    assert standard.raw("OPTIONS", "/api/v1/models").headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    refused = standard.raw("PATCH", "/api/v1/models").expect(405, "METHOD_NOT_ALLOWED")
    assert {"GET", "HEAD", "POST"} <= set(refused.headers["Allow"].split(", "))
    assert "HEAD" not in standard.raw("HEAD", "/api/v1/rebalances/portfolios").expect(405).headers["Allow"]


def test_a_created_model_has_a_location(api: Api) -> None:
    """The 201 names the path under which the model can be read."""
    response = api.post("/models", model()).expect(201)
    location = response.headers["Location"]
    assert api.raw("GET", location).expect(200).body == response.body


def test_a_rebalance_needs_no_body(api: Api, upstreams: Upstreams) -> None:
    """A rebalance without a body works, and what is announced without being sent is not needed either."""
    made = created(api, portfolios=[upstreams.portfolio()])
    api.post(path(made, "/rebalance")).expect(200)


@pytest.mark.parametrize("route", ["/docs", "/redoc", "/api/v1/models", "/nothing", "/health/live"])
def test_no_other_site_can_show_a_response_in_a_frame(standard: Api, route: str) -> None:
    """Every response forbids frames and content sniffing, and tells no other site where a user came from."""
    headers = standard.raw("GET", route).headers
    assert headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_all_faults_of_an_optimization_are_named_at_once(api: Api) -> None:
    """A stateless optimisation is checked as thoroughly, with faults in every part of it."""
    good = {"securityId": "A", "target": 0.5, "highDrift": 0.1, "lowDrift": 0.1}
    body = {
        "positions": [good, {**good, "securityId": "B C", "target": 55, "lowDrift": "x"}, good, {"securityId": "D"}],
        "prices": [{"securityId": "A", "price": -1}, {"securityId": "B", "price": 1e16}, 5],
        "portfolios": [
            {"portfolioId": "p", "cash": "x", "holdings": [{"securityId": "A", "quantity": None}]},
            {"portfolioId": "q", "cash": 1, "holdings": []},
            {"portfolioId": "q", "cash": 1, "holdings": []},
        ],
        "rules": {"lotSize": 0},
    }
    rules = api.post("/optimizations", body).expect(400).rules
    security_id = api.name("securityId")
    assert rules[f"positions[1].{security_id}"] == "must be 1 to 64 characters from A-Z a-z 0-9 . _ -"
    assert rules["positions[1].target"].endswith("for 55 percent, send 0.55")
    assert rules["portfolios[0].holdings[0].quantity"].endswith("not null")
    assert set(rules) == {
        f"positions[1].{security_id}",
        "positions[1].target",
        f"positions[1].{api.name('lowDrift')}",
        f"positions[3].{api.name('highDrift')}",
        f"positions[3].{api.name('lowDrift')}",
        "positions[3].target",
        f"positions[2].{security_id}",
        "prices[0].price",
        "prices[1].price",
        "prices[2]",
        "portfolios[0].cash",
        "portfolios[0].holdings[0].quantity",
        f"portfolios[2].{api.name('portfolioId')}",
        f"rules.{api.name('lotSize')}",
    }


@pytest.mark.parametrize("route", ["/health/live", "/health/ready", "/version"])
def test_service_endpoints_spell_names_in_the_dialect(api: Api, route: str) -> None:
    """Names of every response are those of the dialect, and the keys are those that the API document has."""
    body = api.raw("GET", route).expect(200).exact
    document = api.raw("GET", "/docs/openapi.json").exact
    reference = document["paths"][route]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    assert list(body) == list(document["components"]["schemas"][reference.rpartition("/")[2]]["properties"])
