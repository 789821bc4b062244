"""Every fault of every upstream, one at a time: right responses or a clean error that names it; then all is well."""

from itertools import count

import pytest
from msgspec import Struct

from integrations.simulator import (
    Delay,
    ErrorStatus,
    Fault,
    Garbage,
    GarbageKind,
    Hang,
    HangMidBody,
    Refuse,
    Repeat,
    Reset,
    Service,
    SlowBody,
)
from tests.chaos.judge.caller import Caller, evenly
from tests.chaos.judge.market import Market
from tests.chaos.judge.oracle import Model
from tests.harness.simulator import SimulatorControl
from tests.harness.stack import RECOVERY_SECONDS

PORTFOLIOS = 6
OPTIONAL = (Service.PORTFOLIO, Service.ORDER)
_fresh = count()


class Scenario(Struct, frozen=True):
    """A fault and the cause that a failed portfolio then names; None if the fault must do no harm.

    A cause in capitals is the error code of a 422 that retrying does not help.
    """

    name: str
    fault: Fault
    cause: str | None


ANY_SERVICE = (
    Scenario("slow", Delay(seconds=0.1, up_to=0.3), None),
    Scenario("hanging", Hang(), "timeout"),
    Scenario("hanging in the middle of a body", HangMidBody(), "timeout"),
    Scenario("resetting", Reset(), "connection"),
    Scenario("resetting in the middle of a body", Reset(mid_body=True), "connection"),
    Scenario("refusing", Refuse(), "connection"),
    Scenario("500", ErrorStatus(status=500), "status"),
    Scenario("503 with Retry-After", ErrorStatus(status=503, retry_after=30), "status"),
    Scenario("429", ErrorStatus(status=429), "status"),
    Scenario("302", ErrorStatus(status=302), "status"),
    Scenario("404", ErrorStatus(status=404), "status"),
    Scenario("empty", Garbage(kind=GarbageKind.EMPTY), "bad_payload"),
    Scenario("HTML", Garbage(kind=GarbageKind.HTML), "bad_payload"),
    Scenario("truncated JSON", Garbage(kind=GarbageKind.TRUNCATED_JSON), "bad_payload"),
    Scenario("wrong types", Garbage(kind=GarbageKind.WRONG_TYPES), "bad_payload"),
    Scenario("wrong shape", Garbage(kind=GarbageKind.WRONG_SHAPE), "bad_payload"),
    Scenario("deep nesting", Garbage(kind=GarbageKind.DEEP), "bad_payload"),
    Scenario("every response twice, at once", Repeat(seconds=0.001), None),
    Scenario("every response twice, later", Repeat(seconds=0.05), None),
    Scenario("a million rows", Garbage(kind=GarbageKind.MILLION_ROWS), "bad_payload"),
)
NOT_A_NUMBER = Scenario("NaN", Garbage(kind=GarbageKind.NAN), "bad_payload")
HUGE = Scenario("huge numbers", Garbage(kind=GarbageKind.HUGE), "BOOKS_INVALID")
REQUIRED = {
    Service.PORTFOLIO_ACCOUNTING: (
        *ANY_SERVICE,
        Scenario("slow body", SlowBody(bytes_per_second=50), "timeout"),
        NOT_A_NUMBER,
        HUGE,
        Scenario("duplicates", Garbage(kind=GarbageKind.DUPLICATES), "BOOKS_INVALID"),
        Scenario("endless pages", Garbage(kind=GarbageKind.ENDLESS_PAGES), "bad_payload"),
    ),
    Service.PRICING: (
        *ANY_SERVICE,
        NOT_A_NUMBER,
        HUGE,
        Scenario("negative prices", Garbage(kind=GarbageKind.NEGATIVE_PRICES), "PRICE_UNAVAILABLE"),
        Scenario("zero prices", Garbage(kind=GarbageKind.ZERO_PRICES), "PRICE_UNAVAILABLE"),
        Scenario("every row twice", Garbage(kind=GarbageKind.DUPLICATES), None),
    ),
    Service.SECURITY: (*ANY_SERVICE, Scenario("every row twice", Garbage(kind=GarbageKind.DUPLICATES), None)),
}
REQUIRED_CASES = [
    pytest.param(service, scenario, id=f"{service}: {scenario.name}")
    for service, scenarios in REQUIRED.items()
    for scenario in scenarios
]
OPTIONAL_CASES = [pytest.param(scenario, id=scenario.name) for scenario in ANY_SERVICE]


async def a_model(caller: Caller, market: Market, portfolios: int = PORTFOLIOS) -> Model:
    """A model of ten positions on portfolios that no test has asked for before, so that none of it is cached."""
    ids = market.world.portfolio_ids(next(_fresh) * PORTFOLIOS, portfolios)
    return await caller.create_model(evenly(market.world.priced_security_ids()[:10]), ids)


@pytest.mark.parametrize(("service", "scenario"), REQUIRED_CASES)
async def test_a_fault_of_a_required_service_is_named_and_then_over(
    service: Service, scenario: Scenario, caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """All fail with 503 that says who and why, or all complete where nothing was lost; healed, all complete again."""
    model = await a_model(caller, market)
    caller.judge.blamed = {service}
    await control.inject(service, scenario.fault)
    asked = await caller.rebalance(model)
    if scenario.cause is None:
        assert asked.normal
    elif scenario.cause.isupper():
        assert (asked.status, asked.code) == (422, scenario.cause)
    else:
        assert (asked.status, asked.code) == (503, "EXTERNAL_SERVICE_ERROR")
        assert asked.causes() == {f"{service}: {scenario.cause}"}
    await control.heal()
    await caller.await_normal(model, RECOVERY_SECONDS)


@pytest.mark.parametrize("scenario", OPTIONAL_CASES)
async def test_a_fault_of_an_optional_service_costs_at_most_names(
    scenario: Scenario, caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """Every portfolio completes, and nobody is blamed."""
    model = await a_model(caller, market)
    for service in OPTIONAL:
        await control.inject(service, scenario.fault)
    asked = await caller.rebalance(model)
    assert asked.normal
    if scenario.cause is not None:
        assert {response.portfolio_name for response in asked.responses} == {None}
