"""Rules and previews as requests: what is stored, replayed and shown."""

from decimal import Context, Decimal
from typing import Any
from uuid import uuid4

import pytest

from tests.harness.api import Api, Literal
from tests.harness.bodies import Json, created, path, position
from tests.harness.upstreams import Upstreams, fresh_id

KEY = "Idempotency-Key"
EXACT = Context(prec=100)


@pytest.fixture
def made(api: Api, upstreams: Upstreams) -> Json:
    """A model of three securities, with one portfolio that holds the first of them."""
    securities = upstreams.securities(3)
    positions = [position(each, "0.3", "0.1", "0.1") for each in securities]
    return created(api, positions=positions, portfolios=[upstreams.portfolio("100000", {securities[0]: "10"})])


def _rebalance(api: Api, model: Json, body: Any = None, key: str | None = None) -> Any:
    return api.call("POST", path(model, "/rebalance"), body, headers={KEY: key} if key else None)


def _without_ids(response: Any) -> Any:
    return [each | {"rebalanceId": None} for each in response.expect(200).body]


def test_an_empty_body_is_the_same_as_no_rules(api: Api, made: Json) -> None:
    """No body, an empty object, no rules and empty rules compute the same and store no rules."""
    plain = _rebalance(api, made)
    bodies: tuple[Json, ...] = ({}, {"rules": None}, {"rules": {}}, {"preview": False, "rules": {}})
    for body in bodies:
        response = _rebalance(api, made, body)
        assert _without_ids(response) == _without_ids(plain)
        assert api.get(f"/rebalance/{response.body[0]['rebalanceId']}").expect(200).body["rules"] is None


@pytest.mark.parametrize("body", [b"null", b"[]", b"1"])
def test_a_body_that_is_sent_is_an_object(api: Api, made: Json, body: bytes) -> None:
    """The body may be absent, but not null or any other value that is no object."""
    rejected = api.call("POST", path(made, "/rebalance"), body).expect(400, "VALIDATION_ERROR")
    assert list(rejected.rules) == ["body"]


def test_a_key_is_for_the_rules_and_not_for_their_spelling(api: Api, made: Json, upstreams: Upstreams) -> None:
    """The same rules replay the response however they are written; other rules are rejected, and nothing is stored."""
    one, other = upstreams.securities(2)
    key = uuid4().hex
    rules = {"minimumCash": Literal("5000.0"), "doNotBuy": [one, other]}
    first = _rebalance(api, made, {"rules": rules}, key).expect(200)
    same = {"doNotBuy": [other, one], "minimumCash": "5e3", "goal": "TARGET"}
    assert _rebalance(api, made, {"preview": False, "rules": same}, key).expect(200).text == first.text
    count = api.get("/rebalances").headers["X-Total-Count"]
    for different in (None, {}, {"rules": {"minimumCash": 5000}}, {"rules": rules | {"minimumCash": "5000.01"}}):
        refused = _rebalance(api, made, different, key).expect(422, "IDEMPOTENCY_KEY_REUSED")
        assert refused.error["message"] == "This idempotency key was first used on another target or with another body."
    assert api.get("/rebalances").headers["X-Total-Count"] == count
    [stored] = api.get(f"/rebalance/{first.body[0]['rebalanceId']}").expect(200).body["portfolios"]
    assert stored["cashAfterRebalance"] >= 5000


def test_amounts_that_differ_in_their_last_digit_are_different_rules(standard: Api, upstreams: Upstreams) -> None:
    """Also beyond the 28 digits to which arithmetic on decimals rounds by default."""
    model = created(standard, portfolios=[upstreams.portfolio("999999999999999.999999999999999999")])
    key = uuid4().hex
    for last, status in ((8, 200), (8, 200), (7, 422)):
        rules = {"minimumCash": Literal(f"999999999999999.99999999999999999{last}")}
        _rebalance(standard, model, {"rules": rules}, key).expect(status)


def test_a_preview_has_no_key_and_stores_nothing(api: Api, made: Json) -> None:
    """Its response is that of a rebalance, without an id."""
    before = api.get("/rebalances").headers["X-Total-Count"]
    rejected = _rebalance(api, made, {"preview": True}, uuid4().hex).expect(400, "VALIDATION_ERROR")
    assert rejected.rules == {KEY: "is not accepted with a preview, which stores nothing to replay"}
    preview = _rebalance(api, made, {"preview": True}).expect(200)
    assert [each["rebalanceId"] for each in preview.body] == [None]
    assert api.get("/rebalances").headers["X-Total-Count"] == before
    assert api.get(path(made)).expect(200).body["lastRebalanceDate"] is None
    assert _without_ids(_rebalance(api, made)) == preview.body


def test_a_held_security_without_a_price_fails_the_portfolio_or_is_held(api: Api, upstreams: Upstreams) -> None:
    """`HOLD` keeps it unchanged, outside the market value, with a warning, in the response and in what is stored."""
    unpriced = next(each for each, security in upstreams.world.by_id.items() if security.mean is None)
    [priced] = upstreams.securities(1)
    fund = upstreams.portfolio("1000", {unpriced: "7.5", priced: "1"})
    model = created(api, positions=[position(priced, "0.5", "0.5", "0.5")], portfolios=[fund])
    failed = _rebalance(api, model).expect(422, "PRICE_UNAVAILABLE")
    assert failed.error["details"]["securityIds"] == [unpriced]
    [result] = _rebalance(api, model, {"rules": {"unpriced": "HOLD"}}).expect(200).body
    assert result["status"] == "COMPLETED"
    assert result["marketValue"] == 1000 + upstreams.price(priced)
    [warning] = result["warnings"]
    assert (warning["code"], warning["securityIds"]) == ("NOT_PRICED", [unpriced])
    held = result["drifts"][-1]
    assert (held["securityId"], held["restraint"], held["actual"], held["originalActual"]) == (
        unpriced,
        "UNPRICED",
        0,
        0,
    )
    assert held["originalQuantity"] == held["adjustedQuantity"]
    assert unpriced not in {each["securityId"] for each in result["transactions"]}
    stored = api.get(f"/rebalance/{result['rebalanceId']}").expect(200).body
    assert stored["rules"] == {"unpriced": "HOLD"}
    position_held = stored["portfolios"][0]["positions"][-1]
    assert (position_held["securityId"], position_held["tradeQuantity"]) == (unpriced, None)
    # The suite's portal computes with every number.
    assert position_held["price"] == (None if api.dialect == "standard" else 0)
    trades = api.get(f"/rebalance/{result['rebalanceId']}/trades").expect(200).body
    assert {each["securityId"] for each in trades} <= {priced}


def test_a_lock_of_an_unknown_security_is_ignored(api: Api, made: Json) -> None:
    """A well-formed id that is neither held nor in the model changes nothing."""
    plain = _rebalance(api, made)
    assert _without_ids(_rebalance(api, made, {"rules": {"doNotTrade": [fresh_id()]}})) == _without_ids(plain)


@pytest.mark.parametrize(
    ("held", "cash", "target"),
    [("100000000000000.123456789012345678", "0", "0"), ("0", "99999999999999.123456789012345678", "0.9")],
    ids=["sale", "purchase"],
)
def test_quantities_of_33_digits_are_traded_to_the_last_digit(standard: Api, held: str, cash: str, target: str) -> None:
    """What is held, what is traded and what is held afterwards agree exactly."""
    request = {
        "positions": [{"securityId": "X", "target": Literal(target), "highDrift": 1, "lowDrift": 1}],
        "prices": [{"securityId": "X", "price": Literal("1")}],
        "portfolios": [
            {
                "portfolioId": "p",
                "cash": Literal(cash),
                "holdings": [{"securityId": "X", "quantity": Literal(held)}],
            }
        ],
        "rules": {"lotSize": Literal("0.000000000000000001")},
    }
    if target == "0":
        request["positions"] = []
    [result] = standard.post("/optimizations", request).expect(200).body
    [trade], [drift] = result["transactions"], result["drifts"]
    signed = trade["quantity"] if trade["transactionType"] == "BUY" else trade["quantity"].copy_negate()
    assert len(trade["quantity"].as_tuple().digits) > 28
    assert EXACT.add(Decimal(drift["originalQuantity"]), signed) == drift["adjustedQuantity"]
