"""A solve function that does what the first security's id says, for tests of what a pool makes of it."""

import os
import resource
import signal
import time
from decimal import Decimal
from pathlib import Path

import psutil

from solver import cascade
from solver.problem import Outcome, Portfolio, Security, SolverStrategy, TimeLimit

HANG = "hang"
"""Never come back."""
SPEND = "spend"
"""Use the time limit up, and answer how much it was."""
NAP = "nap"
"""Take twice the time that a chunk has, then solve."""
DIE = "die"
"""Be killed as by the kernel."""
EAT = "eat"
"""Allocate more memory than there is."""
BREAK = "break"
"""Raise an exception, as a defect would."""
EXIT = "exit"
"""End the process in good order."""
CRASH_ONCE = "crash-once"
"""Die, but only when the file that follows, after a colon, is not there yet; then solve."""
RECORD = "record"
"""Add the process to the file that follows, after a colon, take a while, then solve."""


def portfolio(behaviour: str = "A", cash: str = "1000") -> Portfolio:
    """A portfolio of one security, which makes `solve` behave so."""
    half = Decimal("0.5")
    return Portfolio(
        (Security(behaviour, Decimal("7.5"), Decimal(0), half, Decimal("0.1"), Decimal("0.1")),), Decimal(cash)
    )


def solve(portfolio: Portfolio, *, strategy: SolverStrategy, time_limit_seconds: float) -> Outcome:
    """Misbehaves as told, else solves."""
    behaviour, _, path = portfolio.securities[0].security_id.partition(":")
    match behaviour:
        case "hang":
            time.sleep(3600)
        case "spend":
            time.sleep(time_limit_seconds)
            return TimeLimit(objective=Decimal(2), bound=Decimal(1), seconds=time_limit_seconds)
        case "nap":
            time.sleep(0.1)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "eat":
            resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
            bytearray(2**32)
        case "break":
            raise ZeroDivisionError("a defect")
        case "exit":
            raise SystemExit(3)
        case "crash-once" if not Path(path).exists():
            Path(path).touch()
            os.abort()
        case "record":
            with Path(path).open("a") as record:
                record.write(f"{os.getpid()}\n")
            time.sleep(0.1)
    return cascade.solve(portfolio, strategy=strategy, time_limit_seconds=time_limit_seconds)


def broken_solve(portfolio: Portfolio, *, strategy: SolverStrategy, time_limit_seconds: float) -> Outcome:
    """Fails on every portfolio, the one that warms a process included."""
    os._exit(9)


def stuck_solve(portfolio: Portfolio, *, strategy: SolverStrategy, time_limit_seconds: float) -> Outcome:
    """Never comes back from any portfolio, the one that warms a process included."""
    time.sleep(3600)
    raise AssertionError


def solver_processes() -> list[psutil.Process]:
    """The solver processes of this process: the children of its fork server."""
    return [child for child in psutil.Process().children(recursive=True) if child.ppid() != os.getpid()]
