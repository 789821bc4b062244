"""How a rebalance fails: each portfolio for itself, with a reason a person can act on, and never with a wrong trade."""

import time
from decimal import Decimal
from typing import Any

import pytest

from integrations.simulator import (
    ErrorStatus,
    Garbage,
    GarbageKind,
    Hang,
    Refuse,
    Service,
    SpecialCase,
)
from tests.app.conftest import DEADLINE_SECONDS
from tests.harness.api import PATIENCE_SECONDS, Api
from tests.harness.bodies import created, path, position
from tests.harness.faults import REQUIRED, Result, UpstreamFault, one_for_each_result
from tests.harness.upstreams import Upstreams, fresh_id

FAILURES = [
    pytest.param(service, row, id=f"{service}: {row.name}")
    for service in REQUIRED
    for row in one_for_each_result(service)
    # A timeout takes the seconds that an upstream is given.
    if row.result.is_cause and (row.result is not Result.TIMEOUT or service is not Service.SECURITY)
]


@pytest.fixture
def failing(upstreams: Upstreams) -> list[dict[str, Any]]:
    """Positions that a portfolio of 10,000 cannot satisfy: a share costs 1,900, and 1,500 to 1,600 are wanted."""
    return [position(upstreams.world.expensive_security.security_id, target="0.155", high="0.005", low="0.005")]


def test_no_whole_share_in_the_band_is_infeasible_and_says_why(
    api: Api, upstreams: Upstreams, failing: list[dict[str, Any]]
) -> None:
    """The details name the security, its band and the nearest quantities, and are stored too."""
    security, portfolio = failing[0]["securityId"], upstreams.portfolio("10000")
    made = created(api, positions=failing, portfolios=[portfolio])
    error = api.post(path(made, "/rebalance")).expect(422, "OPTIMIZATION_FAILED").error
    details = error["details"]
    (stored,) = api.get(f"/rebalance/{details['rebalanceId']}").expect(200).body["portfolios"]
    assert details == {
        "portfolioId": portfolio,
        "solverStatus": "INFEASIBLE",
        "marketValue": 10_000,
        "reasons": [
            {
                "type": "NoWholeShare",
                "securityId": security,
                "price": 1_900,
                "lowerValue": 1_500,
                "upperValue": 1_600,
                "lowerShares": Decimal("0.789473684211"),
                "upperShares": Decimal("0.842105263157"),
                "quantityBelow": 0,
                "quantityAbove": 1,
                "weightBelow": 0,
                "weightAbove": Decimal("0.19"),
                "driftNeeded": Decimal("0.035"),
                "lotSize": 1,
            }
        ],
        "rebalanceId": details["rebalanceId"],
        "portfolios": [{"portfolioId": portfolio, "code": "OPTIMIZATION_FAILED", "message": error["message"]}],
    }
    assert security in error["message"]
    assert stored["status"] == "FAILED"
    assert stored["error"]["message"] == error["message"]
    assert stored["positions"] == []
    assert api.get(path(made)).body == made, "a rebalance of which nothing came does not date the model"


def test_cash_that_the_least_holdings_exceed_is_infeasible_and_says_how_much(api: Api, upstreams: Upstreams) -> None:
    """Three securities at 2,400 of which one share is the least that 1,000 to 3,000 of 5,000 allow."""
    securities = upstreams.securities(3)
    for each in securities:
        upstreams.put_price(each, "2400")
    made = created(
        api,
        positions=[position(each, target="0.3", high="0.3", low="0.1") for each in securities],
        portfolios=[upstreams.portfolio("5000")],
    )
    details = api.post(path(made, "/rebalance")).expect(422, "OPTIMIZATION_FAILED").error["details"]
    (reason,) = details["reasons"]
    assert (reason["type"], reason["missing"]) == ("CashShortfall", 2_200)
    assert [(each["quantity"], each["value"]) for each in reason["minimums"]] == [(1, 2_400)] * 3


def test_a_portfolio_that_owes_more_than_it_owns_is_infeasible(api: Api, upstreams: Upstreams) -> None:
    """The reason states the negative market value."""
    made = created(
        api,
        positions=[position(upstreams.securities(1)[0])],
        portfolios=[upstreams.world.case_id(SpecialCase.NEGATIVE_VALUE)],
    )
    details = api.post(path(made, "/rebalance")).expect(422, "OPTIMIZATION_FAILED").error["details"]
    (reason,) = details["reasons"]
    assert reason == {"type": "NegativeMarketValue", "marketValue": details["marketValue"]}
    assert details["marketValue"] < 0


def test_an_explanation_with_more_digits_than_can_be_stored_is_still_a_response(
    api: Api, upstreams: Upstreams, failing: list[dict[str, Any]]
) -> None:
    """Drifts of 34 digits multiply with the market value to more of them than a stored decimal holds."""
    failing[0] |= {
        "lowDrift": "0.0049999999999999999999999999999999",
        "highDrift": "0.0050000000000000000000000000000001",
    }
    made = created(api, positions=failing, portfolios=[upstreams.portfolio("10000.12345678")])
    error = api.post(path(made, "/rebalance")).expect(422, "OPTIMIZATION_FAILED").error
    (stored,) = api.get(f"/rebalance/{error['details']['rebalanceId']}").body["portfolios"]
    assert stored["error"]["details"]["reasons"] == error["details"]["reasons"]


def test_a_security_without_a_price_is_named(api: Api, upstreams: Upstreams) -> None:
    """Securities of the model and held ones are both listed."""
    first, second = upstreams.world.unpriced_security_ids()[:2]
    positions = [position(upstreams.securities(1)[0]), position(first)]
    made = created(api, positions=positions, portfolios=[upstreams.portfolio("1", {second: "5"})])
    error = api.post(path(made, "/rebalance")).expect(422, "PRICE_UNAVAILABLE").error
    assert error["details"]["securityIds"] == [first, second]
    assert first in error["message"]
    assert second in error["message"]


def test_a_security_that_nobody_knows_is_named(api: Api, upstreams: Upstreams) -> None:
    """All unknown ids are listed."""
    unknown, strange = fresh_id(), "ZZZZZZZZZZZZZZZZZZZZZZZZ"
    made = created(api, positions=[position(unknown), position(strange)], portfolios=[upstreams.portfolio()])
    error = api.post(path(made, "/rebalance")).expect(422, "SECURITY_NOT_FOUND").error
    assert error["details"]["securityIds"] == [unknown, strange]


@pytest.mark.parametrize(("service", "row"), FAILURES)
def test_an_upstream_that_fails_is_named_with_the_cause(
    standard: Api, upstreams: Upstreams, service: Service, row: UpstreamFault
) -> None:
    """The details have service, cause and status, for each required service and each fault."""
    made = created(standard, positions=[position(upstreams.securities(1)[0])], portfolios=[upstreams.portfolio()])
    upstreams.inject(service, row.fault)
    error = standard.post(path(made, "/rebalance")).expect(503, "EXTERNAL_SERVICE_ERROR").error
    details = error["details"]
    assert (details["service"], details["cause"]) == (service, row.result)
    assert details["reason"] in error["message"]
    assert details["status"] == (row.fault.status if isinstance(row.fault, ErrorStatus) else None)
    (stored,) = standard.get(f"/rebalance/{details['rebalanceId']}").expect(200).body["portfolios"]
    assert (stored["status"], stored["error"]["code"]) == ("FAILED", "EXTERNAL_SERVICE_ERROR")
    assert standard.get(path(made)).body == made


@pytest.mark.parametrize(
    ("kind", "status", "code", "reason"),
    [
        (GarbageKind.NAN, 503, "EXTERNAL_SERVICE_ERROR", "not JSON"),
        (GarbageKind.HUGE, 422, "BOOKS_INVALID", "price 1E+400 of {ticker} is not below 10^15"),
        (GarbageKind.NEGATIVE_PRICES, 422, "PRICE_UNAVAILABLE", "unusable price -{price}: not above 0"),
        (GarbageKind.ZERO_PRICES, 422, "PRICE_UNAVAILABLE", "unusable price 0.00: not above 0"),
    ],
)
def test_prices_that_cannot_be_used_are_reported_with_their_value_and_trade_nothing(
    standard: Api, upstreams: Upstreams, kind: GarbageKind, status: int, code: str, reason: str
) -> None:
    """The error names the security, the value and why it cannot be used."""
    security_id = upstreams.securities(1)[0]
    made = created(standard, positions=[position(security_id)], portfolios=[upstreams.portfolio()])
    upstreams.inject(Service.PRICING, Garbage(kind=kind))
    error = standard.post(path(made, "/rebalance")).expect(status, code).error
    ticker = upstreams.world.by_id[security_id].ticker
    assert reason.format(ticker=ticker, price=upstreams.price(security_id)) in error["message"]
    if status == 422:
        assert error["details"]["securityIds"] == [security_id]
    if code == "PRICE_UNAVAILABLE":
        (price,) = error["details"]["prices"]
        assert (price["securityId"], price["ticker"], price["reason"]) == (security_id, ticker, "UNUSABLE")
        assert Decimal(price["value"]) <= 0


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(GarbageKind.DUPLICATES, "has several balances"), (GarbageKind.HUGE, "1E+999999, which is not below 10^15")],
)
def test_books_that_contradict_themselves_are_no_outage(
    standard: Api, upstreams: Upstreams, kind: GarbageKind, reason: str
) -> None:
    """Repeated balances and numbers beyond the limits are 422 and name the securities: a retry would not help."""
    security_id = upstreams.securities(1)[0]
    portfolios = [upstreams.portfolio("100000", {security_id: "7"})]
    made = created(standard, positions=[position(security_id)], portfolios=portfolios)
    upstreams.inject(Service.PORTFOLIO_ACCOUNTING, Garbage(kind=kind))
    error = standard.post(path(made, "/rebalance")).expect(422, "BOOKS_INVALID").error
    assert reason in error["message"]
    assert error["details"]["securityIds"] == [security_id]
    assert error["details"]["service"] == "portfolio-accounting"


def test_invalid_books_of_one_portfolio_fail_only_that_portfolio(standard: Api, upstreams: Upstreams) -> None:
    """A quantity beyond the limits next to the widest one that is allowed."""
    security_id = upstreams.securities(1)[0]
    portfolios = [
        upstreams.portfolio("100000", {security_id: quantity})
        for quantity in ("1000000000000000", "0." + "0" * 17 + "1")
    ]
    made = created(standard, positions=[position(security_id)], portfolios=portfolios)
    body = standard.post(path(made, "/rebalance")).expect(200).body
    assert [each["status"] for each in body] == ["FAILED", "COMPLETED"]
    assert body[0]["error"]["code"] == "BOOKS_INVALID"
    assert "which is not below 10^15" in body[0]["error"]["message"]


def test_a_portfolio_that_fails_costs_only_itself(
    api: Api, upstreams: Upstreams, failing: list[dict[str, Any]]
) -> None:
    """The others complete, and the failed ones have a code of their own in the response and the record."""
    unpriced = upstreams.world.unpriced_security_ids()[0]
    portfolios = [
        upstreams.portfolio("1000000"),
        upstreams.portfolio("10000", name="Too small"),
        upstreams.portfolio("1000000", {unpriced: "1"}),
        upstreams.portfolio("1000000"),
    ]
    made = created(api, positions=failing, portfolios=portfolios)
    responses = api.post(path(made, "/rebalance")).expect(200).body
    assert [each["portfolioId"] for each in responses] == portfolios
    assert [each["status"] for each in responses] == ["COMPLETED", "FAILED", "FAILED", "COMPLETED"]
    assert [each["error"] and each["error"]["code"] for each in responses] == [
        None,
        "OPTIMIZATION_FAILED",
        "PRICE_UNAVAILABLE",
        None,
    ]
    failed = responses[1]
    assert list(failed["error"]) == ["code", "message", "details", "timestamp", "traceId"]
    assert failed["portfolioName"] == "Too small"
    assert (failed["transactions"], failed["drifts"]) == ([], [])
    assert [failed[key] for key in ("marketValue", "cashBeforeRebalance", "cashAfterRebalance")] == [None] * 3
    assert api.get(path(made)).body["lastRebalanceDate"] is not None
    stored = api.get(f"/rebalance/{responses[0]['rebalanceId']}").body
    assert [each["error"] for each in stored["portfolios"]] == [each["error"] for each in responses]


def test_of_several_failures_a_dependency_speaks_for_all_and_the_details_list_each(
    api: Api, upstreams: Upstreams, failing: list[dict[str, Any]]
) -> None:
    """The response has one code, and the list of all failures."""
    small, unpriced = (
        upstreams.portfolio("10000"),
        upstreams.portfolio("1", {upstreams.world.unpriced_security_ids()[0]: "1"}),
    )
    made = created(api, positions=failing, portfolios=[small, unpriced])
    error = api.post(path(made, "/rebalance")).expect(422, "OPTIMIZATION_FAILED").error
    assert [each["code"] for each in error["details"]["portfolios"]] == ["OPTIMIZATION_FAILED", "PRICE_UNAVAILABLE"]
    assert error["message"].startswith("All 2 portfolios failed")

    upstreams.inject(Service.PORTFOLIO_ACCOUNTING, ErrorStatus(status=500, calls=1))
    error = api.post(path(made, "/rebalance")).expect(503, "EXTERNAL_SERVICE_ERROR").error
    listed = error["details"]["portfolios"]
    assert [each["portfolioId"] for each in listed] == [small, unpriced]
    assert [list(each) for each in listed] == [["portfolioId", "code", "message"]] * 2
    assert {each["code"] for each in listed} & {"OPTIMIZATION_FAILED", "PRICE_UNAVAILABLE"}
    stored = api.get(f"/rebalance/{error['details']['rebalanceId']}").expect(200).body
    assert [each["error"]["code"] for each in stored["portfolios"]] == [each["code"] for each in listed]


def test_a_single_portfolio_that_fails_is_returned_with_its_own_error(
    api: Api, upstreams: Upstreams, failing: list[dict[str, Any]]
) -> None:
    """Its own details replace those of a whole model's rebalance."""
    small = upstreams.portfolio("10000")
    created(api, positions=failing, portfolios=[small])
    details = api.post(f"/portfolio/{small}/rebalance").expect(422, "OPTIMIZATION_FAILED").error["details"]
    assert (details["solverStatus"], details["portfolioId"]) == ("INFEASIBLE", small)
    upstreams.inject(Service.PRICING, Refuse())
    api.post(f"/portfolio/{small}/rebalance").expect(503, "EXTERNAL_SERVICE_ERROR")


@pytest.mark.parametrize("service", REQUIRED)
def test_what_is_unfinished_at_the_deadline_fails_for_it(hurried: Api, upstreams: Upstreams, service: Service) -> None:
    """The rebalance uses its whole time, and the error states the deadline."""
    made = created(hurried, positions=[position(upstreams.securities(1)[0])], portfolios=[upstreams.portfolio()])
    upstreams.inject(service, Hang())
    begun = time.monotonic()
    error = hurried.post(path(made, "/rebalance")).expect(422, "DEADLINE_EXCEEDED").error
    assert time.monotonic() - begun >= DEADLINE_SECONDS - 0.1, "it was given the seconds that it had"
    assert error["details"]["deadlineSeconds"] == DEADLINE_SECONDS


def test_portfolios_that_were_finished_before_the_deadline_are_kept(hurried: Api, upstreams: Upstreams) -> None:
    """One portfolio that waits too long fails, and the others are returned."""
    portfolios = [upstreams.portfolio() for _ in range(3)]
    made = created(hurried, positions=[position(upstreams.securities(1)[0])], portfolios=portfolios)

    def outcomes() -> list[str]:
        upstreams.inject(Service.PORTFOLIO_ACCOUNTING, Hang(calls=1))
        body = hurried.post(path(made, "/rebalance")).body
        portfolios = body if isinstance(body, list) else []
        return sorted((each["error"] or {"code": "none"})["code"] for each in portfolios)

    # On a busy machine, the others may not be finished in time either.
    assert any(outcomes() == ["DEADLINE_EXCEEDED", "none", "none"] for _ in range(5))


def test_a_solver_out_of_time_says_how_far_it_came(hurried: Api, upstreams: Upstreams) -> None:
    """38 securities want three quarters of a share more than whole ones, and the cash does not allow all of them."""
    securities = upstreams.securities(38)
    for number, each in enumerate(securities):
        shares = 1 + number % 4 + Decimal("0.75")
        upstreams.put_price(each, str(round(250 / shares + Decimal(number) / 100, 2)))
    positions = [position(each, target="0.025", high="1", low="0.025") for each in securities]
    made = created(hurried, positions=positions, portfolios=[upstreams.portfolio("10000")])
    details = hurried.post(path(made, "/rebalance")).expect(422, "OPTIMIZATION_FAILED").error["details"]
    assert details["solverStatus"] == "TIME_LIMIT"
    assert details["gap"] == details["objective"] - details["bound"] > 0


def test_an_upstream_that_keeps_failing_is_left_alone_for_a_while(hurried: Api, upstreams: Upstreams) -> None:
    """The breaker opens after the configured failures, shows in readiness, and closes again."""
    made = created(hurried, positions=[position(upstreams.securities(1)[0])], portfolios=[upstreams.portfolio()])
    upstreams.inject(Service.PRICING, ErrorStatus(status=500))
    causes = [
        hurried.post(path(made, "/rebalance")).expect(503, "EXTERNAL_SERVICE_ERROR").error["details"]["cause"]
        for _ in range(4)
    ]
    assert causes == ["status", "status", "status", "circuit_open"]
    assert hurried.raw("GET", "/health/ready").expect(200).exact["upstreams"]["pricing"] == "open"
    upstreams.restore()
    until = time.monotonic() + PATIENCE_SECONDS
    while hurried.post(path(made, "/rebalance")).status != 200:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert hurried.raw("GET", "/health/ready").exact["upstreams"]["pricing"] == "closed"
