"""Each fault of every upstream, one at a time: right responses or a clean error that names it; then all is well.

The tests of the clients meet all faults, these one for each result, and all with `./run test -m slow` and this path.
"""

from itertools import count

import pytest

from integrations.simulator import Service
from tests.chaos.judge.caller import Caller, evenly
from tests.chaos.judge.market import Market
from tests.chaos.judge.oracle import Model
from tests.harness.faults import REQUIRED, UPSTREAM_FAULTS, Result, UpstreamFault, one_for_each_result
from tests.harness.simulator import SimulatorControl
from tests.harness.stack import RECOVERY_SECONDS

PORTFOLIOS = 6
OPTIONAL = (Service.PORTFOLIO, Service.ORDER)
_fresh = count()


REQUIRED_CASES = [
    pytest.param(
        service,
        row,
        id=f"{service}: {row.name}",
        marks=() if row in one_for_each_result(service) else pytest.mark.slow,
    )
    for service in REQUIRED
    for row in UPSTREAM_FAULTS
    if row.result_of(service) is not Result.EITHER
]
OPTIONAL_CASES = [
    pytest.param(row, id=row.name, marks=() if row in one_for_each_result(Service.PORTFOLIO) else pytest.mark.slow)
    for row in UPSTREAM_FAULTS
    if row.result is not Result.EITHER and not row.exceptions
]


async def a_model(caller: Caller, market: Market, portfolios: int = PORTFOLIOS) -> Model:
    """A model of ten positions on portfolios that no test has asked for before, so that none of it is cached."""
    ids = market.world.portfolio_ids(next(_fresh) * PORTFOLIOS, portfolios)
    return await caller.create_model(evenly(market.world.priced_security_ids()[:10]), ids)


@pytest.mark.parametrize(("service", "row"), REQUIRED_CASES)
async def test_a_fault_of_a_required_service_is_named_and_then_over(
    service: Service, row: UpstreamFault, caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """All fail with 503 that says who and why, or all complete where nothing was lost; healed, all complete again."""
    model = await a_model(caller, market)
    caller.judge.blamed = {service}
    await control.inject(service, row.fault)
    asked = await caller.rebalance(model)
    result = row.result_of(service)
    if result is Result.RIGHT:
        assert asked.normal
    elif result.is_cause:
        assert (asked.status, asked.code) == (503, "EXTERNAL_SERVICE_ERROR")
        assert asked.causes() == {f"{service}: {result}"}
    else:
        assert (asked.status, asked.code) == (422, result)
    await control.heal()
    await caller.await_normal(model, RECOVERY_SECONDS)


@pytest.mark.parametrize("row", OPTIONAL_CASES)
async def test_a_fault_of_an_optional_service_costs_at_most_names(
    row: UpstreamFault, caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """Every portfolio completes, and nobody is blamed."""
    model = await a_model(caller, market)
    for service in OPTIONAL:
        await control.inject(service, row.fault)
    asked = await caller.rebalance(model)
    assert asked.normal
    if row.result is not Result.RIGHT:
        assert {response.portfolio_name for response in asked.responses} == {None}
