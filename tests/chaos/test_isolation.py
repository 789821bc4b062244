"""What a failure may cost: one bad portfolio only itself, a dead upstream seconds, an optional one only a name."""

import asyncio
from decimal import Decimal

import pytest

from integrations.simulator import (
    Delay,
    ErrorStatus,
    Fault,
    Garbage,
    GarbageKind,
    Hang,
    HangMidBody,
    Holding,
    Holdings,
    Refuse,
    Reset,
    Service,
    SpecialCase,
)
from tests.chaos.judge.asked import Asked
from tests.chaos.judge.caller import Caller, evenly
from tests.chaos.judge.market import Market
from tests.harness.simulator import SimulatorControl
from tests.harness.stack import NAME_TIMEOUT_SECONDS, RECOVERY_SECONDS, TIMEOUT_SECONDS

HUNDRED = 100
UNKNOWN_SECURITY = "f" * 24
ATTEMPTS = 10
"""On a busy machine, an open breaker may let a probe through, and calls of a healthy service may take too long."""

ONE_BAD_RESPONSE = {
    "503": (ErrorStatus(status=503, calls=1), "status"),
    "hang": (Hang(calls=1), "timeout"),
    "hang in the middle of a body": (HangMidBody(calls=1), "timeout"),
    "reset in the middle of a body": (Reset(mid_body=True, calls=1), "connection"),
    "HTML": (Garbage(kind=GarbageKind.HTML, calls=1), "bad_payload"),
    "a million rows": (Garbage(kind=GarbageKind.MILLION_ROWS, calls=1), "bad_payload"),
}


@pytest.mark.parametrize(("fault", "cause"), ONE_BAD_RESPONSE.values(), ids=ONE_BAD_RESPONSE.keys())
async def test_one_bad_response_among_a_hundred_costs_one_portfolio(
    fault: Fault, cause: str, caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """It fails at most the portfolio that it hit; what came over a reused connection is read again on a new one."""
    model = await caller.create_model(
        evenly(market.world.priced_security_ids()[:5]), market.world.portfolio_ids(0, HUNDRED)
    )
    caller.judge.blamed = {Service.PORTFOLIO_ACCOUNTING}
    await control.inject(Service.PORTFOLIO_ACCOUNTING, fault)
    asked = await caller.rebalance(model)
    assert len(asked.failed) <= 1
    assert asked.causes() <= {f"{Service.PORTFOLIO_ACCOUNTING}: {cause}"}


async def test_bad_portfolios_among_a_hundred_cost_only_themselves(
    caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """Each fails with the code of what is wrong with it, in its place in the model's order."""
    world = market.world
    ids = world.portfolio_ids(200, HUNDRED)
    unknown, impossible = ids[40], ids[60]
    await market.put_holdings(control, unknown, Holdings(Decimal(1000), (Holding(UNKNOWN_SECURITY, Decimal(5)),)))
    await market.put_holdings(control, impossible, Holdings(Decimal("1e15")))
    bad = {
        world.case_id(SpecialCase.UNPRICED_HOLDING): "PRICE_UNAVAILABLE",
        world.case_id(SpecialCase.NEGATIVE_VALUE): "OPTIMIZATION_FAILED",
        unknown: "SECURITY_NOT_FOUND",
        impossible: "BOOKS_INVALID",
    }
    ids[20], ids[80] = world.case_id(SpecialCase.UNPRICED_HOLDING), world.case_id(SpecialCase.NEGATIVE_VALUE)
    model = await caller.create_model(evenly(world.priced_security_ids()[:5]), ids)
    caller.judge.blamed = {Service.PORTFOLIO_ACCOUNTING}
    asked = await caller.rebalance(model)
    assert asked.failed == bad


@pytest.mark.parametrize("service", [Service.PORTFOLIO_ACCOUNTING, Service.PRICING, Service.SECURITY])
async def test_a_required_service_that_hangs_fails_a_hundred_portfolios_in_the_time_of_a_few(
    service: Service, caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """Its circuit breaker fails the rest at once, and every one says who is to blame."""
    model = await caller.create_model(
        evenly(market.world.priced_security_ids()[:5]), market.world.portfolio_ids(300, HUNDRED)
    )
    caller.judge.blamed = {service}
    await control.forget_calls()
    await control.inject(service, Hang())
    asked = await caller.rebalance(model)
    assert (asked.status, asked.code) == (503, "EXTERNAL_SERVICE_ERROR")
    assert len(asked.failed) == HUNDRED
    assert asked.seconds < HUNDRED * TIMEOUT_SECONDS / 10
    if service is Service.PORTFOLIO_ACCOUNTING:
        assert await control.count(service) < HUNDRED / 2, "the breaker spared the service most of them"
    await control.heal()
    await caller.await_normal(model, RECOVERY_SECONDS)


async def test_an_open_breaker_fails_at_once_and_says_so(
    caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """While it is open the service is not asked at all, and the response carries the failure that opened it."""
    model = await caller.create_model(
        evenly(market.world.priced_security_ids()[:5]), market.world.portfolio_ids(400, HUNDRED)
    )
    caller.judge.blamed = {Service.PORTFOLIO_ACCOUNTING}
    await control.inject(Service.PORTFOLIO_ACCOUNTING, ErrorStatus(status=500))

    async def ask() -> tuple[Asked, int]:
        await caller.rebalance(model)
        await control.forget_calls()
        return await caller.rebalance(model), await control.count(Service.PORTFOLIO_ACCOUNTING)

    asked, calls = await ask()
    for _ in range(ATTEMPTS):
        if calls:
            asked, calls = await ask()
    assert calls == 0
    assert asked.causes() == {f"{Service.PORTFOLIO_ACCOUNTING}: circuit_open"}
    assert "returned 500" in asked.message
    await control.heal()
    await caller.await_normal(model, RECOVERY_SECONDS)


async def test_a_flapping_service_costs_only_the_portfolios_it_failed(
    caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """Two calls fail and five pass, again and again: the breaker stays closed, and the rest completes."""
    model = await caller.create_model(
        evenly(market.world.priced_security_ids()[:5]), market.world.portfolio_ids(500, 70)
    )
    caller.judge.blamed = {Service.PORTFOLIO_ACCOUNTING}
    failed = 0
    for _ in range(ATTEMPTS):
        if failed != 20:
            await control.inject(Service.PORTFOLIO_ACCOUNTING, ErrorStatus(status=503, calls=2, pause=5))
            failed = len((await caller.rebalance(model)).failed)
    assert failed == 20


async def test_portfolios_that_all_fail_for_reasons_of_their_own_are_422(caller: Caller, market: Market) -> None:
    """No upstream is to blame, so nobody is told to try again."""
    world = market.world
    ids = [world.case_id(SpecialCase.NEGATIVE_VALUE), world.case_id(SpecialCase.UNPRICED_HOLDING)]
    asked = await caller.rebalance(await caller.create_model(evenly(world.priced_security_ids()[:5]), ids))
    assert (asked.status, asked.code) == (422, "OPTIMIZATION_FAILED")
    assert asked.details["solverStatus"] == "INFEASIBLE"
    assert [each["code"] for each in asked.details["portfolios"]] == [
        "OPTIMIZATION_FAILED",
        "PRICE_UNAVAILABLE",
    ]


async def test_one_portfolio_that_fails_for_an_upstream_makes_it_503_where_none_completes(
    caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """A retry may mend it, so the caller is told to try again."""
    world = market.world
    ids = [world.case_id(SpecialCase.NEGATIVE_VALUE), world.portfolio_ids(600, 1)[0]]
    model = await caller.create_model(evenly(world.priced_security_ids()[:5]), ids)
    caller.judge.blamed = {Service.PORTFOLIO_ACCOUNTING}
    await market.put_holdings(control, ids[1], Holdings(Decimal(-1000)))
    await control.inject(Service.PORTFOLIO_ACCOUNTING, ErrorStatus(status=503, calls=1))
    asked = await caller.rebalance(model)
    assert (asked.status, asked.code) == (503, "EXTERNAL_SERVICE_ERROR")
    assert sorted(asked.failed.values()) == ["EXTERNAL_SERVICE_ERROR", "OPTIMIZATION_FAILED"]


@pytest.mark.parametrize(
    ("fault", "first"), [(Hang(), 700), (Delay(seconds=NAME_TIMEOUT_SECONDS - 1), 5000), (HangMidBody(), 5100)]
)
async def test_nobody_waits_for_a_name(
    fault: Fault, first: int, caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """A hundred names that do not come cost one small budget, not a time-out of the Portfolio Service."""
    # A name that comes late is kept for later rebalances of its portfolio.
    model = await caller.create_model(
        evenly(market.world.priced_security_ids()[:5]), market.world.portfolio_ids(first, HUNDRED)
    )
    await control.inject(Service.PORTFOLIO, fault)
    asked = await caller.rebalance(model)
    assert asked.normal
    assert {response.portfolio_name for response in asked.responses} == {None}
    assert asked.seconds < NAME_TIMEOUT_SECONDS


async def test_names_come_back_with_the_portfolio_service(
    caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """Rebalances have no names during the outage and have them again after it."""
    model = await caller.create_model(
        evenly(market.world.priced_security_ids()[:5]), market.world.portfolio_ids(800, 10)
    )
    await control.inject(Service.PORTFOLIO, Refuse())
    asked = await caller.rebalance(model)
    assert {response.portfolio_name for response in asked.responses} == {None}
    await control.heal()
    while any(response.portfolio_name is None for response in asked.responses):
        await asyncio.sleep(0.05)
        asked = await caller.rebalance(model)
    assert len({response.portfolio_name for response in asked.responses}) == len(model.portfolios)
