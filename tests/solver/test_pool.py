"""The solver pool in good times: right results, fair turns, limits, cancelled callers, a full queue, an orderly end."""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import psutil
import pytest

from solver import Infeasible, InvalidPortfolio, Portfolio, Security, Solution, SolverStrategy, TimeLimit, solve
from solver.pool import Overloaded, PoolClosed, ProcessLost, SolverFault, SolverPool, solving
from tests.solver import misbehaviour
from tests.solver.misbehaviour import PortfolioPool, fork_server, portfolio, solver_processes


@pytest.fixture
async def pool() -> AsyncIterator[PortfolioPool]:
    async with SolverPool(processes=2, time_limit_seconds=20, work=solving(misbehaviour.solve)) as pool:
        yield pool


@pytest.fixture
async def single() -> AsyncIterator[PortfolioPool]:
    """A pool of one process."""
    async with SolverPool(processes=1, time_limit_seconds=20, work=solving(misbehaviour.solve)) as pool:
        yield pool


def realistic(random: random.Random, securities: int) -> Portfolio:
    return Portfolio(
        tuple(
            Security(
                security_id=f"S{number}",
                price=Decimal(f"{random.lognormvariate(4.1, 0.7):.2f}"),
                quantity=Decimal(random.randrange(50)),
                target=Decimal("0.95") / securities,
                low_drift=Decimal("0.01"),
                high_drift=Decimal("0.01"),
            )
            for number in range(securities)
        ),
        cash=Decimal(random.randrange(10**5, 10**6)),
    )


async def test_responses_are_those_of_the_solver(pool: PortfolioPool) -> None:
    """Outcomes of the pool equal those of a direct call, with consistent times."""
    portfolios = [realistic(random.Random(seed), 20) for seed in range(200)]
    solved = await asyncio.gather(*(pool.solve(asked, lane=number % 3) for number, asked in enumerate(portfolios)))
    for asked, got in zip(portfolios, solved, strict=True):
        expected = solve(asked)
        assert isinstance(got.outcome, Solution)
        assert isinstance(expected, Solution)
        assert got.outcome.trades == expected.trades
        assert got.pid in pool.figures().pids
        assert got.submitted <= got.began <= got.ended
        assert got.queued_seconds == got.began - got.submitted


async def test_responses_larger_than_any_buffer_arrive_whole(single: PortfolioPool) -> None:
    """Thousands of reasons why a portfolio is infeasible, all of them named."""
    band = Decimal("0.0001")
    securities = [Security(f"S{number}", Decimal("7.77"), target=band, low_drift=band / 99) for number in range(5000)]
    asked = [Portfolio(tuple(securities), Decimal(100_000 + number)) for number in range(3)]
    solved = await asyncio.gather(*(single.solve(one, lane=1) for one in asked))
    for one, got in zip(asked, solved, strict=True):
        assert isinstance(got.outcome, Infeasible)
        assert len(got.outcome.reasons) == 5000
        assert got.outcome.market_value == one.cash


async def test_the_milp_strategy_reaches_the_processes() -> None:
    """The solution's path is that of the integer program."""
    async with SolverPool(processes=1, strategy=SolverStrategy.MILP, work=solving(solve)) as pool:
        outcome = (await pool.solve(realistic(random.Random(1), 5), lane=1)).outcome
    assert isinstance(outcome, Solution)
    assert outcome.path == "FULL_MILP"


async def test_work_is_spread_over_the_processes(pool: PortfolioPool, tmp_path: Path) -> None:
    """Portfolios that arrive together do not share one process while the other is idle."""
    record = tmp_path / "record"
    await asyncio.gather(*(pool.solve(portfolio(misbehaviour.record, record), lane=1) for _ in range(2)))
    assert sorted(record.read_text().split()) == sorted(str(pid) for pid in pool.figures().pids)


async def test_lanes_are_served_in_turn(single: PortfolioPool) -> None:
    """A request of one portfolio that comes after one of two hundred ends long before their end."""
    order: list[str] = []

    async def ask(lane: str) -> None:
        await single.solve(portfolio(), lane=lane)
        order.append(lane)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(200):
            tasks.create_task(ask("large"))
        tasks.create_task(ask("small"))
    assert order.index("small") <= 33


async def test_a_hard_portfolio_holds_up_only_itself(pool: PortfolioPool) -> None:
    """The others of its chunk, before it and behind it, get their results while it is still being solved."""
    before = [asyncio.create_task(pool.solve(portfolio(), lane=1)) for _ in range(10)]
    hard = asyncio.create_task(pool.solve(portfolio(misbehaviour.spend), lane=1))
    behind = [asyncio.create_task(pool.solve(portfolio(), lane=1)) for _ in range(50)]
    await asyncio.wait_for(asyncio.gather(*before, *behind), 60)
    assert not hard.done()
    hard.cancel()


async def test_a_deadline_shortens_the_time_limit(pool: PortfolioPool) -> None:
    """The solver ends by itself, with the gap that it had reached."""
    solved = await pool.solve(portfolio(misbehaviour.spend), lane=1, deadline=time.monotonic() + 0.5)
    assert isinstance(solved.outcome, TimeLimit)
    assert 0 < solved.outcome.seconds <= 0.5
    assert solved.outcome.gap == 1


async def test_a_portfolio_still_queued_at_its_deadline_expires_then(single: PortfolioPool) -> None:
    """The caller gets TimeLimit while the process is still busy."""
    occupying = asyncio.create_task(single.solve(portfolio(misbehaviour.spend), lane=1))
    await asyncio.sleep(0.1)
    solved = await asyncio.wait_for(single.solve(portfolio(), lane=1, deadline=time.monotonic() + 0.2), 60)
    assert solved.outcome == TimeLimit(objective=None, bound=None, seconds=0)
    assert single.figures().queued == 0
    assert not occupying.done()
    occupying.cancel()


async def test_a_deadline_in_the_past_expires_at_once(pool: PortfolioPool) -> None:
    """No process sees the portfolio."""
    solved = await pool.solve(portfolio(misbehaviour.hang), lane=1, deadline=time.monotonic() - 1)
    assert solved.outcome == TimeLimit(objective=None, bound=None, seconds=0)


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    """Overloaded has the queue's length and a time to wait."""
    async with SolverPool(processes=1, queue_limit=3, time_limit_seconds=2, work=solving(misbehaviour.solve)) as pool:
        running = [asyncio.create_task(pool.solve(portfolio(misbehaviour.spend), lane=1))]
        await asyncio.sleep(0.1)
        queued = [asyncio.create_task(pool.solve(portfolio(), lane=1)) for _ in range(3)]
        await asyncio.sleep(0.1)
        assert pool.figures().queued == 3
        with pytest.raises(Overloaded) as refused:
            await pool.solve(portfolio(), lane=2)
        assert refused.value.queued == 3
        assert 1 <= refused.value.retry_after_seconds <= 60
        await asyncio.gather(*running, *queued)
        assert isinstance((await pool.solve(portfolio(), lane=2)).outcome, Solution)


async def test_a_cancelled_caller_withdraws_its_portfolio(single: PortfolioPool, tmp_path: Path) -> None:
    """No process solves it later."""
    record = tmp_path / "record"
    occupying = asyncio.create_task(single.solve(portfolio(misbehaviour.nap), lane=1))
    await asyncio.sleep(0.02)
    queued = [
        asyncio.create_task(single.solve(portfolio(misbehaviour.record, record), lane=lane)) for lane in (1, 1, 2)
    ]
    await asyncio.sleep(0.02)
    assert single.figures().queued == 3
    for task in queued:
        task.cancel()
    await asyncio.wait(queued)
    assert single.figures().queued == 0
    await occupying
    await single.solve(portfolio(), lane=1)
    assert not record.exists()


async def test_a_portfolio_shipped_but_not_begun_can_be_withdrawn(single: PortfolioPool, tmp_path: Path) -> None:
    """It is in the chunk of a hard one when its caller gives up, and is not solved when it comes back from there."""
    record = tmp_path / "record"
    hard = asyncio.create_task(single.solve(portfolio(misbehaviour.nap), lane=1))
    behind = asyncio.create_task(single.solve(portfolio(misbehaviour.record, record), lane=1))
    await asyncio.sleep(0.02)
    assert single.figures().queued == 0
    behind.cancel()
    await hard
    await single.solve(portfolio(), lane=1)
    assert not record.exists()


async def test_cancelled_callers_cost_no_process(pool: PortfolioPool) -> None:
    """Callers that give up at any moment, before, while and after their portfolio is shipped, leave the pool whole."""
    for pause in range(40):
        tasks = [asyncio.create_task(pool.solve(portfolio(), lane=number)) for number in range(20)]
        await asyncio.sleep(pause / 4000)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    solved = await asyncio.gather(*(pool.solve(portfolio(misbehaviour.nap), lane=1) for _ in range(4)))
    assert all(isinstance(one.outcome, Solution) for one in solved)
    figures = pool.figures()
    assert (len(figures.pids), figures.queued, figures.busy, figures.restarts) == (2, 0, 0, 0)


async def test_an_exception_belongs_to_its_portfolio_alone(single: PortfolioPool) -> None:
    """A defect and a portfolio that breaks the rules are raised to their callers; their process goes on."""
    jobs = [portfolio(), portfolio(misbehaviour.fail), portfolio(cash="NaN"), portfolio()]
    good, fault, invalid, last = await asyncio.gather(
        *(single.solve(job, lane=1) for job in jobs), return_exceptions=True
    )
    assert isinstance(fault, SolverFault)
    assert str(fault) == "ZeroDivisionError: a defect"
    assert "misbehaviour.py" in fault.__notes__[0]
    assert isinstance(invalid, InvalidPortfolio)
    for solved in (good, last):
        assert not isinstance(solved, BaseException)
        assert isinstance(solved.outcome, Solution)
    assert single.figures().restarts == 0


async def test_figures_tell_what_the_pool_does(single: PortfolioPool) -> None:
    """Busy processes, queue and pids are those of the moment."""
    assert single.ready
    tasks = [asyncio.create_task(single.solve(portfolio(misbehaviour.nap), lane=1)) for _ in range(3)]
    await asyncio.sleep(0.02)
    figures = single.figures()
    assert figures.busy == 1
    assert psutil.Process(figures.pids[0]).is_running()
    await asyncio.gather(*tasks)
    assert single.figures().busy == 0


async def test_closing_a_busy_pool_leaves_no_process_and_no_caller() -> None:
    """Each waiting caller gets PoolClosed at once."""
    async with SolverPool(processes=2, work=solving(misbehaviour.solve)) as pool:
        tasks = [asyncio.create_task(pool.solve(portfolio(misbehaviour.hang), lane=1)) for _ in range(5)]
        await asyncio.sleep(0.2)
        figures = pool.figures()
        assert figures.busy == 2
    ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
    assert [type(error) for error in ended] == [PoolClosed] * 5
    assert not any(psutil.pid_exists(pid) for pid in figures.pids)
    assert not pool.ready
    with pytest.raises(PoolClosed):
        await pool.solve(portfolio(), lane=1)


async def test_a_pool_that_cannot_start_says_so_and_leaves_nothing() -> None:
    """The error has the exit code of the process."""
    with pytest.raises(ProcessLost, match="ended with exit code 9"):
        async with SolverPool(processes=2, work=solving(misbehaviour.broken_solve)):
            pytest.fail("the pool opened")
    assert solver_processes() == []


async def first_solver_process() -> psutil.Process:
    async with asyncio.timeout(100):
        while True:
            await asyncio.sleep(0.01)
            if found := solver_processes():
                return found[0]


async def test_a_process_killed_while_the_pool_opens_is_started_again() -> None:
    """Twice; a pool whose processes all end is not kept waiting for ever."""
    opening = asyncio.create_task(SolverPool(processes=1, work=solving(misbehaviour.stuck_solve)).__aenter__())
    for _ in range(3):
        assert not opening.done()
        process = await first_solver_process()
        process.kill()
        process.wait()
    with pytest.raises(ProcessLost, match="killed by signal 9"):
        await opening
    assert solver_processes() == []


async def test_opening_can_be_cancelled() -> None:
    """A server that is stopped while it starts leaves no solver process, however far they have come."""
    for pause in (0, 0.005, 0.02, 0.2):
        opening = asyncio.create_task(SolverPool(processes=2, work=solving(misbehaviour.stuck_solve)).__aenter__())
        await asyncio.sleep(pause)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    assert solver_processes() == []


def test_the_server_process_never_loads_the_numerical_libraries() -> None:
    """They cost a second and a hundred megabytes; only the fork server and its children have them."""
    program = """
import asyncio, sys
from decimal import Decimal
from solver import solve
from solver.pool import SolverPool, solving
from solver import Portfolio, Security, SolverStrategy

async def main():
    half = Decimal("0.5")
    portfolio = Portfolio((Security("A", Decimal(3), target=half, low_drift=half, high_drift=half),), Decimal(100))
    async with SolverPool(processes=1, strategy=SolverStrategy.MILP, work=solving(solve)) as pool:
        print((await pool.solve(portfolio, lane=1)).outcome.trades)

asyncio.run(main())
print(sorted({"cvxpy", "highspy", "scipy", "numpy", "solver.milp"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split("\n")[:2] == ["(17,)", "[]"]
    assert done.stderr == ""


def test_the_fork_server_imports_parts_of_scipy_only_if_something_uses_them() -> None:
    """They would be half of a start; the functions of CVXPY that need them work all the same."""
    program = """
import sys
import solver.pool.preload

loaded = {"scipy.stats", "scipy.optimize"} & set(sys.modules)
deferred = sys.modules["cvxpy.atoms.quantum_rel_entr"].entropy([1, 2])
import cvxpy
import scipy.stats

x = cvxpy.Variable(2, nonneg=True)
least = cvxpy.Problem(cvxpy.Minimize(x[0] + 2 * x[1]), [x[0] + x[1] >= 3]).solve(solver="SCIPY")
print(sorted(loaded), deferred == scipy.stats.entropy([1, 2]), round(least, 6), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == "[] True 3.0\n"


async def test_solver_processes_share_what_the_fork_server_loaded(pool: PortfolioPool) -> None:
    """A new process need not import the solver library: the fork server it comes from has it."""
    server = fork_server()
    assert server is not None
    assert server.pid == psutil.Process(pool.figures().pids[0]).ppid()
    assert any("highspy" in mapped.path for mapped in server.memory_maps())
