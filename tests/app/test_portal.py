"""The suite's portal and load generator, replayed: what they send, and every field that they read and how.

The portal is JavaScript: it calls `.slice` on ids and names, `new Date()` on dates, and does arithmetic on numbers. It
repeats every 5xx three times, so that a caller's mistake must never be one.
"""

import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.harness.api import PATIENCE_SECONDS, Api
from tests.harness.upstreams import Upstreams

type Json = Any


@pytest.fixture
def portal(globeco: Api) -> Iterator[httpx.Client]:
    """The portal's own HTTP client: plain JSON, floats and all, with its time-out."""
    with httpx.Client(base_url=f"{globeco.url}/api/v1", timeout=PATIENCE_SECONDS) as client:
        yield client


def load_model(upstreams: Upstreams, **fields: Any) -> Json:
    """A model as the load generator makes it: ten targets, multiples of .005, that sum to .95 in its floats' text."""
    targets = [0.15, 0.125, 0.12, 0.105, 0.1, 0.095, 0.08, 0.075, 0.06, 0.04]
    return {
        "name": f"Load {uuid4().hex}",
        "positions": [
            {"security_id": security_id, "target": target, "high_drift": 0.05, "low_drift": 0.05}
            for security_id, target in zip(upstreams.securities(10), targets, strict=True)
        ],
        "portfolios": [upstreams.portfolio(str(250_000 + 111_111 * number)) for number in range(3)],
        **fields,
    }


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def assert_is_model(model: Json) -> None:
    assert list(model) == ["model_id", "name", "positions", "portfolios", "last_rebalance_date", "version"]
    assert model["model_id"][:8]
    assert model["name"][:40]
    assert isinstance(model["portfolios"], list)
    assert model["last_rebalance_date"] is None or datetime.fromisoformat(model["last_rebalance_date"]).tzinfo
    assert isinstance(model["version"], int)
    for position in model["positions"]:
        assert list(position) == ["security_id", "target", "high_drift", "low_drift"]
        assert is_number(position["target"] + position["high_drift"] + position["low_drift"])


def assert_is_rebalance(rebalance: Json) -> None:
    """Every number the portal adds up is one, and no row lacks a key that the load generator indexes."""
    assert rebalance["rebalance_id"][:8]
    assert rebalance["model_id"][:8]
    assert rebalance["model_name"][:40]
    assert datetime.fromisoformat(rebalance["rebalance_date"]).tzinfo
    assert datetime.fromisoformat(rebalance["created_at"]).tzinfo
    assert rebalance["number_of_portfolios"] == len(rebalance["portfolios"])
    assert isinstance(rebalance["version"], int)
    for portfolio in rebalance["portfolios"]:
        assert portfolio["portfolio_id"][:8]
        money = ("market_value", "cash_before_rebalance", "cash_after_rebalance")
        assert is_number(sum(portfolio[name] for name in money))
        for position in portfolio["positions"]:
            numbers = (
                *("price", "original_quantity", "adjusted_quantity", "target", "high_drift", "low_drift", "actual"),
                *("original_position_market_value", "adjusted_position_market_value", "actual_drift"),
            )
            assert is_number(sum(position[name] for name in numbers))
            assert position["security_id"][:8]
            traded = (position["transaction_type"], position["trade_quantity"], position["trade_date"])
            if position["transaction_type"] is None:
                assert traded == (None, None, None)
            else:
                assert position["transaction_type"] in {"BUY", "SELL"}
                assert position["trade_quantity"] > 0
                assert date.fromisoformat(position["trade_date"]).year > 2000


def test_one_round_of_the_load_generator(portal: httpx.Client, upstreams: Upstreams) -> None:
    """Create, read, rebalance, read the rebalance, and index every row of it."""
    sent = load_model(upstreams)
    created = portal.post("/models", json=sent)
    assert created.status_code == 201
    assert_is_model(created.json())
    assert sum(position["target"] for position in created.json()["positions"]) == pytest.approx(0.95)
    model_id = created.json()["model_id"]
    assert portal.get(f"/model/{model_id}").json() == created.json()

    rebalanced = portal.post(f"/model/{model_id}/rebalance")
    assert rebalanced.status_code == 200
    assert isinstance(rebalanced.json(), list)
    rebalance = portal.get(f"/rebalance/{rebalanced.json()[0]['rebalance_id']}")
    assert rebalance.status_code == 200
    assert_is_rebalance(rebalance.json())
    for portfolio, sent_id in zip(rebalance.json()["portfolios"], sent["portfolios"], strict=True):
        assert portfolio["portfolio_id"] == sent_id
        for position in portfolio["positions"]:
            assert [position[key] for key in ("security_id", "transaction_type", "trade_quantity", "target")]
    after = portal.get(f"/model/{model_id}").json()
    assert datetime.fromisoformat(after["last_rebalance_date"]).tzinfo
    assert after["version"] == 1


def test_ids_that_the_load_generators_queue_did_not_have_are_refused_at_once(
    portal: httpx.Client, upstreams: Upstreams
) -> None:
    """Null ids are 400, and `detail` sums up all of them."""
    refused = portal.post("/models", json=load_model(upstreams, portfolios=[None, None, None]))
    assert refused.status_code == 400
    assert refused.json()["detail"] == "portfolios[0]: must be a string, not null (2 more in the details)"


def test_ten_models_with_one_name_make_one(portal: httpx.Client, upstreams: Upstreams) -> None:
    """The first request creates the model, and repetitions are conflicts."""
    sent = load_model(upstreams)
    assert [portal.post("/models", json=sent).status_code for _ in range(3)] == [201, 409, 409]


@pytest.mark.parametrize(
    "sort_by", ["name", "-name", "model_id", "-model_id", "last_rebalance_date", "-last_rebalance_date"]
)
def test_the_list_of_models_pages_until_fewer_come_than_were_asked_for(
    portal: httpx.Client, upstreams: Upstreams, sort_by: str
) -> None:
    """The portal's way of paging reaches every model once, in each order."""
    for _ in range(3):
        portal.post("/models", json=load_model(upstreams)).raise_for_status()
    everything = portal.get("/models", params={"sort_by": sort_by}).json()
    limit = max(2, len(everything) // 3)
    pages: list[Json] = []
    while True:
        query: dict[str, str | int] = {"offset": len(pages), "limit": limit, "sort_by": sort_by}
        page = portal.get("/models", params=query).json()
        assert isinstance(page, list)
        pages += page
        if len(page) < limit:
            break
    assert [each["model_id"] for each in pages] == [each["model_id"] for each in everything]
    for each in pages:
        assert_is_model(each)


def test_a_model_is_edited_as_it_was_read(portal: httpx.Client, upstreams: Upstreams) -> None:
    """The whole of it, with the date as a string, null, or not at all; and its id is not repeated in the body."""
    made = portal.post("/models", json=load_model(upstreams)).json()
    portal.post(f"/model/{made['model_id']}/rebalance").raise_for_status()
    for dated in ("string", "null", "absent"):
        read = portal.get(f"/model/{made['model_id']}").json()
        body = {name: value for name, value in read.items() if name != "model_id"}
        if dated == "null":
            body["last_rebalance_date"] = None
        elif dated == "absent":
            del body["last_rebalance_date"]
        body["positions"][0]["high_drift"] = 0.06
        edited = portal.put(f"/model/{made['model_id']}", json=body)
        assert edited.status_code == 200, edited.text
        assert edited.json() == {**read, "positions": body["positions"], "version": read["version"] + 1}


def test_the_portal_is_told_in_detail_why_a_deletion_is_refused(portal: httpx.Client, upstreams: Upstreams) -> None:
    """`detail` is the text of the error, for a missing, wrong or old version and for a wrong id."""
    made = portal.post("/models", json=load_model(upstreams)).json()
    route = f"/model/{made['model_id']}"
    for refused, status in (
        (portal.delete(route), 400),
        (portal.delete(route, params={"version": "latest"}), 400),
        (portal.delete(route, params={"version": 7}), 409),
        (portal.delete("/model/1", params={"version": 1}), 400),
        (portal.delete(f"/model/{'0' * 24}", params={"version": 1}), 404),
    ):
        assert refused.status_code == status
        assert isinstance(refused.json()["detail"], str)
        assert refused.json()["detail"] == refused.json()["error"]["message"]
    assert portal.delete(route, params={"version": 1}).status_code == 204


def test_a_rebalance_that_fails_tells_why_in_detail_too(portal: httpx.Client, upstreams: Upstreams) -> None:
    """`detail` names the security without a price, and the details list every portfolio in snake_case."""
    unpriced = upstreams.world.unpriced_security_ids()[0]
    model = load_model(upstreams)
    model["positions"][0]["security_id"] = unpriced
    made = portal.post("/models", json=model).json()
    refused = portal.post(f"/model/{made['model_id']}/rebalance")
    assert refused.status_code == 422
    assert unpriced in refused.json()["detail"]
    details = refused.json()["error"]["details"]
    assert set(details) == {"portfolio_id", "security_ids", "prices", "rebalance_id", "portfolios"}
    assert [list(each) for each in details["portfolios"]] == [["portfolio_id", "code", "message"]] * 3


def test_the_list_of_rebalances_can_be_drawn_and_one_of_them_deleted(
    portal: httpx.Client, upstreams: Upstreams
) -> None:
    """The page has the fields that the portal reads, and a deletion returns the confirmation that it expects."""
    made = portal.post("/models", json=load_model(upstreams)).json()
    mine = portal.post(f"/model/{made['model_id']}/rebalance").json()[0]["rebalance_id"]
    page = portal.get("/rebalances", params={"offset": 0, "limit": 10, "sort_by": "-rebalance_date"}).json()
    assert isinstance(page, list)
    assert page[0]["rebalance_id"] == mine
    assert isinstance(page[0]["portfolios"], list)
    assert_is_rebalance(page[0])
    deleted = portal.delete(f"/rebalance/{mine}", params={"version": page[0]["version"]})
    assert deleted.status_code == 200
    assert json.loads(deleted.text) == {"rebalance_id": mine, "deleted": True}
    assert portal.get(f"/rebalance/{mine}").status_code == 404
