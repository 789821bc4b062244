"""A solve function that prints in every way a library can."""

import os
import sys
import traceback

from solver import Outcome, Portfolio, SolverStrategy
from solver import solve as solve_exactly


def solve(portfolio: Portfolio, *, strategy: SolverStrategy, time_limit_seconds: float) -> Outcome:
    """Print, complain, show a traceback and solve."""
    print("printed by Python", flush=True)
    os.write(1, b"printed by C\n")
    print("complained", file=sys.stderr, flush=True)
    try:
        raise RuntimeError("the last words")
    except RuntimeError:
        traceback.print_exc()
    return solve_exactly(portfolio, strategy=strategy, time_limit_seconds=time_limit_seconds)
