"""The process that all methods run in, one at a time on one core, and that is killed where a method knows no limit."""

import gc
import multiprocessing
import os
import time
import warnings
from multiprocessing.connection import Connection

from benchmarks.solver.methods import METHODS, Method
from benchmarks.solver.results import Result
from solver import Portfolio

GRACE_SECONDS = 2.0

RUNS, RUNS_SECONDS = 5, 0.1
"""A method runs so often, or until it has run so long, and the fastest run counts: the method before it has emptied the
caches, which in a service that does one thing only are warm."""


class Workshop:
    """A process on one core, replaced after a kill. Close it when done."""

    def __init__(self) -> None:
        self._open()

    def run(self, method: str, portfolio: Portfolio, limit: float) -> Result:
        """Return the result of a method; unfinished if the process had to be killed."""
        self._ours.send((method, portfolio, limit))
        if self._ours.poll(limit + GRACE_SECONDS):
            response = self._ours.recv()
            assert isinstance(response, Result)
            return response
        self.close()
        self._open()
        return Result(quantities=None, finished=False, seconds=limit)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._ours.close()

    def _open(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._ours.recv()


def _work(connection: Connection) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    warnings.simplefilter("ignore")
    gc.collect()
    gc.freeze()
    connection.send(None)
    while True:
        name, portfolio, limit = connection.recv()
        response, seconds = _timed(METHODS[name], portfolio, limit)
        times = [seconds]
        while len(times) < RUNS and sum(times) < RUNS_SECONDS:
            times.append(_timed(METHODS[name], portfolio, limit)[1])
        connection.send(Result(response.quantities, response.finished, min(times)))


def _timed(method: Method, portfolio: Portfolio, limit: float) -> tuple[Result, float]:
    started = time.process_time()
    response = method(portfolio, limit)
    return response, time.process_time() - started
