"""How a solver pool ends with its server: nothing is left behind, and nothing is printed, however the server ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

SERVER = """
import asyncio, sys
from solver.pool import SolverPool, solving
from tests.solver import misbehaviour

async def main():
    async with SolverPool(processes=2, work=solving(misbehaviour.solve)) as pool:
        portfolios = [misbehaviour.portfolio(misbehaviour.BEHAVIOURS[name]) for name in sys.argv[1:]]
        asked = asyncio.gather(*(pool.solve(one, lane=1) for one in portfolios), return_exceptions=True)
        await asyncio.sleep(0.3)
        print("open", flush=True)
        await asyncio.sleep(60)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
"""


@contextmanager
def server(*behaviours: str) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A process with an open pool, alone in its process group, and all its descendants."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, *behaviours],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        descendants: list[psutil.Process] = []
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            descendants = psutil.Process(process.pid).children(recursive=True)
            assert len(descendants) == 4, "two solver processes, their fork server, and Python's resource tracker"
            yield process, descendants
        finally:
            process.kill()
            for left in descendants:
                with suppress(psutil.NoSuchProcess):
                    left.kill()


def end_quietly(process: subprocess.Popen[str], descendants: list[psutil.Process]) -> None:
    """Fails the test unless all processes end and none of them has anything to say about it."""
    assert psutil.wait_procs(descendants, timeout=60)[1] == []
    assert process.stderr is not None
    assert process.stderr.read() == ""


BUSY = pytest.mark.parametrize("busy", [[], ["hang", "spin", "hang"]], ids=["idle", "busy"])


@BUSY
def test_a_server_killed_with_9_leaves_no_process(busy: list[str]) -> None:
    """Fork server and solvers end with it, idle or busy."""
    with server(*busy) as (process, descendants):
        process.kill()
        end_quietly(process, descendants)


@BUSY
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_process_group_ends_everything_quietly(busy: list[str], number: signal.Signals) -> None:
    """As Ctrl-C in a terminal does: the solver processes leave it to the server, and print no tracebacks."""
    with server(*busy) as (process, descendants):
        os.killpg(process.pid, number)
        end_quietly(process, descendants)
