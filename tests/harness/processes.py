"""The service's processes, found from the outside: its worker, its solvers, and whatever is left of a stack."""

import asyncio
import os
import signal
import time
from collections import Counter
from contextlib import suppress

import psutil

from tests.harness.commands import MARK, marked

SERVICE_MARK = "ORDER_GENERATION_SERVICE_MARK"
MEGABYTE = 2**20
PATIENCE_SECONDS = 100
"""For processes to be replaced: they have to import and to warm up, however busy the machine."""


class ServiceProcesses:
    """What a running `order-generation serve` consists of at the moment it is asked.

    Args:
        server: process id of the command.
        mark: what this service alone has in the environment of all its processes, as `SERVICE_MARK`.
    """

    def __init__(self, server: int, mark: str) -> None:
        self._server = psutil.Process(server)
        self._mark = mark

    def worker(self) -> psutil.Process:
        """The process that responds HTTP.

        Raises:
            psutil.NoSuchProcess: it died and has no successor yet.
        """
        for child in self._server.children():
            if child.status() != psutil.STATUS_ZOMBIE:
                return child
        raise psutil.NoSuchProcess(self._server.pid, msg="the server has no worker now")

    def solvers(self) -> list[psutil.Process]:
        """The solver processes: what a fork server has begun, which is not always alive to be their parent still."""
        found: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            worker = self.worker()
            for process in _others(SERVICE_MARK, self._mark):
                with suppress(psutil.Error):
                    if process.ppid() != worker.pid and "multiprocessing.forkserver" in " ".join(process.cmdline()):
                        found.append(process)
        return found

    def fork_server(self) -> psutil.Process | None:
        """The parent of the solver processes to come, where there is one now."""
        with suppress(psutil.Error):
            for helper in self.worker().children():
                if "multiprocessing.forkserver" in " ".join(helper.cmdline()):
                    return helper
        return None

    def signal_solvers(self, number: signal.Signals, count: int) -> int:
        """Send a signal to so many solver processes; returns how many got it."""
        sent = 0
        for solver in self.solvers()[:count]:
            with suppress(psutil.NoSuchProcess):
                solver.send_signal(number)
                sent += 1
        return sent

    async def await_solvers(self, count: int) -> None:
        """Wait until the pool is whole."""
        until = time.monotonic() + PATIENCE_SECONDS
        while len(self.solvers()) < count:
            assert time.monotonic() < until, "a solver process is missing"
            await asyncio.sleep(0.05)

    def megabytes(self) -> int:
        """Memory of all of them, server and solvers included, each shared page counted once: what a pod is billed."""
        total = 0
        for process in _others(SERVICE_MARK, self._mark):
            with suppress(psutil.Error):
                total += process.memory_full_info().pss
        return total // MEGABYTE

    def sockets(self, ports: frozenset[int]) -> Counter[str]:
        """The worker's TCP connections to these ports, by state."""
        return Counter(
            connection.status
            for connection in self.worker().net_connections("tcp")
            if ports.intersection(connection.raddr[1:])
        )


def _others(name: str, mark: str) -> list[psutil.Process]:
    """Return every living process that carries this mark in its environment, this one excepted."""
    return [process for process in marked(name, mark) if process.pid != os.getpid()]


def await_end(mark: str, seconds: float = 60) -> list[str]:
    """Wait until no process with this mark is left; give the command lines of those that are, which are then killed."""
    until = time.monotonic() + seconds
    while (left := _others(MARK, mark)) and time.monotonic() < until:
        time.sleep(0.1)
    told = []
    for process in left:
        with suppress(psutil.Error):
            told.append(" ".join(process.cmdline()))
            process.kill()
    return told
