"""A pool of solver processes that survives processes which hang, crash or are killed."""

from solver.pool.backlog import PoolClosed, Solved, SolverFault
from solver.pool.pool import Overloaded, PoolFigures, SolverPool
from solver.pool.process import ProcessLost
from solver.pool.worker import EXAMPLE, Work, solving

__all__ = [
    "EXAMPLE",
    "Overloaded",
    "PoolClosed",
    "PoolFigures",
    "ProcessLost",
    "Solved",
    "SolverFault",
    "SolverPool",
    "Work",
    "solving",
]
