"""The portfolios in a pool: the caller that waits for each, and which one is solved next."""

import asyncio
import math
import time
from collections.abc import Hashable, Iterable
from functools import partial

from msgspec import Raw, Struct

from solver.pool import protocol
from solver.pool.lanes import Lanes
from solver.problem import Crashed, TimeLimit

CHUNK_PORTFOLIOS = 8
"""Most portfolios in one chunk: sending one alone costs as much as solving it, and other lanes wait for long chunks."""


class PoolClosed(Exception):
    """The pool is not open, or was closed before there was a result."""


class SolverFault(Exception):
    """Solving raised an exception: a defect of the solver. Its traceback in the solver process is a note to this."""


class Solved[Result](Struct, frozen=True):
    """The result of a portfolio, with its process and its times on `time.monotonic()`.

    Attributes:
        outcome: the result of a process, or the error that prevented it.
        pid: the process that solved it; None if no process did.
        submitted: when the pool received the portfolio.
        began, ended: the last attempt, as measured by the process, or by the pool if the process was lost.
    """

    outcome: Result | TimeLimit | Crashed
    pid: int | None
    submitted: float
    began: float
    ended: float

    @property
    def queued_seconds(self) -> float:
        """How long the portfolio waited for a process, earlier attempts included."""
        return self.began - self.submitted


class Job[Result]:
    """One portfolio that a caller waits for.

    Attributes:
        entry: what is sent to a process.
        lane: the request that it belongs to.
        result: what the caller awaits; cancelled when the caller is.
        crashed: a process died while solving it, so it is sent alone from now on.
    """

    __slots__ = ("_submitted", "crashed", "entry", "lane", "result")

    def __init__(self, problem: object, lane: Hashable, deadline: float | None) -> None:
        self.entry = protocol.ChunkEntry(Raw(protocol.encode(problem)), deadline)
        self.lane = lane
        self.result: asyncio.Future[Solved[Result]] = asyncio.get_running_loop().create_future()
        self.crashed = False
        self._submitted = time.monotonic()

    def seconds_left(self, now: float) -> float:
        """Return the seconds from `now` until its deadline; negative when that has passed."""
        return math.inf if self.entry.deadline is None else self.entry.deadline - now

    def settle(self, outcome: Result | TimeLimit | Crashed, pid: int | None, began: float, ended: float) -> None:
        """Return an outcome to the caller, unless it is gone or has a result already."""
        if not self.result.done():
            self.result.set_result(Solved(outcome, pid, self._submitted, began, ended))

    def fail(self, error: Exception) -> None:
        """Raise an exception in the caller, unless it is gone or has a result already."""
        if not self.result.done():
            self.result.set_exception(error)

    def expire(self) -> None:
        """Report to the caller that the deadline passed before a process was free."""
        now = time.monotonic()
        self.settle(TimeLimit(objective=None, bound=None, seconds=0.0), None, now, now)


class Backlog[Result]:
    """The queue in front of the processes, and the wait of idle processes for it."""

    def __init__(self) -> None:
        self._lanes: Lanes[Job[Result]] = Lanes()
        self._sleepers: list[asyncio.Future[None]] = []
        self._idle = 0

    def __len__(self) -> int:
        return len(self._lanes)

    def put(self, job: Job[Result]) -> None:
        """Queue a portfolio behind those of its lane."""
        self._lanes.append(job.lane, job)
        self._wake()

    def requeue(self, jobs: Iterable[Job[Result]]) -> None:
        """Return portfolios that were dequeued but not solved to the front, in their previous order.

        Those whose caller is gone are dropped, and those whose deadline has passed receive their result.
        """
        now = time.monotonic()
        for job in reversed(list(jobs)):
            if job.seconds_left(now) <= 0:
                job.expire()
            elif not job.result.done():
                self._lanes.restore(job.lane, job)
        self._wake()

    def discard(self, job: Job[Result]) -> bool:
        """Drop a portfolio; False if it is not queued."""
        return self._lanes.discard(job.lane, job)

    async def wait(self, lost: asyncio.Future[None]) -> None:
        """Wait, on behalf of an idle process, until portfolios are queued or the process is lost."""
        while not self._lanes and not lost.done():
            sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._sleepers.append(sleeper)
            wake = partial(_wake, sleeper)
            lost.add_done_callback(wake)
            self._idle += 1
            try:
                await sleeper
            finally:
                self._idle -= 1
                lost.remove_done_callback(wake)

    def take_chunk(self) -> list[Job[Result]]:
        """Return the next portfolios for one process, and leave other idle processes their share of the queue.

        A portfolio that a process died of is sent alone. The queue must not be empty.
        """
        size = min(CHUNK_PORTFOLIOS, math.ceil(len(self._lanes) / (self._idle + 1)))
        chunk = [self._lanes.pop()]
        while len(chunk) < size and not chunk[0].crashed and not self._lanes.first().crashed:
            chunk.append(self._lanes.pop())
        return chunk

    def _wake(self) -> None:
        if self._lanes:
            for sleeper in self._sleepers:
                _wake(sleeper)
            self._sleepers.clear()


def _wake(sleeper: asyncio.Future[None], _lost: asyncio.Future[None] | None = None) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
