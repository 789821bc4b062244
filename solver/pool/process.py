"""A solver process seen from the server: forked, spoken to over a socket, killed when it must be."""

import asyncio
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.process import BaseProcess

import msgspec

from solver.pool import slot
from solver.problem import SolverStrategy

START_SECONDS = 60.0
"""A process that has not solved its first portfolio by then is given up; the very first one waits for the imports."""

_END_SECONDS = 5.0

_decode = msgspec.msgpack.Decoder(slot.Message).decode


class ProcessLost(Exception):
    """The solver process has ended, or what it sends makes no sense."""


class SolverProcess:
    """One solver process, warm and waiting for chunks. Made by `start`, and always to be ended by `stop`."""

    def __init__(self, process: BaseProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._messages: asyncio.Queue[slot.Message] = asyncio.Queue()
        self._closed_by_process = False
        self.lost: asyncio.Task[None] = asyncio.create_task(self._read())
        """Done when the process can no longer be heard."""

    @classmethod
    async def start[Question, Answer](
        cls, work: slot.Work[Question, Answer], strategy: SolverStrategy, time_limit_seconds: float
    ) -> "SolverProcess":
        """Forks a process and waits until it has solved a portfolio of its own.

        Raises ProcessLost when it dies over that or takes longer than START_SECONDS. A cancelled start leaves nothing.
        """
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["solver.pool.preload", work.run.__module__, "solver.pool.preloaded"])
        ours, theirs = socket.socketpair()
        with theirs:
            process = context.Process(
                target=slot.serve, args=(theirs, work, strategy, time_limit_seconds), name="solver", daemon=True
            )
            started = cls(process, *await asyncio.open_unix_connection(sock=ours))
            try:
                # The first start waits for the fork server to import everything.
                await _in_thread(process.start)
            except (OSError, EOFError) as error:
                await started.stop()
                raise ProcessLost("the fork server of the solver processes does not answer") from error
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

    def send(self, chunk: Sequence[slot.Task]) -> None:
        """Hands over a chunk. Only for a process that has answered the one before to its end."""
        body = slot.encode(chunk)
        self._writer.write(len(body).to_bytes(slot.LENGTH_BYTES) + body)

    async def receive(self, seconds: float) -> slot.Message | None:
        """The next message, or None when there is none in that time.

        Raises ProcessLost when the process has ended and everything it sent before has been received.
        """
        try:
            if not self._messages.empty():
                return self._messages.get_nowait()
            async with asyncio.timeout(seconds):
                return await self._messages.get()
        except TimeoutError:
            return None
        except asyncio.QueueShutDown:
            raise ProcessLost("a solver process has ended") from None

    async def stop(self) -> str:
        """Kills the process unless it has ended, waits until it is gone, and says how it ended."""
        self._writer.close()
        self.lost.cancel()
        if self._process.pid is None:
            return "did not start"
        if not self._closed_by_process:
            self._kill()
        await _in_thread(self._join)
        code = self._process.exitcode
        if code is None:
            return "cannot be killed"
        self._process.close()
        if code == slot.OUT_OF_MEMORY:
            return "ran out of memory"
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def _join(self) -> None:
        self._process.join(_END_SECONDS)
        if self._process.exitcode is None:
            self._kill()
            self._process.join(_END_SECONDS)

    def _kill(self) -> None:
        # Process.kill does nothing once the fork server is dead, because it then takes its children for dead too.
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    async def _read(self) -> None:
        try:
            while True:
                length = int.from_bytes(await self._reader.readexactly(slot.LENGTH_BYTES))
                self._messages.put_nowait(_decode(await self._reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            self._closed_by_process = True
        except msgspec.DecodeError:
            pass
        finally:
            self._messages.shutdown()


async def _in_thread(call: Callable[[], None]) -> None:
    """Runs a call that blocks, and returns or raises only when it has ended, even when cancelled."""
    running = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait((running,))
        raise
