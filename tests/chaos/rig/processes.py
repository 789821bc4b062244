"""The service's processes, found from the outside: its worker, its solvers, and whatever is left of a stack."""

import os
import time
from collections import Counter
from contextlib import suppress

import psutil

from tests.system.processes import MARK

MEGABYTE = 2**20


class ServiceProcesses:
    """What a running `order-generation serve` consists of at the moment it is asked."""

    def __init__(self, server: int) -> None:
        self._server = psutil.Process(server)

    def worker(self) -> psutil.Process:
        """The process that answers HTTP.

        Raises:
            psutil.NoSuchProcess: it died and has no successor yet.
        """
        for child in self._server.children():
            if child.status() != psutil.STATUS_ZOMBIE:
                return child
        raise psutil.NoSuchProcess(self._server.pid, msg="the server has no worker now")

    def solvers(self) -> list[psutil.Process]:
        """The solver processes, children of the worker's fork server."""
        found: list[psutil.Process] = []
        try:
            for helper in self.worker().children():
                found += helper.children()
        except psutil.NoSuchProcess:
            pass
        return found

    def megabytes(self) -> int:
        """Memory of all of them, server and solvers included, each shared page counted once: what a pod is billed."""
        total = 0
        for process in (self._server, *self._server.children(recursive=True)):
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


def marked(mark: str) -> list[psutil.Process]:
    """Every living process that carries this mark in its environment, this one excepted."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.pid != os.getpid()
                and process.environ().get(MARK) == mark
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


def await_end(mark: str, seconds: float = 15) -> list[str]:
    """Wait until no process with this mark is left; give the command lines of those that are, which are then killed."""
    until = time.monotonic() + seconds
    while (left := marked(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    told = []
    for process in left:
        try:
            told.append(" ".join(process.cmdline()))
            process.kill()
        except psutil.Error:
            continue
    return told
