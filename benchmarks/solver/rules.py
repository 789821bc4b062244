"""What rules cost: each rule alone and together on realistic books, and contributions whose cash binds.

Proven is a book that is solved or proven infeasible within the limit.
"""

import random
import statistics
import time
import zlib
from collections.abc import Iterator
from decimal import Decimal

from msgspec import Struct
from rich.box import SIMPLE
from rich.table import Table

from benchmarks.solver.portfolios import realistic
from solver import (
    Bands,
    Direction,
    Goal,
    Portfolio,
    Rules,
    TimeLimit,
    TradeScope,
    solve,
)

REPEATS = 3
"""Solves of each portfolio, of which the fastest counts; the same without rules, in turn, is what it is measured in."""

CONTRIBUTION = Decimal("0.02")
"""Part of the market value that is contributed where cash binds."""

EVERYDAY: dict[str, Rules | None] = {
    "no rules": None,
    "minimumTradeValue 500": Rules(minimum_trade_value=Decimal(500)),
    "OUT_OF_BAND": Rules(trade=TradeScope.OUT_OF_BAND),
    "feeRate 0.0005": Rules(fee_rate=Decimal("0.0005")),
    "feePerOrder 1": Rules(fee_per_order=Decimal(1)),
    "lotSize 0.001": Rules(lot_size=Decimal("0.001")),
    "BAND": Rules(goal=Goal.BAND),
    "PREFERRED": Rules(bands=Bands.PREFERRED),
    "SELL_ONLY, PREFERRED": Rules(direction=Direction.SELL_ONLY, bands=Bands.PREFERRED),
    "all of them": Rules(
        bands=Bands.PREFERRED,
        trade=TradeScope.OUT_OF_BAND,
        minimum_trade_value=Decimal(500),
        minimum_cash=Decimal(1000),
        fee_rate=Decimal("0.0005"),
        fee_per_order=Decimal(1),
    ),
}
"""Rules on realistic books; the first row is what the others are measured in."""

BUY = Rules(direction=Direction.BUY_ONLY, bands=Bands.PREFERRED)

CONTRIBUTIONS: dict[str, Rules] = {
    "BUY_ONLY": BUY,
    "BUY_ONLY, minimumTradeValue 500": Rules(
        direction=Direction.BUY_ONLY, bands=Bands.PREFERRED, minimum_trade_value=Decimal(500)
    ),
    "BUY_ONLY, feePerOrder 5": Rules(direction=Direction.BUY_ONLY, bands=Bands.PREFERRED, fee_per_order=Decimal(5)),
    "BUY_ONLY, lotSize 0.001": Rules(direction=Direction.BUY_ONLY, bands=Bands.PREFERRED, lot_size=Decimal("0.001")),
}
"""Rules on invested books to which money is added."""


class Row(Struct, frozen=True):
    """The solves of one kind of rules and one size, and of realistic books without rules."""

    seconds: list[float]
    without: list[float]
    proven: int


def contribution(chance: random.Random, count: int) -> Portfolio:
    """Build an invested, realistic book with new money: cash binds unless hardly anything is below its target."""
    while True:
        book = realistic(chance, count)
        held = sum((row.price * row.quantity for row in book.securities), Decimal(0))
        if held:
            return Portfolio(book.securities, (held * CONTRIBUTION).quantize(Decimal("0.01")))


def table(sizes: tuple[int, ...], count: int, limit: float, seed: int) -> Table:
    """Solve books by every rule and return medians, in milliseconds and in multiples of the time without rules."""
    found = Table(
        title=f"Rules, {count} portfolios of each size: median in milliseconds (multiples of no rules), slowest",
        box=SIMPLE,
    )
    found.add_column("")
    for size in sizes:
        found.add_column(f"{size}", justify="right")
    found.add_column("proven, all sizes", justify="right")
    for name, rules, make in _kinds():
        rows = [_row(rules, make, size, count, limit, seed) for size in sizes]
        cells = []
        for row in rows:
            median = statistics.median(row.seconds)
            multiple = median / statistics.median(row.without)
            cells.append(f"{median * 1e3:.2f} ({multiple:.1f}), {max(row.seconds) * 1e3:.1f}")
        found.add_row(name, *cells, f"{sum(row.proven for row in rows)} of {count * len(sizes)}")
    return found


def _kinds() -> Iterator[tuple[str, Rules | None, str]]:
    for name, rules in EVERYDAY.items():
        yield name, rules, "realistic"
    for name, some in CONTRIBUTIONS.items():
        yield f"contribution: {name}", some, "contribution"


def _row(rules: Rules | None, make: str, size: int, count: int, limit: float, seed: int) -> Row:
    seconds: list[float] = []
    without: list[float] = []
    proven = 0
    for number in range(count):
        chance = random.Random(zlib.crc32(f"{seed} {make} {size} {number}".encode()))
        portfolio = realistic(chance, size) if make == "realistic" else contribution(chance, size)
        outcome = solve(portfolio, rules=rules, time_limit_seconds=limit)
        base = portfolio if make == "realistic" else realistic(chance, size)
        pairs = [(_timed(portfolio, rules, limit), _timed(base, None, limit)) for _ in range(REPEATS)]
        seconds.append(min(with_rules for with_rules, _ in pairs))
        without.append(min(without_rules for _, without_rules in pairs))
        proven += not isinstance(outcome, TimeLimit)
    return Row(seconds, without, proven)


def _timed(portfolio: Portfolio, rules: Rules | None, limit: float) -> float:
    started = time.thread_time()
    solve(portfolio, rules=rules, time_limit_seconds=limit)
    return time.thread_time() - started
