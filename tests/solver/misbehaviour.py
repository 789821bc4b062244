"""A solve function that misbehaves as the first security's id tells it to, for tests of what a pool makes of that."""

import os
import resource
import signal
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import psutil

from solver import Outcome, Portfolio, Security, SolverStrategy, TimeLimit
from solver import solve as solve_exactly
from solver.pool import SolverPool

type PortfolioPool = SolverPool[Portfolio, Outcome]
"""A pool that solves portfolios."""

type Behaviour = Callable[[str, float], Outcome | None]
"""Takes its argument and the time limit in seconds; the portfolio is solved in earnest when it returns None."""


def behave(_argument: str, _limit: float) -> None:
    """Only solve."""


def hang(_argument: str, _limit: float) -> None:
    """Never come back."""
    time.sleep(3600)


def spin(_argument: str, _limit: float) -> None:
    """Never come back, and compute all the while."""
    while time.monotonic() > 0:
        pass


def stop(_argument: str, _limit: float) -> None:
    """Be stopped, as by SIGSTOP from outside, every thread of the process."""
    os.kill(os.getpid(), signal.SIGSTOP)


def spend(_argument: str, limit: float) -> Outcome:
    """Use up the time limit, and return how long it was."""
    time.sleep(limit)
    return TimeLimit(objective=Decimal(2), bound=Decimal(1), seconds=limit)


def nap(_argument: str, _limit: float) -> None:
    """Sleep ten times as long as a chunk may last, then solve."""
    time.sleep(0.5)


def record(path: str, limit: float) -> None:
    """Add the process to a file, then nap."""
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
    nap(path, limit)


def die(_argument: str, _limit: float) -> None:
    """Be killed as by the kernel."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(path: str, limit: float) -> None:
    """Be killed unless the file exists; make it."""
    if not Path(path).exists():
        Path(path).touch()
        die(path, limit)


def eat(_argument: str, _limit: float) -> None:
    """Allocate more memory than is allowed."""
    resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
    bytearray(2**32)


def hoard(_argument: str, _limit: float) -> None:
    """Allocate half a gibibyte, piece by piece, without a limit of its own."""
    [bytearray(2**24) for _ in range(32)]


def leave(_argument: str, _limit: float) -> None:
    """End the process in good order."""
    raise SystemExit(3)


def fail(_argument: str, _limit: float) -> None:
    """Raise an exception, as a defect would."""
    raise ZeroDivisionError("a defect")


BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (behave, hang, spin, stop, spend, nap, record, die, die_once, eat, hoard, leave, fail)
}


def portfolio(behaviour: Behaviour = behave, argument: object = "", *, cash: str = "1000") -> Portfolio:
    """A portfolio of one security, which makes `solve` behave so."""
    security = Security(
        security_id=f"{behaviour.__name__}:{argument}",
        price=Decimal("7.5"),
        target=Decimal("0.5"),
        low_drift=Decimal("0.1"),
        high_drift=Decimal("0.1"),
    )
    return Portfolio((security,), Decimal(cash))


def solve(portfolio: Portfolio, *, strategy: SolverStrategy, time_limit_seconds: float) -> Outcome:
    """Misbehaves as told, then solves if it still can."""
    name, _, argument = portfolio.securities[0].security_id.partition(":")
    outcome = BEHAVIOURS.get(name, behave)(argument, time_limit_seconds)
    return outcome or solve_exactly(portfolio, strategy=strategy, time_limit_seconds=time_limit_seconds)


def broken_solve(portfolio: Portfolio, *, strategy: SolverStrategy, time_limit_seconds: float) -> Outcome:
    """Ends its process on every portfolio, the one that warms it included."""
    os._exit(9)


def stuck_solve(portfolio: Portfolio, *, strategy: SolverStrategy, time_limit_seconds: float) -> Outcome:
    """Never comes back from any portfolio, the one that warms a process included."""
    time.sleep(3600)
    raise AssertionError("nobody killed this process")


def fork_server() -> psutil.Process | None:
    """The fork server of this process, if there is one."""
    for child in psutil.Process().children():
        if child.status() != psutil.STATUS_ZOMBIE and "forkserver" in " ".join(child.cmdline()):
            return child
    return None


def solver_processes() -> list[psutil.Process]:
    """The solver processes of this process: the children of its fork server."""
    server = fork_server()
    return server.children() if server else []
