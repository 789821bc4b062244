"""Solver processes behind one awaitable call: fair between requests, bounded in queue and time."""

import asyncio
import math
import time
from collections.abc import Callable, Hashable
from typing import Self

from msgspec import Struct

from solver.pool.backlog import Backlog, Job, PoolClosed, Solved
from solver.pool.slot import Slot
from solver.pool.worker import Work
from solver.problem import SolverStrategy

_LONGEST_RETRY_SECONDS = 60


class Overloaded(Exception):
    """The queue is full.

    Attributes:
        queued: portfolios waiting.
        retry_after_seconds: in how many seconds the queue will be empty at the present pace; 1 to 60.
    """

    def __init__(self, queued: int, retry_after_seconds: int) -> None:
        super().__init__(f"{queued} portfolios are waiting for a solver process; try again in {retry_after_seconds} s")
        self.queued = queued
        self.retry_after_seconds = retry_after_seconds


class PoolFigures(Struct, frozen=True):
    """The state of a pool at one moment.

    Attributes:
        queued: portfolios waiting for a process.
        busy: processes at work.
        slots: the process in each place of the pool, None for a place without a running process.
        restarts: processes replaced since the pool was opened.
    """

    queued: int
    busy: int
    slots: tuple[int | None, ...]
    restarts: int

    @property
    def pids(self) -> tuple[int, ...]:
        """The running processes."""
        return tuple(pid for pid in self.slots if pid is not None)


class SolverPool[Problem, Result]:
    """A number of solver processes, and the queue in front of them.

    A process that hangs, crashes, is killed or runs out of memory is replaced. That costs the portfolio it was solving
    one more attempt, or ends it at its time limit; no other portfolio is affected. No process outlives the pool,
    however the process that owns the pool ends.

        async with SolverPool(processes=2, work=solving(solve)) as pool:
            solved = await pool.solve(portfolio, lane="request 1")
    """

    def __init__(
        self,
        *,
        processes: int,
        strategy: SolverStrategy = SolverStrategy.AUTO,
        time_limit_seconds: float = 30.0,
        queue_limit: int = 10_000,
        work: Work[Problem, Result],
        on_loss: Callable[[int | None, str], None] = lambda _pid, _reason: None,
    ) -> None:
        """Describe a pool; `async with` opens it.

        Args:
            processes: solver processes to keep; each can keep one core busy.
            strategy: how they solve.
            time_limit_seconds: for one portfolio, enforced by the solver and, a second later, by the pool.
            queue_limit: portfolios that may wait before the next one is refused.
            work: what they do with a portfolio.
            on_loss: called with the id of each process that is lost, or None for one that does not start, and the
                reason; must return at once and not raise.
        """
        self._processes = processes
        self._strategy = strategy
        self._time_limit_seconds = time_limit_seconds
        self._queue_limit = queue_limit
        self._work = work
        self._on_loss = on_loss
        self._backlog: Backlog[Result] = Backlog()
        self._slots: dict[Slot[Problem, Result], asyncio.Task[None]] = {}
        self._unfinished: set[Job[Result]] = set()
        self._open = False

    async def __aenter__(self) -> Self:
        """Start and warm every process. Raises ProcessLost, and leaves none, if one of them does not start."""
        for _ in range(self._processes):
            slot = Slot(self._backlog, self._work, self._strategy, self._time_limit_seconds, self._on_loss)
            self._slots[slot] = asyncio.create_task(slot.run(), name="solver-slot")
        try:
            await asyncio.gather(*(slot.started for slot in self._slots))
        except BaseException:
            await self._close()
            raise
        self._open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        """Kill every process, busy or not. Waiting callers receive PoolClosed."""
        await self._close()

    async def solve(self, problem: Problem, *, lane: Hashable, deadline: float | None = None) -> Solved[Result]:
        """Solve a portfolio in one of the processes. It is withdrawn if the caller is cancelled.

        Args:
            problem: the portfolio, of the type that the pool's work accepts.
            lane: the request it belongs to; waiting lanes are served in turn.
            deadline: moment on `time.monotonic()` by which the result is needed, if that is before the time limit.
                The result of a portfolio still queued then is TimeLimit; one being solved ends about a second later.

        Raises:
            Overloaded: the queue is full.
            InvalidPortfolio: the portfolio breaks the solver's rules.
            SolverFault: the solver has a defect.
            PoolClosed: the pool is not open, or was closed before there was a result.
        """
        if not self._open:
            raise PoolClosed("the solver pool is not open")
        queued = len(self._backlog)
        if queued >= self._queue_limit:
            raise Overloaded(queued, self._seconds_to_work_off(queued))
        job: Job[Result] = Job(problem, lane, deadline)
        self._unfinished.add(job)
        self._backlog.put(job)
        clock = None
        if deadline is not None:
            left = max(job.seconds_left(time.monotonic()), 0)
            clock = asyncio.get_running_loop().call_later(left, self._expire, job)
        try:
            return await job.result
        finally:
            if clock is not None:
                clock.cancel()
            self._backlog.discard(job)
            self._unfinished.discard(job)
            job.result.cancel()

    @property
    def ready(self) -> bool:
        """At least one process is running."""
        return bool(self.figures().pids)

    def figures(self) -> PoolFigures:
        """Return the current state of the pool."""
        processes = [slot.process for slot in self._slots]
        return PoolFigures(
            queued=len(self._backlog),
            busy=sum(slot.busy for slot in self._slots),
            slots=tuple(process.pid if process and not process.lost.done() else None for process in processes),
            restarts=sum(slot.restarts for slot in self._slots),
        )

    def _expire(self, job: Job[Result]) -> None:
        if self._backlog.discard(job):
            job.expire()

    def _seconds_to_work_off(self, queued: int) -> int:
        pace = sum(slot.pace for slot in self._slots) / self._processes
        return min(max(math.ceil(queued * pace / self._processes), 1), _LONGEST_RETRY_SECONDS)

    async def _close(self) -> None:
        self._open = False
        for job in self._unfinished:
            job.fail(PoolClosed("the solver pool was closed"))
        for task in self._slots.values():
            task.cancel()
        for ended in await asyncio.gather(*self._slots.values(), return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
