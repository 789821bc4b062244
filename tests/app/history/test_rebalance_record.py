"""What was rebalanced reads back as it was returned; listings, views, and deletion."""

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId
from pymongo import MongoClient

from app.http.dialect import Dialect
from tests.app.rebalancing.test_rebalance import rounded
from tests.harness.api import Api
from tests.harness.bodies import created, path, position
from tests.harness.upstreams import Upstreams, fresh_id

ID = "f" * 24
HEADER_KEYS = [
    *("rebalanceId", "modelId", "modelName", "rebalanceDate", "numberOfPortfolios", "rules", "version", "createdAt")
]
PORTFOLIO_KEYS = [
    *("portfolioId", "portfolioName", "status", "error", "marketValue", "cashBeforeRebalance", "cashAfterRebalance"),
    "positions",
]
MONEY_KEYS = ("marketValue", "cashBeforeRebalance", "cashAfterRebalance")
POSITION_KEYS = [
    *("securityId", "price", "originalQuantity", "adjustedQuantity", "originalPositionMarketValue"),
    *("adjustedPositionMarketValue", "target", "highDrift", "lowDrift", "actual", "actualDrift"),
    *("transactionType", "tradeQuantity", "tradeDate"),
]
FIELDS = "rebalance_date, rebalance_id, model_name, number_of_portfolios"
ACCEPTED = f"must be a comma-separated list of {FIELDS}, each with an optional + or -"


@pytest.fixture
def mixed(api: Api, upstreams: Upstreams) -> tuple[Any, Any]:
    """A model and the response to its rebalance: one portfolio buys, sells and keeps, one is too small."""
    buys, keeps, sells = upstreams.securities(3)
    for security, price in zip((buys, keeps, sells), ("20.5", "10", "40"), strict=True):
        upstreams.put_price(security, price)
    rich = upstreams.portfolio("50000", {keeps: "2000", sells: "750"}, name="Rich")
    poor = upstreams.portfolio("17", name="Poor")
    positions = [position(buys, "0.3", "0.05", "0.05"), position(keeps, "0.2", "0", "0")]
    made = created(api, positions=positions, portfolios=[rich, poor])
    return made, api.post(path(made, "/rebalance")).expect(200).body


def test_the_record_says_what_the_response_said_and_more(api: Api, mixed: tuple[Any, Any]) -> None:
    """The header, trades and weights of the read equal those of the response."""
    made, (rich, poor) = mixed
    record = api.get(f"/rebalance/{rich['rebalanceId']}").expect(200).body
    assert list(record) == [*HEADER_KEYS, "portfolios"]
    assert record["rebalanceId"] == rich["rebalanceId"]
    assert (record["modelId"], record["modelName"]) == (made["modelId"], made["name"])
    assert (record["numberOfPortfolios"], record["version"]) == (2, 1)
    assert datetime.fromisoformat(record["rebalanceDate"]) <= datetime.fromisoformat(record["createdAt"])
    assert record["rebalanceDate"].endswith("Z")

    for response, stored in zip((rich, poor), record["portfolios"], strict=True):
        assert list(stored) == PORTFOLIO_KEYS
        for key in PORTFOLIO_KEYS[:-1]:
            # The suite's portal calculates with every number, so what does not exist is 0 for it.
            absent = 0 if api.dialect is Dialect.GLOBECO and key in MONEY_KEYS else None
            assert str(stored[key]) == str(absent if response[key] is None else response[key])
        assert [each["securityId"] for each in stored["positions"]] == [
            each["securityId"] for each in response["drifts"]
        ]
    assert (poor["status"], record["portfolios"][1]["positions"]) == ("FAILED", [])

    trades = {each["securityId"]: each for each in rich["transactions"]}
    for drift, stored in zip(rich["drifts"], record["portfolios"][0]["positions"], strict=True):
        assert list(stored) == POSITION_KEYS
        for key in ("securityId", "originalQuantity", "adjustedQuantity", "target", "highDrift", "lowDrift", "actual"):
            assert str(stored[key]) == str(drift[key])
        for which in ("original", "adjusted"):
            value = Fraction(stored["price"]) * Fraction(stored[f"{which}Quantity"])
            assert Fraction(stored[f"{which}PositionMarketValue"]) == value
        value, target = value / Fraction(rich["marketValue"]), Fraction(stored["target"])
        assert stored["actualDrift"] == (rounded(value / target - 1) if target else 0)
        trade = trades.get(stored["securityId"])
        told = (trade["transactionType"], trade["quantity"], trade["tradeDate"]) if trade else (None, None, None)
        assert (stored["transactionType"], stored["tradeQuantity"], stored["tradeDate"]) == told
    kinds = [each["transactionType"] for each in record["portfolios"][0]["positions"]]
    assert kinds == ["BUY", None, "SELL"]


def test_the_record_keeps_when_it_was_priced_and_how_each_portfolio_was_solved(
    mixed: tuple[Any, Any], mongodb_url: str, shared_database_name: str
) -> None:
    """The stored documents have times, path, objective and bound."""
    _, (rich, _) = mixed
    rebalance_id = ObjectId(rich["rebalanceId"])
    with MongoClient[dict[str, Any]](mongodb_url, tz_aware=True) as client:
        database = client[shared_database_name]
        header = database["rebalances"].find_one({"_id": rebalance_id})
        portfolios = list(database["rebalances"].find({"_id.rebalanceId": rebalance_id}).sort("_id.place"))
    assert header is not None
    assert header["rebalanceDate"] <= header["pricedAt"] <= header["createdAt"]
    solved, failed = portfolios
    assert (solved["solve"]["path"], solved["solve"]["tieProven"]) == ("ROUNDING", True)
    assert solved["solve"]["gap"].to_decimal() == 0
    assert solved["solve"]["seconds"] > 0
    assert failed["solve"] is None


def test_parts_of_the_record_read_as_the_whole(api: Api, mixed: tuple[Any, Any]) -> None:
    """Portfolios and positions read one by one equal those of the whole record."""
    _, (rich, poor) = mixed
    record = api.get(f"/rebalance/{rich['rebalanceId']}").body
    route = f"/rebalance/{rich['rebalanceId']}"
    assert api.get(f"{route}/portfolios").expect(200).body == record["portfolios"]
    for number, portfolio in enumerate((rich, poor)):
        positions = api.get(f"{route}/portfolio/{portfolio['portfolioId']}/positions").expect(200).body
        assert positions == record["portfolios"][number]["positions"]
    assert api.get("/rebalances", limit=1).body == [record]


def test_the_proof_says_how_good_the_trades_are_and_nothing_where_there_are_none(
    api: Api, mixed: tuple[Any, Any]
) -> None:
    """A completed portfolio has equal objective and bound, a failed one nulls."""
    _, (rich, poor) = mixed
    route = f"/rebalance/{rich['rebalanceId']}/portfolio"
    proof = api.get(f"{route}/{rich['portfolioId']}/proof").expect(200).body
    assert proof.pop("objective") == proof.pop("bound") > 0
    assert proof == {
        "portfolioId": rich["portfolioId"],
        "status": "COMPLETED",
        "path": "ROUNDING",
        "gap": 0,
        "tieProven": True,
        "outside": 0,
    }
    proof = api.get(f"{route}/{poor['portfolioId']}/proof").expect(200).body
    assert (proof.pop("portfolioId"), proof.pop("status")) == (poor["portfolioId"], "FAILED")
    assert proof == dict.fromkeys(["path", "gap", "tieProven", "objective", "bound", "outside"])


def test_a_summary_is_the_record_without_positions(api: Api, mixed: tuple[Any, Any]) -> None:
    """`view=summary` changes nothing else, and another view is 400."""
    (full,) = api.get("/rebalances", limit=1).body
    (summary,) = api.get("/rebalances", limit=1, view="summary").expect(200).body
    for portfolio in full["portfolios"]:
        portfolio["positions"] = None
    assert summary == full
    rules = api.get("/rebalances", view="all").expect(400).rules
    assert rules == {"view": "must be full or summary"}


def test_what_is_not_there_is_not_found(api: Api, mixed: tuple[Any, Any]) -> None:
    """Every route of an unknown rebalance is 404 with its id."""
    _, (rich, _) = mixed
    for route in (
        f"/rebalance/{ID}",
        f"/rebalance/{ID}/portfolios",
        f"/rebalance/{ID}/portfolio/{fresh_id()}/positions",
        f"/rebalance/{ID}/portfolio/{fresh_id()}/proof",
    ):
        refused = api.get(route).expect(404, "REBALANCE_NOT_FOUND")
        assert refused.error["details"] == {"rebalanceId": ID}
    stranger = fresh_id()
    for part in ("positions", "proof"):
        refused = api.get(f"/rebalance/{rich['rebalanceId']}/portfolio/{stranger}/{part}")
        assert refused.expect(404, "PORTFOLIO_NOT_FOUND").error["details"]["portfolioId"] == stranger


@pytest.mark.parametrize("malformed", ["1", "g" * 24, "f" * 25, "%24ne", "a.b"])
def test_malformed_ids_are_refused(api: Api, malformed: str) -> None:
    """Every route rejects an id that is not 24 hexadecimal characters."""
    rule = {api.name("rebalanceId"): "must be 24 hexadecimal characters"}
    for method, route in (
        ("GET", ""),
        ("GET", "/portfolios"),
        ("GET", f"/portfolio/{ID}/positions"),
        ("GET", f"/portfolio/{ID}/proof"),
        ("DELETE", "?version=1"),
    ):
        assert api.call(method, f"/rebalance/{malformed}{route}").expect(400).rules == rule
    refused = api.get(f"/rebalance/{ID}/portfolio/{malformed}x/positions").expect(400)
    assert refused.rules == {api.name("portfolioId"): "must be 24 letters or digits"}


def test_deleting_takes_the_version_and_all_of_it(api: Api, mixed: tuple[Any, Any]) -> None:
    """Without the current version nothing is deleted; with it, every route of the rebalance is 404."""
    _, (rich, _) = mixed
    route = f"/rebalance/{rich['rebalanceId']}"
    assert api.delete(route).expect(400).rules == {"version": "is required"}
    for wrong in (2, 2**40):
        refused = api.delete(route, version=wrong).expect(409, "VERSION_CONFLICT")
        assert refused.error["details"] == {"currentVersion": 1}
    deleted = api.delete(route, version=1).expect(200).body
    assert deleted == {"rebalanceId": rich["rebalanceId"], "deleted": True}
    for again in (
        api.get(route),
        api.get(f"{route}/portfolios"),
        api.get(f"{route}/portfolio/{rich['portfolioId']}/positions"),
        api.delete(route, version=1),
    ):
        again.expect(404, "REBALANCE_NOT_FOUND")
    assert api.post("/rebalances/portfolios", {"portfolios": [rich["portfolioId"]]}).expect(200).body == []


@pytest.fixture(scope="module")
def series(standard: Api, _simulator: Upstreams) -> list[Any]:
    """Three rebalances, oldest first, of one, two and three portfolios, and of models named in the reverse order."""
    suffix, portfolios, responses = uuid4().hex, [_simulator.portfolio("100") for _ in range(3)], []
    for number in range(3):
        name = f"~{9 - number} {suffix}"
        made = created(standard, name=name, portfolios=portfolios[: number + 1])
        (first, *_) = standard.post(path(made, "/rebalance")).expect(200).body
        responses.append(first)
    return responses


@pytest.mark.parametrize(
    ("sort_by", "newest_first"),
    [
        (None, True),
        ("-rebalance_date", True),
        ("rebalance_date", False),
        ("+rebalanceDate", False),
        ("-rebalance_id", True),
        ("rebalanceId", False),
        ("model_name", True),
        ("-modelName", False),
        ("number_of_portfolios,-rebalance_date", False),
        ("-numberOfPortfolios", True),
    ],
)
def test_rebalances_are_listed_newest_first_or_as_asked(
    api: Api, series: list[Any], sort_by: str | None, newest_first: bool
) -> None:
    """Both spellings of each field and both directions sort the whole list."""
    order = {} if sort_by is None else {"sort_by": sort_by}
    found: list[str] = []
    for offset in range(0, 1000, 100):
        page = api.get("/rebalances", offset=offset, limit=100, view="summary", **order).expect(200).body
        found += [each["rebalanceId"] for each in page]
        if len(page) < 100:
            break
    mine = [each for each in found if each in [one["rebalanceId"] for one in series]]
    expected = [each["rebalanceId"] for each in series]
    assert mine == (expected[::-1] if newest_first else expected)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("sort_by", ["", "name", "portfolios", "-", "rebalance_date,,", "$natural"])
def test_only_known_fields_can_be_sorted_by(api: Api, sort_by: str) -> None:
    """An unknown, empty or decorated field is 400 with the accepted ones."""
    assert api.get("/rebalances", sort_by=sort_by).expect(400).rules == {"sort_by": ACCEPTED}


def test_ten_rebalances_are_listed_unless_more_are_asked_for_and_a_hundred_at_most(
    api: Api, upstreams: Upstreams
) -> None:
    """Limit and offset select a page; a limit above a hundred is 400."""
    made = created(api, portfolios=[upstreams.portfolio("1")])
    for _ in range(11):
        api.post(path(made, "/rebalance")).expect(200)
    assert len(api.get("/rebalances").expect(200).body) == 10
    assert len(api.get("/rebalances", limit=11).body) == 11
    assert api.get("/rebalances", limit=0).expect(200).body == []
    assert api.get("/rebalances", offset=10**20).expect(200).body == []
    rule = {"limit": "must be a whole number of at least 0 and at most 100"}
    assert api.get("/rebalances", limit=101).expect(400).rules == rule
    assert api.post("/rebalances/portfolios", {"portfolios": made["portfolios"]}, limit=101).expect(400).rules == rule


def test_rebalances_are_found_by_any_of_their_portfolios(api: Api, upstreams: Upstreams) -> None:
    """The newest come first, each once, in pages."""
    first, second, third = (upstreams.portfolio("1") for _ in range(3))
    one = created(api, portfolios=[first, second])
    two = created(api, portfolios=[second, third])
    ids = [api.post(path(each, "/rebalance")).expect(200).body[0]["rebalanceId"] for each in (one, two, one)]

    def found(*portfolios: str, **page: Any) -> list[str]:
        body = {"portfolios": list(portfolios)}
        response = api.post("/rebalances/portfolios", body, **page).expect(200).body
        assert all(list(each) == [*HEADER_KEYS, "portfolios"] for each in response)
        return [each["rebalanceId"] for each in response]

    assert found(first) == [ids[2], ids[0]]
    assert found(third) == [ids[1]]
    assert found(first, third, fresh_id()) == found(second) == [ids[2], ids[1], ids[0]]
    assert found(second, offset=1, limit=1) == [ids[1]]
    assert found(second, limit=0) == found(fresh_id()) == found() == []


def test_a_large_rebalance_is_written_piece_by_piece_and_reads_whole(standard: Api, upstreams: Upstreams) -> None:
    """More than is held back for the sake of errors: 12 portfolios of 100 positions."""
    securities = upstreams.securities(200)
    positions = [position(each, target="0.005", high="0.1", low="0.005") for each in securities[:100]]
    held = dict.fromkeys(securities[100:], "3")
    portfolios = [upstreams.portfolio("1000000", held) for _ in range(12)]
    made = created(standard, positions=positions, portfolios=portfolios)
    responses = standard.post(path(made, "/rebalance")).expect(200).body
    record = standard.get(f"/rebalance/{responses[0]['rebalanceId']}").expect(200)
    assert len(record.text) > 500_000
    assert record.headers["Transfer-Encoding"] == "chunked"
    assert [len(each["positions"]) for each in record.body["portfolios"]] == [200] * 12
    assert record.body["portfolios"][11]["marketValue"] == responses[11]["marketValue"] > Decimal(1_000_000)
