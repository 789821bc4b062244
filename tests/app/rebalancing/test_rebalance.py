"""What a rebalance responses and stores when it succeeds."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.clock import today
from integrations.simulator import ErrorStatus, Garbage, GarbageKind, Hang, Refuse, Service, SpecialCase
from tests.harness.api import Api
from tests.harness.bodies import created, path, position
from tests.harness.upstreams import Upstreams, fresh_id

KEYS = [
    *("portfolioId", "portfolioName", "rebalanceId", "status", "marketValue", "cashBeforeRebalance"),
    *("cashAfterRebalance", "driftBefore", "driftAfter", "turnover", "fees", "transactions", "drifts", "warnings"),
    "error",
]
TRANSACTION_KEYS = ["transactionType", "securityId", "ticker", "quantity", "price", "tradeDate"]
DRIFT_KEYS = [
    *("securityId", "ticker", "originalQuantity", "adjustedQuantity", "target", "highDrift", "lowDrift"),
    *("originalActual", "actual", "restraint"),
]


def rounded(share: Fraction) -> Decimal:
    """Four decimals, halves away from zero, by way of whole numbers."""
    scaled = abs(share) * 10_000
    whole = int(scaled) + (scaled - int(scaled) >= Fraction(1, 2))
    return Decimal(whole if share >= 0 else -whole).scaleb(-4)


def assert_adds_up(response: Any, upstreams: Upstreams) -> None:
    """Every number of a completed portfolio follows from the others, in fractions."""
    assert list(response) == KEYS
    assert (response["status"], response["error"]) == ("COMPLETED", None)
    drifts = {each["securityId"]: each for each in response["drifts"]}
    price = {security_id: Fraction(upstreams.price(security_id)) for security_id in drifts}
    before = {key: Fraction(each["originalQuantity"]) for key, each in drifts.items()}
    after = {key: Fraction(each["adjustedQuantity"]) for key, each in drifts.items()}
    value = Fraction(response["marketValue"])
    assert value == Fraction(response["cashBeforeRebalance"]) + sum(before[key] * price[key] for key in drifts)
    assert value == Fraction(response["cashAfterRebalance"]) + sum(after[key] * price[key] for key in drifts)
    assert response["cashAfterRebalance"] >= 0
    traded = {key: after[key] - before[key] for key in drifts if after[key] != before[key]}
    assert traded == {
        each["securityId"]: each["quantity"] if each["transactionType"] == "BUY" else -each["quantity"]
        for each in response["transactions"]
    }
    for key, each in drifts.items():
        assert list(each) == DRIFT_KEYS
        assert each["actual"] == (rounded(after[key] * price[key] / value) if value else 0)
        if value and each["target"]:
            held, target = after[key] * price[key], Fraction(each["target"])
            assert (
                value * (target - Fraction(each["lowDrift"])) <= held <= value * (target + Fraction(each["highDrift"]))
            )
        elif value:
            assert 0 <= after[key] < 1, "all that can be sold is"
    for each in response["transactions"]:
        assert list(each) == TRANSACTION_KEYS
        assert isinstance(each["quantity"], int)
        assert each["quantity"] > 0


@pytest.mark.parametrize(
    "case",
    [
        SpecialCase.INVESTED,
        SpecialCase.OUTSIDE,
        SpecialCase.MANY_ROWS,
        SpecialCase.THOUSAND_ROWS,
        SpecialCase.OVERDRAWN,
        SpecialCase.SHORT,
        SpecialCase.ZERO_ROWS,
    ],
)
def test_trades_bring_any_portfolio_into_its_bands_and_every_number_adds_up(
    api: Api, upstreams: Upstreams, case: SpecialCase
) -> None:
    """Weights, trades, cash and market value of every kind of portfolio agree exactly."""
    positions = [position(each, target="0.09", high="0.02", low="0.02") for each in upstreams.securities(10)]
    made = created(api, positions=positions, portfolios=[upstreams.world.case_id(case)])
    (response,) = api.post(path(made, "/rebalance")).expect(200).body
    assert_adds_up(response, upstreams)


def test_every_portfolio_is_returned_in_the_models_order_under_one_id(api: Api, upstreams: Upstreams) -> None:
    """Twelve portfolios share a rebalance id, each with numbers of its own."""
    portfolios = [upstreams.portfolio(str(100_000 + number)) for number in range(12)]
    positions = [position(each, target="0.19") for each in upstreams.securities(5)]
    made = created(api, positions=positions, portfolios=portfolios)
    responses = api.post(path(made, "/rebalance")).expect(200).body
    assert [each["portfolioId"] for each in responses] == portfolios
    assert len({each["rebalanceId"] for each in responses}) == 1
    for number, response in enumerate(responses):
        assert response["marketValue"] == response["cashBeforeRebalance"] == 100_000 + number
        assert_adds_up(response, upstreams)


def test_sells_come_before_buys_and_securities_outside_the_model_last_by_id(api: Api, upstreams: Upstreams) -> None:
    """Drifts follow the model's order, trades the order of sending."""
    wanted, outside = upstreams.securities(6), sorted(upstreams.securities(12)[6:], reverse=True)
    held = {**dict.fromkeys(outside, "10"), wanted[4]: "900", wanted[1]: "900"}
    model = [position(each, target="0.15", high="0.15", low="0.15") for each in wanted]
    made = created(api, positions=model, portfolios=[upstreams.portfolio("1000000", held)])
    (response,) = api.post(path(made, "/rebalance")).expect(200).body
    assert_adds_up(response, upstreams)
    expected = [*wanted, *sorted(outside)]
    assert [each["securityId"] for each in response["drifts"]] == expected
    order = {"SELL": 0, "BUY": 1}
    trades = [(order[each["transactionType"]], expected.index(each["securityId"])) for each in response["transactions"]]
    assert trades == sorted(trades)
    assert {kind for kind, _ in trades} == {0, 1}
    for each in response["drifts"][6:]:
        assert (each["target"], each["highDrift"], each["lowDrift"], each["adjustedQuantity"]) == (0, 0, 0, 0)


def test_shares_of_the_market_value_are_rounded_half_up(api: Api, upstreams: Upstreams) -> None:
    """150 shares at 66.70 are 0.10005 of 100,000, which is 0.0005 above their target."""
    first = upstreams.securities(1)[0]
    upstreams.put_price(first, "66.70")
    portfolio = upstreams.portfolio("100000")
    made = created(api, positions=[position(first, target="0.1")], portfolios=[portfolio])
    (response,) = api.post(path(made, "/rebalance")).expect(200).body
    assert response["drifts"][0]["adjustedQuantity"] == 150
    assert str(response["drifts"][0]["actual"]) == "0.1001"
    route = f"/rebalance/{response['rebalanceId']}/portfolio/{portfolio}/positions"
    (stored,) = api.get(route).expect(200).body
    assert (str(stored["actual"]), str(stored["actualDrift"])) == ("0.1001", "0.0005")


def test_a_fraction_of_a_share_stays_and_is_reported(api: Api, upstreams: Upstreams) -> None:
    """Whole shares are traded, and the fraction remains in the quantity."""
    inside, outside = upstreams.securities(2)
    held = {inside: "10.12345678", outside: "3.25"}
    made = created(api, positions=[position(inside, target="0.5")], portfolios=[upstreams.portfolio("100000.00", held)])
    (response,) = api.post(path(made, "/rebalance")).expect(200).body
    quantities = {each["securityId"]: each["adjustedQuantity"] for each in response["drifts"]}
    assert quantities[outside] == Decimal("0.25")
    assert quantities[inside] % 1 == Decimal("0.12345678")
    assert response["transactions"]
    assert all(isinstance(each["quantity"], int) for each in response["transactions"])


def test_the_largest_and_finest_numbers_are_kept_to_the_last_digit(api: Api, upstreams: Upstreams) -> None:
    """Twelve digits before and eight after the point survive calculation and storage."""
    security, held = upstreams.securities(1)[0], "999999999999.12345678"
    made = created(api, portfolios=[upstreams.portfolio("-999999999999.00000001", {security: held})])
    (response,) = api.post(path(made, "/rebalance")).expect(200).body
    assert_adds_up(response, upstreams)
    assert str(response["drifts"][0]["originalQuantity"]) == held
    (stored,) = api.get(f"/rebalance/{response['rebalanceId']}").expect(200).body["portfolios"]
    for name in ("marketValue", "cashBeforeRebalance", "cashAfterRebalance"):
        assert str(stored[name]) == str(response[name])


@pytest.mark.parametrize("cash", [None, "0", "0.00", "0.00000000"])
def test_a_portfolio_worth_nothing_has_nothing_to_do(api: Api, upstreams: Upstreams, cash: str | None) -> None:
    """Without cash and holdings it completes without trades, unknown portfolios included."""
    made = created(
        api, positions=[position(upstreams.securities(1)[0])], portfolios=[upstreams.portfolio(cash), fresh_id()]
    )
    for response in api.post(path(made, "/rebalance")).expect(200).body:
        assert_adds_up(response, upstreams)
        assert (response["marketValue"], response["transactions"]) == (0, [])
        assert [each["actual"] for each in response["drifts"]] == [0]


def test_a_model_without_positions_sells_everything(api: Api, upstreams: Upstreams) -> None:
    """All value becomes cash."""
    held = dict.fromkeys(upstreams.securities(3), "7")
    made = created(api, portfolios=[upstreams.portfolio("1", held)])
    (response,) = api.post(path(made, "/rebalance")).expect(200).body
    assert_adds_up(response, upstreams)
    assert [each["transactionType"] for each in response["transactions"]] == ["SELL"] * 3
    assert response["cashAfterRebalance"] == response["marketValue"]


def test_a_trade_of_one_share_is_listed(api: Api, upstreams: Upstreams) -> None:
    """One share is sold and one is bought, each as a transaction of quantity 1, in the response and in the record."""
    sold, bought = upstreams.securities(2)
    cash = upstreams.price(bought) * 2 - upstreams.price(sold)
    positions = [position(bought, target="0.5", high="0.01", low="0.01")]
    made = created(api, positions=positions, portfolios=[upstreams.portfolio(str(cash), {sold: "1"})])
    (response,) = api.post(path(made, "/rebalance")).expect(200).body
    expected = [("SELL", 1, sold), ("BUY", 1, bought)]
    keys = ("transactionType", "quantity", "securityId")
    assert [tuple(each[key] for key in keys) for each in response["transactions"]] == expected
    listed = api.get(f"/rebalance/{response['rebalanceId']}/trades").expect(200).body
    assert [tuple(each[key] for key in keys) for each in listed] == expected


def test_a_model_without_portfolios_returns_nothing_and_stores_nothing(api: Api) -> None:
    """The response is an empty list, and neither model nor list of rebalances changes."""
    made = created(api, positions=[position()])
    assert api.post(path(made, "/rebalance")).expect(200).body == []
    assert api.get(path(made)).body == made
    newest = api.get("/rebalances", limit=100).body
    assert made["modelId"] not in [each["modelId"] for each in newest]


def test_a_rebalance_dates_the_model_without_making_a_version(api: Api, upstreams: Upstreams) -> None:
    """Only lastRebalanceDate changes, to the date of the stored rebalance."""
    made = created(api, positions=[position(upstreams.securities(1)[0])], portfolios=[upstreams.portfolio()])
    (response,) = api.post(path(made, "/rebalance")).expect(200).body
    stored = api.get(f"/rebalance/{response['rebalanceId']}").body
    after = api.get(path(made)).body
    assert after == {**made, "lastRebalanceDate": stored["rebalanceDate"]}
    assert abs(datetime.fromisoformat(after["lastRebalanceDate"]) - datetime.now(UTC)).total_seconds() < 60
    (again,) = api.post(path(made, "/rebalance")).expect(200).body
    assert again["rebalanceId"] != response["rebalanceId"]
    later = api.get(path(made)).body["lastRebalanceDate"]
    assert datetime.fromisoformat(later) > datetime.fromisoformat(after["lastRebalanceDate"])
    assert len(api.get(path(made, "/history")).body) == 1


def test_prices_are_read_once_for_a_whole_rebalance_and_holdings_once_for_each_portfolio(
    standard: Api, upstreams: Upstreams
) -> None:
    """Five portfolios cost one list of prices, one of securities, and five reads of balances."""
    portfolios = [upstreams.portfolio() for _ in range(5)]
    positions = [position(each, target="0.09") for each in upstreams.securities(10)]
    made = created(standard, positions=positions, portfolios=portfolios)
    upstreams.forget_calls()
    standard.post(path(made, "/rebalance")).expect(200)
    routes = [call["route"] for call in upstreams.calls()]
    assert routes.count("GET /api/v1/prices") == 1
    assert routes.count("GET /api/v1/securities") == 1
    assert routes.count("GET /api/v1/balances") == 5
    assert len(routes) == 7 + routes.count("GET /api/v1/portfolio/{id}")


def test_a_portfolio_goes_by_the_name_that_the_portfolio_service_has_for_it(api: Api, upstreams: Upstreams) -> None:
    """A portfolio without a name there has null."""
    named, unknown = upstreams.portfolio(name="Pension fund"), fresh_id()
    made = created(api, portfolios=[named, unknown])
    responses = api.post(path(made, "/rebalance")).expect(200).body
    assert [each["portfolioName"] for each in responses] == ["Pension fund", None]


@pytest.mark.parametrize(
    "fault",
    [Hang(), Refuse(), ErrorStatus(status=500), Garbage(kind=GarbageKind.HTML)],
    ids=lambda each: type(each).__name__,
)
def test_a_portfolio_service_that_fails_costs_the_name_only(api: Api, upstreams: Upstreams, fault: Any) -> None:
    """Whatever the fault, the rebalance completes."""
    made = created(api, portfolios=[upstreams.portfolio(name="Pension fund")])
    upstreams.inject(Service.PORTFOLIO, fault)
    (response,) = api.post(path(made, "/rebalance")).expect(200).body
    assert (response["portfolioName"], response["status"]) == (None, "COMPLETED")


def test_trades_are_dated_by_the_day_it_is_where_the_desk_is(standard: Api, hurried: Api, upstreams: Upstreams) -> None:
    """The trade date follows the configured time zone, not the server's."""
    made = created(standard, portfolios=[upstreams.portfolio("1", {upstreams.securities(1)[0]: "7"})])
    for api, zone in ((standard, "UTC"), (hurried, "Pacific/Kiritimati")):
        before = today(ZoneInfo(zone))
        (response,) = api.post(path(made, "/rebalance")).expect(200).body
        dates = {each["tradeDate"] for each in response["transactions"]}
        assert dates <= {before.isoformat(), today(ZoneInfo(zone)).isoformat()}
    assert today(ZoneInfo("Pacific/Kiritimati")) > today(ZoneInfo("Etc/GMT+12")), "there is always a line between them"


def test_one_portfolio_is_rebalanced_by_itself(api: Api, upstreams: Upstreams) -> None:
    """The record has this portfolio only, and the model is not dated."""
    mine, other = upstreams.portfolio(), upstreams.portfolio()
    made = created(api, positions=[position(upstreams.securities(1)[0])], portfolios=[mine, other])
    response = api.post(f"/portfolio/{mine}/rebalance").expect(200).body
    assert_adds_up(response, upstreams)
    stored = api.get(f"/rebalance/{response['rebalanceId']}").body
    assert [each["portfolioId"] for each in stored["portfolios"]] == [mine]
    assert api.get(path(made)).body["lastRebalanceDate"] == stored["rebalanceDate"]


def test_a_portfolio_of_several_models_needs_a_choice(api: Api, upstreams: Upstreams) -> None:
    """Without `modelId` the error lists the models; with one of them it works."""
    shared = upstreams.portfolio()
    first, second = created(api, portfolios=[shared]), created(api, portfolios=[shared])
    stranger = created(api)
    refused = api.post(f"/portfolio/{shared}/rebalance").expect(409, "AMBIGUOUS_MODEL")
    assert refused.error["details"] == {
        "portfolioId": shared,
        "models": [{"modelId": each["modelId"], "name": each["name"]} for each in (first, second)],
    }
    assert f" {api.name('modelId')}." in refused.error["message"]
    for name in ("modelId", "model_id"):
        chosen = api.post(f"/portfolio/{shared}/rebalance", **{name: second["modelId"]}).expect(200).body
        assert api.get(f"/rebalance/{chosen['rebalanceId']}").body["modelId"] == second["modelId"]
    wrong = api.post(f"/portfolio/{shared}/rebalance", modelId=stranger["modelId"]).expect(404, "PORTFOLIO_NOT_FOUND")
    assert wrong.error["details"] == {"portfolioId": shared}
    api.post(f"/portfolio/{shared}/rebalance", modelId="f" * 24).expect(404, "MODEL_NOT_FOUND")
    malformed = api.post(f"/portfolio/{shared}/rebalance", modelId="x").expect(400)
    assert malformed.rules == {api.name("modelId"): "must be 24 hexadecimal characters"}


def test_a_portfolio_of_no_model_is_not_found(api: Api) -> None:
    """An unknown id is 404, a malformed one 400."""
    stranger = fresh_id()
    refused = api.post(f"/portfolio/{stranger}/rebalance").expect(404, "PORTFOLIO_NOT_FOUND")
    assert refused.error["details"] == {"portfolioId": stranger}
    for malformed in ("x", "a" * 25, "a.b", "%24where"):
        rules = api.post(f"/portfolio/{malformed}/rebalance").expect(400).rules
        assert rules == {api.name("portfolioId"): "must be 24 letters or digits"}
