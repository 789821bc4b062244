"""How many portfolios reach the time limit if cash binds and only purchases are allowed, in all random families.

    ./run bench solver --binding 10000

Seconds of the limit are those of the clock, so a machine that is busy with other work needs a longer one.
"""

import random
import statistics
import time
import zlib

from rich.box import SIMPLE
from rich.table import Table

from benchmarks.solver.portfolios import HARD
from benchmarks.solver.rules import CONTRIBUTIONS, contribution
from solver import TimeLimit, solve

FAMILIES = {"contribution": contribution} | HARD
KINDS = ("BUY_ONLY", "BUY_ONLY, minimumTradeValue 500")


def table(size: int, count: int, limit: float, seed: int) -> Table:
    """Solve `count` portfolios by each kind of rules, and return medians and maxima and who reached the limit."""
    found = Table(title=f"{count} portfolios of {size} securities by each kind of rules, limit {limit:g} s", box=SIMPLE)
    for column in ("rules", "family", "portfolios", "median, ms", "slowest, ms", "at the limit"):
        found.add_column(column, justify="right" if found.columns[1:] else "left")
    for kind in KINDS:
        for position, family in enumerate(FAMILIES):
            numbers = range(position, count, len(FAMILIES))
            results = [_solved(kind, family, size, number, limit, seed) for number in numbers]
            if results:
                seconds = [taken for taken, _ in results]
                found.add_row(
                    kind,
                    family,
                    str(len(results)),
                    f"{statistics.median(seconds) * 1e3:.1f}",
                    f"{max(seconds) * 1e3:.0f}",
                    str(sum(reached for _, reached in results)),
                )
    return found


def _solved(kind: str, family: str, size: int, number: int, limit: float, seed: int) -> tuple[float, bool]:
    """Return processor time of a portfolio, and whether it reached the limit."""
    portfolio = FAMILIES[family](random.Random(zlib.crc32(f"{seed} {family} {size} {number}".encode())), size)
    started = time.thread_time()
    outcome = solve(portfolio, rules=CONTRIBUTIONS[kind], time_limit_seconds=limit)
    return time.thread_time() - started, isinstance(outcome, TimeLimit)
