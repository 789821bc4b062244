"""A solve function that prints in every way a library can."""

import os
import sys
import traceback

from solver import cascade
from solver.problem import Outcome, Portfolio, SolverStrategy


def solve(portfolio: Portfolio, *, strategy: SolverStrategy, time_limit_seconds: float) -> Outcome:
    """Print, complain, show a traceback and solve."""
    print("printed by Python", flush=True)
    os.write(1, b"printed by C\n")
    print("complained", file=sys.stderr, flush=True)
    try:
        raise RuntimeError("the last words")
    except RuntimeError:
        traceback.print_exc()
    return cascade.solve(portfolio, strategy=strategy, time_limit_seconds=time_limit_seconds)
