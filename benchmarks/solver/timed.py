"""Solves portfolios with the solver of one checkout, and prints the processor time of each.

Started by `benchmarks.solver.checkouts`, with the folder of the checkout as its argument: it uses nothing but that
solver and the standard library, so that it runs with older checkouts too. Each line of input is a portfolio as JSON.
"""

import json
import sys
import time
from decimal import Decimal

sys.path.insert(0, sys.argv[1])

from solver import Portfolio, Security, solve

REPEATED = 5
"""Solves in one run, because a clock of processor time is coarse."""


def main() -> None:
    """Solve the portfolios of standard input."""
    for line in sys.stdin:
        cash, rows = json.loads(line)
        portfolio = Portfolio(tuple(Security(name, *map(Decimal, numbers)) for name, *numbers in rows), Decimal(cash))
        outcome = solve(portfolio)
        started = time.process_time()
        for _ in range(REPEATED):
            solve(portfolio)
        seconds = (time.process_time() - started) / REPEATED
        path = getattr(outcome, "path", type(outcome).__name__)
        print(json.dumps([seconds, str(path), str(getattr(outcome, "objective", ""))]), flush=True)


main()
