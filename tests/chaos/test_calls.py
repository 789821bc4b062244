"""How few calls a rebalance costs its upstreams, and what each of them carries, as the upstreams see it."""

from integrations.simulator import CallReport, Service, SpecialCase
from tests.chaos.judge.caller import Caller, evenly
from tests.chaos.judge.market import Market
from tests.harness.simulator import SimulatorControl

BALANCES = (Service.PORTFOLIO_ACCOUNTING, "GET /api/v1/balances")
SECURITIES = (Service.SECURITY, "GET /api/v1/securities")
PRICES = (Service.PRICING, "GET /api/v1/prices")
ONE_PRICE = (Service.PRICING, "GET /api/v1/price/{ticker}")
NAME = (Service.PORTFOLIO, "GET /api/v1/portfolio/{id}")
CORRELATION_ID = "one-rebalance:42"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def counted(report: CallReport) -> dict[tuple[Service, str], int]:
    return {(each.service, each.route): each.count for each in report.routes}


async def test_a_rebalance_costs_a_read_for_each_portfolio_and_two_for_all_prices(
    patient_caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """The second one costs the balances alone, whatever the number of securities."""
    portfolios = 30
    model = await patient_caller.create_model(
        evenly(market.world.priced_security_ids()[:90]), market.world.portfolio_ids(2000, portfolios)
    )
    await control.forget_calls()
    assert (await patient_caller.rebalance(model)).normal
    first = counted(await control.report())
    assert first.pop(NAME) == portfolios
    assert first.pop(SECURITIES, 1) == 1
    assert first.pop(PRICES, 1) == 1
    assert first == {BALANCES: portfolios}

    await control.forget_calls()
    assert (await patient_caller.rebalance(model)).normal
    assert counted(await control.report()) == {BALANCES: portfolios}


async def test_what_the_bulk_lists_lack_is_asked_for_once_however_many_portfolios_need_it(
    patient_caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """Ten portfolios of a model with a security that has no price: one more call, and each of them says which."""
    unpriced = market.world.unpriced_security_ids()[0]
    ids = [market.world.case_id(SpecialCase.INVESTED), *market.world.portfolio_ids(2100, 9)]
    model = await patient_caller.create_model(evenly([*market.world.priced_security_ids()[:5], unpriced]), ids)
    await control.forget_calls()
    asked = await patient_caller.rebalance(model)
    assert set(asked.failed.values()) == {"PRICE_UNAVAILABLE"}
    assert unpriced in asked.message
    calls = counted(await control.report())
    assert calls[ONE_PRICE] == 1
    assert calls[BALANCES] == len(ids)


async def test_every_call_to_an_upstream_carries_the_callers_correlation_id(
    patient_caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """Of balances, prices, securities and names alike, and also where the id had to be made."""
    model = await patient_caller.create_model(
        evenly([*market.world.priced_security_ids()[:5], market.world.unpriced_security_ids()[1]]),
        market.world.portfolio_ids(2200, 5),
    )
    for headers in ({"X-Correlation-ID": CORRELATION_ID}, {}):
        await control.forget_calls()
        asked = await patient_caller.rebalance(model, headers=headers)
        report = await control.report()
        assert report.total > len(model.portfolios)
        assert {call.correlation_id for call in report.last} == {asked.headers["x-correlation-id"]}
        assert asked.headers["x-correlation-id"] == headers.get("X-Correlation-ID", asked.headers["x-correlation-id"])


async def test_every_call_to_an_upstream_continues_the_callers_trace(
    patient_caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """The traceparent of each upstream request has the caller's trace id."""
    model = await patient_caller.create_model(
        evenly(market.world.priced_security_ids()[:5]), market.world.portfolio_ids(2300, 5)
    )
    await control.forget_calls()
    await patient_caller.rebalance(model, headers={"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"})
    report = await control.report()
    assert report.total >= len(model.portfolios)
    assert {(call.traceparent or "").split("-")[1:2] == [TRACE_ID] for call in report.last} == {True}
