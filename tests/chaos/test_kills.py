"""Processes that are killed, stopped and restarted while rebalances run: solvers, the database, the API's worker."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from integrations.simulator import Delay, Service
from tests.chaos.judge.asked import BROKEN
from tests.chaos.judge.caller import Caller, evenly
from tests.chaos.judge.market import Market
from tests.chaos.judge.oracle import Model
from tests.harness.simulator import SimulatorControl
from tests.harness.stack import RECOVERY_SECONDS, RunningService, Surroundings

CLIENTS = 4
SOLVERS = 2


@pytest.fixture
async def model(caller: Caller, market: Market) -> Model:
    """Twenty positions, tight enough for cash to bind now and then, on twelve portfolios."""
    return await caller.create_model(
        evenly(market.world.priced_security_ids()[:20], drift="0.01"), market.world.portfolio_ids(3000, 12)
    )


@asynccontextmanager
async def crowd(caller: Caller, model: Model) -> AsyncIterator[None]:
    """A few clients who rebalance again and again until the block ends; each ends with its last response."""
    ended = False

    async def client() -> None:
        while not ended:
            await caller.rebalance(model)

    async with asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(client())
        yield
        ended = True


async def test_solver_processes_killed_under_load_cost_no_response(
    impatient: RunningService, caller: Caller, model: Model
) -> None:
    """Every rebalance completes, or a portfolio whose solver died twice says so; the pool becomes whole again."""
    caller.judge.blamed = {"solvers"}
    killed = 0
    async with crowd(caller, model):
        while killed < 8:
            await asyncio.sleep(0.1)
            killed += impatient.processes.signal_solvers(signal.SIGKILL, 1)
    await caller.await_normal(model, RECOVERY_SECONDS)
    await impatient.processes.await_solvers(SOLVERS)


@pytest.mark.slow
async def test_stopped_solver_processes_are_replaced(impatient: RunningService, caller: Caller, model: Model) -> None:
    """What they were given is given to others, who complete it."""
    await impatient.processes.await_solvers(SOLVERS)
    stopped = impatient.processes.solvers()
    assert impatient.processes.signal_solvers(signal.SIGSTOP, SOLVERS) == SOLVERS
    assert (await caller.rebalance(model)).normal
    assert not any(process.is_running() for process in stopped)


async def test_a_killed_database_is_a_clean_error_and_its_restart_the_end_of_it(
    around: Surroundings, caller: Caller, control: SimulatorControl, model: Model
) -> None:
    """Rebalances are under way when it goes; readiness follows it both ways."""
    caller.judge.blamed = {"database"}
    await control.inject(Service.PORTFOLIO_ACCOUNTING, Delay(seconds=0.01, up_to=0.1))
    async with crowd(caller, model):
        await caller.await_outcome("200")
        await asyncio.to_thread(around.mongod.kill)
        await caller.await_not_ready()
        await caller.await_live()
        await caller.await_outcome("503 DATABASE_UNAVAILABLE")
        await asyncio.to_thread(around.mongod.restart)
    await control.heal()
    await caller.await_normal(model, RECOVERY_SECONDS)


async def test_a_frozen_database_is_a_clean_error_in_bounded_time(
    around: Surroundings, caller: Caller, model: Model
) -> None:
    """Its connections stay open and nothing responds: every call is refused within its time-outs, then all is well."""
    caller.judge.blamed = {"database"}
    around.mongod.freeze()
    try:
        started = time.monotonic()
        asked = await asyncio.gather(*(caller.rebalance(model) for _ in range(CLIENTS)))
        assert time.monotonic() - started < 10
    finally:
        around.mongod.thaw()
    assert {each.code for each in asked} == {"DATABASE_UNAVAILABLE"}
    await caller.await_normal(model, RECOVERY_SECONDS)


async def test_a_killed_worker_breaks_connections_and_leaves_nothing_half_visible(
    impatient: RunningService, caller: Caller, control: SimulatorControl, model: Model
) -> None:
    """Its successor lists only whole rebalances: those returned, and at most one for each broken connection."""
    await control.inject(Service.PORTFOLIO_ACCOUNTING, Delay(seconds=0.2, up_to=0.6))
    caller.judge.blamed = {"worker"}
    running = [asyncio.create_task(caller.rebalance(model)) for _ in range(CLIENTS)]
    await asyncio.sleep(0.4)
    impatient.processes.worker().kill()
    assert {asked.status for asked in await asyncio.gather(*running)} == {BROKEN}
    await control.heal()
    await caller.await_ready()
    await caller.await_normal(model, RECOVERY_SECONDS)
