"""The solver pool under load while its processes are killed and stopped at random: right responses, and flat memory."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from decimal import Decimal

import psutil
import pytest

from solver import Crashed, Portfolio, Security, Solution, TimeLimit, solve
from solver.pool import SolverPool, solving
from tests.solver.misbehaviour import PortfolioPool, fork_server, solver_processes

SECONDS = float(os.environ.get("SOLVER_SOAK_SECONDS", "120"))
CALLERS = 200
MEGABYTE = 2**20


def random_portfolio(random: random.Random) -> Portfolio:
    """Ten to a hundred positions, some of which cash binds."""
    securities = random.randrange(10, 101)
    return Portfolio(
        tuple(
            Security(
                security_id=f"S{number}",
                price=Decimal(f"{random.lognormvariate(4.1, 0.7):.2f}"),
                quantity=Decimal(random.randrange(50)),
                target=Decimal("0.99") / securities,
                low_drift=Decimal("0.01"),
                high_drift=Decimal("0.01"),
            )
            for number in range(securities)
        ),
        cash=Decimal(random.randrange(10**5, 10**6)),
    )


def processes_of(pool: PortfolioPool) -> list[psutil.Process | None]:
    """Its running solver processes; they are not all children of the present fork server."""
    return [psutil.Process(pid) for pid in pool.figures().pids if psutil.pid_exists(pid)]


async def torment(random: random.Random, pool: PortfolioPool, end: float) -> Counter[str]:
    """Kills solver processes, stops some, and now and then kills the fork server."""
    done: Counter[str] = Counter()
    while time.monotonic() < end:
        await asyncio.sleep(random.uniform(0, 0.5))
        kind = random.choices(["kill", "stop", "kill the fork server"], [90, 8, 2])[0]
        victims = [fork_server()] if kind == "kill the fork server" else processes_of(pool)
        victim = random.choice(victims) if victims else None
        with suppress(psutil.NoSuchProcess):
            if victim is not None:
                victim.send_signal(signal.SIGSTOP if kind == "stop" else signal.SIGKILL)
                done[kind] += 1
    return done


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
async def test_responses_stay_right_and_memory_flat_while_processes_are_killed() -> None:
    """Every response is the exact one or a clean error, every caller gets a result, and nothing accumulates."""
    chance = random.Random(1)
    portfolios = [random_portfolio(chance) for _ in range(300)]
    expected = [solve(portfolio) for portfolio in portfolios]
    outcomes: Counter[str] = Counter()
    memory: list[float] = []
    this = psutil.Process()
    end = time.monotonic() + SECONDS

    async def ask(caller: int, pool: PortfolioPool) -> None:
        while time.monotonic() < end:
            number = chance.randrange(len(portfolios))
            outcome = (await pool.solve(portfolios[number], lane=caller)).outcome
            outcomes[type(outcome).__name__] += 1
            if isinstance(outcome, Solution):
                right = expected[number]
                assert isinstance(right, Solution)
                assert (outcome.trades, outcome.objective) == (right.trades, right.objective)
            else:
                assert isinstance(outcome, (Crashed, TimeLimit))

    async def weigh() -> None:
        while time.monotonic() < end:
            await asyncio.sleep(SECONDS / 60)
            memory.append(this.memory_info().rss / MEGABYTE)

    async with SolverPool(processes=2, time_limit_seconds=2, work=solving(solve)) as pool:
        async with asyncio.TaskGroup() as tasks:
            for caller in range(CALLERS):
                tasks.create_task(ask(caller, pool))
            tasks.create_task(weigh())
            tormented = tasks.create_task(torment(chance, pool, end))
        figures = pool.figures()
        descriptors = this.num_fds()
    third = len(memory) // 3
    growth = max(memory[-third:]) - max(memory[third : 2 * third])
    print(f"\n{dict(outcomes)}; {dict(tormented.result())}; {figures.restarts} restarts; {descriptors} descriptors")
    print(f"resident memory of the pool's process: {memory[third]:.0f} MB, last third {growth:+.1f} MB")
    assert outcomes["Solution"] > 0.95 * outcomes.total()
    assert figures.restarts > SECONDS / 4
    assert figures.queued == 0
    assert descriptors < 60
    assert growth < 10
    assert solver_processes() == []
