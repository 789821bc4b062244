"""More work than the solvers can do: refused in words, and over as soon as it ends.

Takes a minute: `./run test -m slow tests/chaos/test_overload.py`.
"""

import asyncio
from collections import Counter

import httpx
import pytest

from integrations.simulator import Service
from tests.chaos.judge.caller import Caller, evenly
from tests.chaos.judge.market import Market
from tests.chaos.test_memory import POD_MEGABYTES, peak_megabytes
from tests.harness.simulator import SimulatorControl
from tests.harness.stack import IMPATIENT, RECOVERY_SECONDS, Surroundings, serving

REQUESTS = 360
PORTFOLIOS = 32
"""As many of a request as are in flight together; all requests together want more than the 10,000 that may wait."""
PAUSE_SECONDS = 0.05
"""Between two requests, so that only the solvers have more to do than they can."""
PATIENCE_SECONDS = 120
SETTINGS = {
    **IMPATIENT,
    "SOLVER_STRATEGY": "milp",
    "SOLVER_PROCESSES": "1",
    "REBALANCE_DEADLINE_SECONDS": "25",
    "PRICE_CACHE_TTL_SECONDS": "600",
    "SECURITY_CACHE_TTL_SECONDS": "600",
    "PORTFOLIO_ACCOUNTING_SERVICE_TIMEOUT_SECONDS": "20",
}


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_what_the_queue_cannot_hold_is_refused_and_the_rest_is_solved(
    around: Surroundings, control: SimulatorControl, market: Market
) -> None:
    """Each portfolio completes, is `OVERLOADED` with a time to come back, or runs out of time; memory is bounded."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, limits=limits) as client:
        with serving(around, SETTINGS) as service:
            caller = Caller(service.url, client, market, longest_seconds=PATIENCE_SECONDS)
            model = await caller.create_model(
                evenly(market.world.priced_security_ids()[:30]), market.world.portfolio_ids(8000, PORTFOLIOS)
            )
            caller.judge.blamed = {"solvers"}
            done = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                peak = tasks.create_task(peak_megabytes(service.processes, done))
                arriving = []
                for _ in range(REQUESTS):
                    arriving.append(tasks.create_task(caller.rebalance(model)))
                    await asyncio.sleep(PAUSE_SECONDS)
                asked = [await each for each in arriving]
                done.set()
            codes = Counter(code for each in asked for code in each.failed.values())
            print(f"\n{dict(caller.outcomes)} {dict(codes)} {peak.result()} MB")
            assert codes["OVERLOADED"] > 0
            assert set(codes) <= {"OVERLOADED", "DEADLINE_EXCEEDED", "OPTIMIZATION_FAILED"}
            refused = [each for each in asked if each.code == "OVERLOADED"]
            assert all(int(each.headers["retry-after"]) > 0 for each in refused)
            assert peak.result() < POD_MEGABYTES
            await caller.await_normal(model, RECOVERY_SECONDS)
            await caller.settle()
    assert await control.count(Service.PRICING) <= 2
