"""What upstreams can make the service hold: bounded, however much they send."""

import asyncio

from integrations.simulator import Garbage, GarbageKind, Service
from tests.chaos.judge.caller import Caller, evenly
from tests.chaos.judge.market import Market
from tests.harness.processes import ServiceProcesses
from tests.harness.simulator import SimulatorControl
from tests.harness.stack import RECOVERY_SECONDS, RunningService

POD_MEGABYTES = 560
"""What the suite's autoscaler leaves a pod."""
PORTFOLIOS = 60


async def test_a_million_rows_from_every_service_at_once_fit_in_the_pod(
    impatient: RunningService, caller: Caller, control: SimulatorControl, market: Market
) -> None:
    """Three rebalances at a time, first of nothing but floods, then of one in every two; then it works as before."""
    models = [
        await caller.create_model(
            evenly(market.world.priced_security_ids()[:5]), market.world.portfolio_ids(1000 + 100 * each, PORTFOLIOS)
        )
        for each in range(3)
    ]
    caller.judge.blamed = {Service.PORTFOLIO_ACCOUNTING, Service.PRICING, Service.SECURITY}
    done = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        peak = tasks.create_task(peak_megabytes(impatient.processes, done))
        for services, rate in (((Service.PORTFOLIO_ACCOUNTING, Service.PORTFOLIO), 1.0), (tuple(Service), 0.5)):
            for service in services:
                await control.inject(service, Garbage(kind=GarbageKind.MILLION_ROWS, rate=rate))
            await asyncio.gather(*(caller.rebalance(model) for model in models))
        done.set()
    assert peak.result() < POD_MEGABYTES
    await control.heal()
    await caller.await_normal(models[0], RECOVERY_SECONDS)


async def peak_megabytes(processes: ServiceProcesses, done: asyncio.Event) -> int:
    """The most that all processes of the service held together until the event."""
    peak = 0
    while not done.is_set():
        peak = max(peak, await asyncio.to_thread(processes.megabytes))
        await asyncio.sleep(0.02)
    return peak
