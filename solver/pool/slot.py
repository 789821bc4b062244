"""One slot of a pool: keeps a solver process running, sends it chunks from the backlog, and kills it if it hangs."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Raw, msgpack

from solver.pool import protocol
from solver.pool.backlog import Backlog, Job, SolverFault
from solver.pool.process import ProcessLost, SolverProcess
from solver.pool.worker import CHUNK_SECONDS, Work
from solver.problem import Crashed, InvalidPortfolio, SolverStrategy, TimeLimit

GRACE_SECONDS = 1.0
"""A process that exceeds the limit of a portfolio by this is killed."""

BEGIN_SECONDS = 5.0
"""A process that has not confirmed a chunk after this is killed."""

_RELEASE_SECONDS = 2 * CHUNK_SECONDS
_FIRST_STARTS = 3
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
_PACE_WEIGHT = 0.05


class Slot[Problem, Result]:
    """One slot of a pool.

    Attributes:
        process: the warm process; None while it is not running.
        started: done when the first process is warm; failed with ProcessLost when it could not be started.
        restarts: processes replaced so far.
        pace: seconds per portfolio, a moving mean.
    """

    def __init__(
        self,
        backlog: Backlog[Result],
        work: Work[Problem, Result],
        strategy: SolverStrategy,
        time_limit_seconds: float,
        on_loss: Callable[[int | None, str], None],
    ) -> None:
        self.process: SolverProcess | None = None
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.restarts = 0
        self.pace = 0.0
        self._backlog = backlog
        self._work = work
        self._decode: Callable[[Raw], Result] = msgpack.Decoder(work.result).decode
        self._strategy = strategy
        self._time_limit_seconds = time_limit_seconds
        self._on_loss = on_loss
        self._jobs: deque[Job[Result]] = deque()
        self._began: float | None = None

    @property
    def busy(self) -> bool:
        """Its process is solving."""
        return bool(self._jobs)

    async def run(self) -> None:
        """Serve the queue until cancelled, which kills the process; return if the first one cannot be started."""
        pause, failures = _FIRST_PAUSE_SECONDS, 0
        while True:
            try:
                process = await SolverProcess.start(self._work, self._strategy, self._time_limit_seconds)
            except ProcessLost as lost:
                failures += 1
                # One killed process must not prevent the server from starting.
                if not self.started.done() and failures == _FIRST_STARTS:
                    self.started.set_exception(lost)
                    return
                self._on_loss(None, str(lost))
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                continue
            pause = _FIRST_PAUSE_SECONDS
            if not self.started.done():
                self.started.set_result(None)
            self.process = process
            pid, reason = process.pid, ""
            try:
                await self._serve(process)
            except ProcessLost as lost:
                reason = str(lost)
            except Exception as defect:  # noqa: BLE001 - no caller may wait for ever for a slot that has failed
                reason = f"the pool has a defect, {defect!r}"
                for job in self._jobs:
                    job.fail(defect)
                self._jobs.clear()
            finally:
                self.process = None
                ended = await process.stop()
            self.restarts += 1
            self._on_loss(pid, f"{reason}: it {ended}")
            self._recover(ended)

    async def _serve(self, process: SolverProcess) -> None:
        while True:
            await self._backlog.wait(process.lost)
            if process.lost.done():
                raise ProcessLost("a solver process has ended")
            await self._solve_chunk(process, self._backlog.take_chunk())

    async def _solve_chunk(self, process: SolverProcess, chunk: Sequence[Job[Result]]) -> None:
        """Solve a chunk; each caller receives its result as it arrives.

        Raises ProcessLost when the process has to be replaced; the jobs without a result are in `_jobs` then.
        """
        since = shipped = time.monotonic()
        self._jobs.extend(chunk)
        self._began = None
        process.send([job.entry for job in chunk])
        if await process.receive(BEGIN_SECONDS) is None:
            raise ProcessLost("a solver process does not begin")
        self._began = since
        expected = deque(chunk)
        while expected:
            job = expected[0]
            overrun = since + min(self._time_limit_seconds, max(job.seconds_left(since), 0)) + GRACE_SECONDS
            release = shipped + _RELEASE_SECONDS if len(self._jobs) > 1 else math.inf
            message = await process.receive(min(overrun, release) - time.monotonic())
            now = time.monotonic()
            if message is None and now < overrun:
                # The first one is hard. The process starts none of those behind it any more, so they need not wait.
                self._requeue(keep=1)
                continue
            expected.popleft()
            if isinstance(message, protocol.NotBegun):
                self._requeue(keep=0)
                continue
            if message is None:
                self._began = None
                job.settle(TimeLimit(objective=None, bound=None, seconds=now - since), process.pid, since, now)
                raise ProcessLost("a solver process overran its time limit")
            self._settle(job, message, process.pid)
            if self._jobs and self._jobs[0] is job:
                self._jobs.popleft()
            self.pace += (now - since - self.pace) * _PACE_WEIGHT
            self._began = since = now

    def _settle(self, job: Job[Result], message: protocol.Message, pid: int) -> None:
        # It may be queued or solved a second time, if it was moved just before the process began it.
        self._backlog.discard(job)
        match message:
            case protocol.Completed(result, began, ended):
                job.settle(self._decode(result), pid, began, ended)
            case protocol.Late():
                job.expire()
            case protocol.Refused(text):
                job.fail(InvalidPortfolio(text))
            case protocol.Failed(text, trace):
                fault = SolverFault(text)
                fault.add_note(trace)
                job.fail(fault)

    def _requeue(self, *, keep: int) -> None:
        """Return all but the first `keep` jobs to the queue: those that the process has not begun."""
        jobs = list(self._jobs)
        self._jobs = deque(jobs[:keep])
        self._backlog.requeue(jobs[keep:])

    def _recover(self, ended: str) -> None:
        """Requeue the portfolios of a lost process; the one it was solving gets a second attempt, not a third."""
        if self._began is not None and self._jobs:
            suspect = self._jobs[0]
            if suspect.crashed:
                self._jobs.popleft()
                crashed = Crashed(f"The solver process {ended} under this portfolio, as one had before.")
                suspect.settle(crashed, None, self._began, time.monotonic())
            suspect.crashed = True
        self._requeue(keep=0)
