"""When a call to an upstream is made again, as the upstream sees it.

The whole schedule takes its seven seconds: `./run test -m slow tests/chaos/test_retries.py`.
"""

import asyncio
import itertools

import pytest

from integrations.simulator import ErrorStatus, Fault, Hang, Refuse, Reset, Service
from tests.chaos.judge.asked import Asked
from tests.chaos.judge.caller import Caller, evenly
from tests.chaos.judge.market import Market
from tests.harness.simulator import SimulatorControl
from tests.harness.stack import RECOVERY_SECONDS

BALANCES = Service.PORTFOLIO_ACCOUNTING
LATE_SECONDS = 0.9
"""How much later than scheduled a call may arrive on a busy machine, and still be told from the next one."""


async def waits(control: SimulatorControl) -> list[float]:
    """Seconds between the calls for balances that arrived."""
    seconds = [call.seconds for call in await control.last(BALANCES)]
    return [later - earlier for earlier, later in itertools.pairwise(seconds)]


def on_schedule(waits: list[float], schedule: list[float]) -> bool:
    return len(waits) == len(schedule) and all(
        planned - 0.05 <= wait <= planned + LATE_SECONDS for wait, planned in zip(waits, schedule, strict=True)
    )


async def rebalance_one(caller: Caller, control: SimulatorControl, market: Market, *faults: Fault) -> Asked:
    """Rebalance one portfolio while the accounting service has these faults, its calls counted from zero."""
    model = await caller.create_model(
        evenly(market.world.priced_security_ids()[:5]), market.world.portfolio_ids(4000, 1)
    )
    caller.judge.blamed = {BALANCES}
    await control.heal()
    await caller.await_normal(model, RECOVERY_SECONDS)
    await control.inject(BALANCES, *faults)
    await control.forget_calls()
    return await caller.rebalance(model)


@pytest.mark.parametrize(
    "fault",
    [
        ErrorStatus(status=503, calls=1),
        Reset(mid_body=True, calls=1),
        pytest.param(Hang(calls=1), marks=pytest.mark.slow),
    ],
)
async def test_a_call_that_fails_once_is_made_again_and_nobody_notices(
    fault: Fault, patient_caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """The rebalance completes after one retry."""
    asked = await rebalance_one(patient_caller, control, market, fault)
    assert asked.normal
    assert len(await waits(control)) == 1


@pytest.mark.parametrize("status", [302, 400, 404])
async def test_a_response_that_would_only_be_repeated_is_not_asked_for_again(
    status: int, patient_caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """A redirect or a client error is final."""
    asked = await rebalance_one(patient_caller, control, market, ErrorStatus(status=status))
    assert asked.details["status"] == status
    assert await waits(control) == []


async def test_a_retry_after_beyond_the_deadline_fails_at_once(
    patient_caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """No retry is begun, or waited for, that could not be finished."""
    asked = await rebalance_one(patient_caller, control, market, ErrorStatus(status=503, retry_after=30))
    assert (asked.status, asked.details["status"]) == (503, 503)
    assert await waits(control) == []


async def test_a_service_that_comes_back_within_the_retries_is_caught_up_with(
    patient_caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """The caller only waits."""
    rebalance = asyncio.create_task(rebalance_one(patient_caller, control, market, Refuse()))
    while not rebalance.done():
        await asyncio.sleep(0.5)
        await control.heal()
    assert (await rebalance).normal


@pytest.mark.slow
@pytest.mark.parametrize("calls", [3, None])
async def test_retries_come_after_one_two_and_four_seconds(
    calls: int | None, patient_caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """The third is the last: it succeeds, or the response is 503."""
    asked = await rebalance_one(patient_caller, control, market, ErrorStatus(status=503, calls=calls))
    assert asked.normal == (calls is not None)
    assert asked.causes() == (set() if calls else {f"{BALANCES}: status"})
    assert on_schedule(await waits(control), [1, 2, 4])


@pytest.mark.slow
async def test_a_retry_after_within_the_deadline_is_kept(
    patient_caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """The retry comes after the requested time."""
    asked = await rebalance_one(patient_caller, control, market, ErrorStatus(status=503, retry_after=3, calls=1))
    assert asked.normal
    assert on_schedule(await waits(control), [3])
