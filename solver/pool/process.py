"""The server's view of a solver process: it is forked, connected by a socket, and killed."""

import asyncio
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.process import BaseProcess

from solver.pool import protocol
from solver.pool.channel import Channel
from solver.pool.worker import Work, serve
from solver.problem import SolverStrategy

START_SECONDS = 60.0
"""After this, a process that has not solved its first portfolio is killed; the very first one waits for the imports."""

_END_SECONDS = 5.0


class ProcessLost(Exception):
    """The solver process has ended, or has sent something that is no message."""


class SolverProcess:
    """One solver process, warm and waiting for chunks; created by `start`. Every instance must be ended with `stop`."""

    def __init__(self, process: BaseProcess, channel: Channel) -> None:
        self._process = process
        self._channel = channel

    @property
    def lost(self) -> asyncio.Future[None]:
        """Done when no more messages of the process can arrive."""
        return self._channel.lost

    @classmethod
    async def start[Problem, Result](
        cls, work: Work[Problem, Result], strategy: SolverStrategy, time_limit_seconds: float
    ) -> "SolverProcess":
        """Fork a process and wait until it has solved a portfolio of its own.

        Raises ProcessLost when it dies before that or needs more than START_SECONDS. A cancelled start leaves nothing.
        """
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["solver.pool.preload", work.run.__module__, "solver.pool.preloaded"])
        ours, theirs = socket.socketpair()
        with theirs:
            process = context.Process(
                target=serve, args=(theirs, work, strategy, time_limit_seconds), name="solver", daemon=True
            )
            _, channel = await asyncio.get_running_loop().create_unix_connection(Channel, sock=ours)
            started = cls(process, channel)
            try:
                # The first start waits for the fork server to import everything.
                await _in_thread(process.start)
            except (OSError, EOFError) as error:
                await started.stop()
                reason = str(error) or "it has ended"
                raise ProcessLost(f"the fork server of the solver processes does not respond: {reason}") from error
            except asyncio.CancelledError:
                await started.stop()
                raise
        try:
            ready = await started.receive(START_SECONDS)
        except ProcessLost:
            raise ProcessLost(f"a new solver process {await started.stop()}") from None
        except asyncio.CancelledError:
            await started.stop()
            raise
        if ready is None:
            await started.stop()
            raise ProcessLost(f"a new solver process was not ready after {START_SECONDS:.0f} seconds")
        return started

    @property
    def pid(self) -> int:
        """The operating system's number for it."""
        assert self._process.pid is not None
        return self._process.pid

    def send(self, chunk: Sequence[protocol.ChunkEntry]) -> None:
        """Send a chunk. Only for a process that has completed its previous one."""
        self._channel.send(chunk)

    async def receive(self, seconds: float) -> protocol.Message | None:
        """Return the next message, or None if none arrives in time.

        Raises ProcessLost when the process has ended and everything it sent before has been received.
        """
        message = await self._channel.receive(seconds)
        if message is None and self.lost.done():
            raise ProcessLost("a solver process has ended")
        return message

    async def stop(self) -> str:
        """Kill the process unless it has ended, wait until it is gone, and return how it ended."""
        self._channel.close()
        if self._process.pid is None:
            return "did not start"
        if not self._channel.closed_by_process:
            self._kill()
        await _in_thread(self._join)
        code = self._process.exitcode
        if code is None:
            return "cannot be killed"
        self._process.close()
        if code == protocol.OUT_OF_MEMORY:
            return "ran out of memory"
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def _join(self) -> None:
        self._process.join(_END_SECONDS)
        if self._process.exitcode is None:
            self._kill()
            self._process.join(_END_SECONDS)

    def _kill(self) -> None:
        # Process.kill does nothing if the fork server is dead, because it then considers its children dead too.
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


async def _in_thread(call: Callable[[], None]) -> None:
    """Run a call that blocks, and return or raise only when it has ended, even when cancelled."""
    running = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait((running,))
        raise
