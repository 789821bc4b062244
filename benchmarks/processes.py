"""The processes of a stack, seen from the outside: what each part uses of processors and memory."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum

import psutil
from msgspec import Struct

MEBIBYTE = 2**20
LOOK_SECONDS = 0.02


class Part(StrEnum):
    """A part of a stack."""

    API = "API process"
    SOLVERS = "solver processes"
    MONGODB = "mongod"
    SIMULATOR = "simulator"


def service_processes(server: int) -> list[psutil.Process]:
    """Return every process of the service whose server process has this number, the server first."""
    process = psutil.Process(server)
    return [process, *process.children(recursive=True)]


def api_process(server: int) -> psutil.Process:
    """Return the process that serves HTTP: the child of the server process."""
    return psutil.Process(server).children()[0]


def solver_processes(server: int) -> list[psutil.Process]:
    """Return the children of the API process: the solvers and the process that forks them."""
    return api_process(server).children(recursive=True)


def solver_count(server: int) -> int:
    """How many of them solve: those that the API process has not started itself."""
    api = api_process(server)
    return sum(process.ppid() != api.pid for process in api.children(recursive=True))


def upstreams() -> dict[Part, list[psutil.Process]]:
    """Return the database and the simulator that this process has started."""
    family = psutil.Process().children(recursive=True)
    return {
        Part.MONGODB: [process for process in family if process.name() == "mongod"],
        Part.SIMULATOR: [process for process in family if "simulator" in process.cmdline()],
    }


def parts(*servers: int) -> dict[Part, list[psutil.Process]]:
    """Return the processes of a stack with these services, by part."""
    return {
        Part.API: [api_process(server) for server in servers],
        Part.SOLVERS: [process for server in servers for process in solver_processes(server)],
        **upstreams(),
    }


def cpu_seconds(some: Mapping[Part, list[psutil.Process]]) -> dict[Part, float]:
    """Processor time that each part has used so far, to a hundredth of a second."""
    return {part: sum(_cpu_seconds(process) for process in processes) for part, processes in some.items()}


def started_cpu_seconds() -> float:
    """Processor time that everything this process has started, and that still runs, has used so far."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += _cpu_seconds(process)
    return total


def proportional_memory(processes: list[psutil.Process]) -> float:
    """Memory of them together in MiB, each shared page counted once: what a pod is billed."""
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / MEBIBYTE


class Peak(Struct):
    """The most memory that was seen in MiB: resident of the API process, proportional of the whole service."""

    api: float = 0.0
    service: float = 0.0


@contextmanager
def peak_memory(server: int) -> Iterator[Peak]:
    """Sample the service's memory for as long as the block lasts, fifty times a second."""
    peak, ended = Peak(), threading.Event()

    def watch() -> None:
        while True:
            peak.api = max(peak.api, api_process(server).memory_info().rss / MEBIBYTE)
            peak.service = max(peak.service, proportional_memory(service_processes(server)))
            if ended.wait(LOOK_SECONDS):
                return

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield peak
    finally:
        ended.set()
        watching.join()


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
