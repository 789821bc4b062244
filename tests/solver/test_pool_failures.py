"""The solver pool in bad times: processes killed, stopped, hung, out of memory, one after the other and all at once."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest
from msgspec import structs

from solver import Crashed, Outcome, Portfolio, Security, Solution, TimeLimit, solve
from solver.pool import ProcessLost, Solved, SolverPool, solving
from solver.pool.slot import Slot
from tests.solver import misbehaviour
from tests.solver.misbehaviour import Behaviour, PortfolioPool, fork_server, portfolio, solver_processes


@pytest.fixture
async def pool() -> AsyncIterator[PortfolioPool]:
    """Two processes, one second for a portfolio, and a grace of another before the pool acts."""
    async with SolverPool(processes=2, time_limit_seconds=1, work=solving(misbehaviour.solve)) as pool:
        yield pool


@pytest.fixture
async def single() -> AsyncIterator[PortfolioPool]:
    """One process, which has a long time for each portfolio."""
    async with SolverPool(processes=1, time_limit_seconds=60, work=solving(misbehaviour.solve)) as pool:
        yield pool


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something to become true; the test's time limit ends it if it never does."""
    while not condition():  # noqa: ASYNC110 - what it waits for happens in other processes
        await asyncio.sleep(0.01)


async def ask_all(pool: PortfolioPool, *behaviours: Behaviour) -> list[Solved[Outcome]]:
    """Asks for all of them at once, so that they travel in as few chunks as possible."""
    return await asyncio.gather(*(pool.solve(portfolio(behaviour), lane=1) for behaviour in behaviours))


def is_alive(process: psutil.Process) -> bool:
    """A zombie is not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def is_whole(pool: PortfolioPool, processes: int) -> None:
    """Fails the test unless all processes come back and they solve."""
    await asyncio.wait_for(until(lambda: len(pool.figures().pids) == processes), 100)
    solved = await ask_all(pool, *[misbehaviour.behave] * 40)
    assert all(isinstance(one.outcome, Solution) for one in solved)
    assert pool.figures().queued == 0
    assert len(solver_processes()) == processes


async def test_a_portfolio_survives_the_death_of_its_process(single: PortfolioPool, tmp_path: Path) -> None:
    """Its second attempt responses it."""
    solved = await single.solve(portfolio(misbehaviour.die_once, tmp_path / "crashed"), lane=1)
    assert isinstance(solved.outcome, Solution)
    assert single.figures().restarts == 1


@pytest.mark.parametrize(
    ("behaviour", "how"),
    [
        (misbehaviour.die, "was killed by signal 9"),
        (misbehaviour.eat, "ran out of memory"),
        (misbehaviour.leave, "ended with exit code 3"),
    ],
)
async def test_a_portfolio_that_kills_two_processes_is_crashed(
    pool: PortfolioPool, behaviour: Behaviour, how: str
) -> None:
    """The outcome says how the processes ended, and the pool is whole again."""
    [solved] = await ask_all(pool, behaviour)
    assert isinstance(solved.outcome, Crashed)
    assert how in solved.outcome.message
    assert pool.figures().restarts >= 1
    await is_whole(pool, 2)


async def test_a_process_ends_before_it_takes_more_memory_than_it_may() -> None:
    """The portfolio that needs more fails, and no other: the kernel has no reason to kill the container."""
    work = structs.replace(solving(misbehaviour.solve), memory_bytes=2**27)
    async with SolverPool(processes=1, work=work) as pool:
        hoarder, *others = await ask_all(pool, misbehaviour.hoard, misbehaviour.behave, misbehaviour.behave)
        assert isinstance(hoarder.outcome, Crashed)
        assert "ran out of memory" in hoarder.outcome.message
        assert [type(other.outcome) for other in others] == [Solution, Solution]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has scores")
async def test_the_kernel_kills_solver_processes_first(pool: PortfolioPool) -> None:
    """If memory is exhausted nevertheless, it takes a process whose portfolio is solved by another one."""
    await ask_all(pool, misbehaviour.behave, misbehaviour.behave)
    assert [_score(pid) for pid in pool.figures().pids] == [1000, 1000]


def _score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


async def test_the_others_of_a_killers_chunk_are_solved(single: PortfolioPool) -> None:
    """Portfolios in one chunk with several that kill their process are not charged for it, before or behind them."""
    behaviours = [
        misbehaviour.behave,
        misbehaviour.behave,
        misbehaviour.die,
        misbehaviour.behave,
        misbehaviour.eat,
        misbehaviour.die,
        misbehaviour.behave,
        misbehaviour.behave,
    ]
    solved = await ask_all(single, *behaviours)
    outcomes = [type(one.outcome) for one in solved]
    assert outcomes == [Solution, Solution, Crashed, Solution, Crashed, Crashed, Solution, Solution]
    assert single.figures().restarts == 6
    await is_whole(single, 1)


async def test_kill_9_while_solving(single: PortfolioPool) -> None:
    """The portfolio is solved by the successor."""
    asked = asyncio.create_task(single.solve(portfolio(misbehaviour.nap), lane=1))
    await until(lambda: single.figures().busy == 1)
    os.kill(single.figures().pids[0], signal.SIGKILL)
    assert isinstance((await asked).outcome, Solution)
    assert single.figures().restarts == 1


async def test_an_idle_process_that_dies_is_replaced_unasked(pool: PortfolioPool) -> None:
    """New processes are ready without a call."""
    before = pool.figures().pids
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: pool.figures().restarts == 2)
    await until(lambda: len(pool.figures().pids) == 2)
    assert not set(before) & set(pool.figures().pids)
    await is_whole(pool, 2)


async def test_a_lost_process_is_reported_with_its_number_and_its_end() -> None:
    """The callback gets pid and signal, and a successor fills the slot."""
    reports: list[tuple[int | None, str]] = []
    async with SolverPool(
        processes=1, on_loss=lambda pid, reason: reports.append((pid, reason)), work=solving(solve)
    ) as pool:
        (lost,) = pool.figures().slots
        assert lost is not None
        os.kill(lost, signal.SIGTERM)
        await until(lambda: pool.figures().restarts == 1)
        await until(lambda: pool.figures().slots not in {(None,), (lost,)})
    assert reports == [(lost, "a solver process has ended: it was killed by signal 15")]


async def test_a_hung_process_is_killed_and_costs_only_its_portfolio(pool: PortfolioPool) -> None:
    """The solver overran its limit, so the pool ends it; the upstreams in its chunk are solved long before."""
    hung = asyncio.create_task(pool.solve(portfolio(misbehaviour.hang), lane=1))
    upstreams = await ask_all(pool, *[misbehaviour.behave] * 30)
    assert all(isinstance(one.outcome, Solution) for one in upstreams)
    assert not hung.done()
    outcome = (await hung).outcome
    assert isinstance(outcome, TimeLimit)
    assert (outcome.objective, outcome.bound, outcome.gap) == (None, None, None)
    assert outcome.seconds >= 1
    await is_whole(pool, 2)


async def test_a_hung_process_is_killed_soon_after_the_deadline(single: PortfolioPool) -> None:
    """Not after the much longer time limit of the pool."""
    deadline = time.monotonic() + 0.5
    solved = await asyncio.wait_for(single.solve(portfolio(misbehaviour.hang), lane=1, deadline=deadline), 50)
    assert isinstance(solved.outcome, TimeLimit)
    await is_whole(single, 1)


async def test_every_process_hung_at_once(pool: PortfolioPool) -> None:
    """Each hanging portfolio ends at its limit, and the next one is solved."""
    solved = await ask_all(pool, *[misbehaviour.hang] * 4, misbehaviour.behave)
    assert [type(one.outcome) for one in solved] == [TimeLimit] * 4 + [Solution]
    await is_whole(pool, 2)


async def test_sigstop_while_solving(pool: PortfolioPool) -> None:
    """A stopped process cannot be told from a hung one: its portfolio ends at its limit."""
    [solved] = await ask_all(pool, misbehaviour.stop)
    assert isinstance(solved.outcome, TimeLimit)
    await is_whole(pool, 2)
    assert pool.figures().restarts == 1


async def test_sigstop_while_idle_costs_nobody_a_portfolio(single: PortfolioPool) -> None:
    """A process that never begins a chunk is replaced, and the next one solves it."""
    os.kill(single.figures().pids[0], signal.SIGSTOP)
    [solved] = await ask_all(single, misbehaviour.behave)
    assert isinstance(solved.outcome, Solution)
    assert single.figures().restarts == 1


async def test_a_chunk_too_large_for_the_socket_does_not_block_the_server(single: PortfolioPool) -> None:
    """Two megabytes to a process that reads nothing: the event loop goes on, and another process solves them."""
    band = portfolio().securities[0]
    securities = [
        Security(f"S{number}", band.price, band.quantity, band.target / 500, band.low_drift, band.high_drift)
        for number in range(500)
    ]
    large = Portfolio(tuple(securities), cash=portfolio().cash * 1000)
    os.kill(single.figures().pids[0], signal.SIGSTOP)
    asked = [asyncio.create_task(single.solve(large, lane=1)) for _ in range(40)]
    await asyncio.wait_for(asyncio.sleep(0.1), 20)
    assert single.figures().busy == 1
    assert all(isinstance(one.outcome, Solution) for one in await asyncio.gather(*asked))


async def test_the_death_of_the_fork_server_is_survived(pool: PortfolioPool) -> None:
    """Its processes go on solving, can still be killed, and are replaced from a new one."""
    before = [psutil.Process(pid) for pid in pool.figures().pids]
    server = fork_server()
    assert server is not None
    server.kill()
    solved = await ask_all(pool, *[misbehaviour.behave] * 10)
    assert all(isinstance(one.outcome, Solution) for one in solved)
    stopped, crashed = await ask_all(pool, misbehaviour.stop, misbehaviour.die)
    assert isinstance(stopped.outcome, TimeLimit)
    assert isinstance(crashed.outcome, Crashed)
    await asyncio.wait_for(until(lambda: not any(is_alive(process) for process in before)), 100)
    await is_whole(pool, 2)


async def test_a_fork_server_that_cannot_be_used_is_an_error_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is where `TMPDIR` is longer than the path of a socket may be."""

    def refuse(*_: object) -> None:
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr(forkserver, "connect_to_new_process", refuse)
    with pytest.raises(ProcessLost, match="does not respond: AF_UNIX path too long"):
        async with SolverPool(processes=1, work=solving(solve)):
            pass


async def test_a_defect_of_the_pool_reaches_its_caller_and_the_pool_goes_on(
    single: PortfolioPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No defect is known, so one is made: a caller gets it as an exception, where it might have waited for ever."""

    def misread(*_: object) -> None:
        raise LookupError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(Slot, "_settle", misread)
        asked = [asyncio.create_task(single.solve(portfolio(), lane=1)) for _ in range(3)]
        ended = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 100)
    assert [type(error) for error in ended] == [LookupError] * 3
    await is_whole(single, 1)


async def test_nothing_accumulates(single: PortfolioPool) -> None:
    """After many replaced processes there are as many descriptors, tasks and threads as after the first."""
    this = psutil.Process()
    counts = []
    for _ in range(12):
        [solved] = await ask_all(single, misbehaviour.die)
        assert isinstance(solved.outcome, Crashed)
        await until(lambda: len(single.figures().pids) == 1)
        counts.append((this.num_fds(), len(asyncio.all_tasks()), this.num_threads()))
    assert single.figures().restarts == 24
    assert set(counts[1:]) == {counts[1]}
