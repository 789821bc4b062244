"""The whole problem under rules as an integer program in CVXPY and HiGHS: lots bought and sold, binaries for jumps.

As in `solver.milp`, floats are never trusted: what HiGHS returns is rounded, brought into the allowed quantities and
verified. Level 1 weighs more than level 2 by a factor that exceeds the market value, as far as floats can tell.
"""

from collections.abc import Sequence
from typing import Any

import cvxpy as cp
import numpy as np
from cvxpy.atoms.affine.binary_operators import multiply
from cvxpy.atoms.affine.sum import sum as total
from cvxpy.atoms.elementwise.maximum import maximum
from cvxpy.atoms.norm1 import norm1
from numpy.typing import NDArray

from solver.milp import run
from solver.ruled.allowed import Interval, Line
from solver.ruled.book import Book
from solver.rules import Bands, Goal

OUTSIDE_WEIGHT = 1000.0
"""Money outside the bands counts this many times: one unit of it saves at most a few units of level 2."""

type Piece = tuple[int, int, int]
"""Position of a line, and first and last trade of one of its progressions, none of which crosses 0."""


def solve_milp(
    book: Book, lines: Sequence[Line], choices: Sequence[Sequence[Interval]], time_limit_seconds: float
) -> list[int] | None:
    """Minimise levels 1 and 2 over the allowed quantities and the cash.

    Returns:
        A trade in lots for each line, within its progressions but otherwise unverified; None if HiGHS found nothing.
    """
    pieces = [
        (position, first, last)
        for position, some in enumerate(choices)
        for low, high in some
        for first, last in ((low, min(high, -1)), (max(low, 0), min(high, 0)), (max(low, 1), high))
        if first <= last
    ]
    unit = max(line.lot_value for line in lines)
    owners, firsts, spans = (np.array(column) for column in zip(*((p, f, a - f) for p, f, a in pieces), strict=True))
    chosen = cp.Variable(len(pieces), boolean=True)
    extra = cp.Variable(len(pieces), integer=True, bounds=[np.zeros(len(pieces)), spans.astype(np.float64)])
    picks = np.zeros((len(lines), len(pieces)))
    picks[owners, np.arange(len(pieces))] = 1.0
    first_floats = firsts.astype(np.float64)
    trades = picks @ (extra + multiply(first_floats, chosen))
    signs = np.sign(first_floats)
    lots = picks @ (multiply(signs, extra) + multiply(np.abs(first_floats), chosen))
    orders = picks @ multiply((firsts != 0).astype(np.float64), chosen)
    values = _floats([line.lot_value for line in lines], unit)
    fees = multiply(_floats([line.lot_fee for line in lines], unit), lots) + book.order_fee / unit * orders
    cash = book.capacity / unit
    problem = cp.Problem(
        cp.Minimize(_cost(book, lines, trades, lots, values, unit) + total(fees)),
        [
            picks @ chosen == 1,
            extra <= multiply(spans.astype(np.float64), chosen),
            total(multiply(values, trades)) + total(fees) <= cash,
        ],
    )
    if not run(problem, time_limit_seconds) or extra.value is None or chosen.value is None:
        return None
    return _rounded(pieces, chosen.value, extra.value, len(lines))


def _cost(book: Book, lines: Sequence[Line], trades: Any, lots: Any, values: NDArray[np.float64], unit: int) -> Any:
    """Return levels 1 and 2 without the fees, in units of the largest lot."""
    moved = multiply(values, trades)
    if book.rules.goal is Goal.TARGET:
        cost = norm1(_floats([line.target - line.held for line in lines], unit) - moved)
    else:
        cost = total(multiply(values, lots))
    if book.rules.bands is Bands.PREFERRED:
        short = _floats([line.lower - line.held for line in lines], unit) - moved
        long = moved - _floats([line.upper - line.held for line in lines], unit)
        cost += OUTSIDE_WEIGHT * total(maximum(short, long, 0))
    return cost


def _rounded(pieces: Sequence[Piece], chosen: NDArray[np.float64], extra: NDArray[np.float64], count: int) -> list[int]:
    best: list[tuple[float, int]] = [(-1.0, 0)] * count
    for (position, first, last), weight, lots in zip(pieces, chosen.tolist(), extra.tolist(), strict=True):
        trade = min(max(first + round(lots), first), last)
        best[position] = max(best[position], (weight, trade))
    return [trade for _, trade in best]


def _floats(amounts: Sequence[int], unit: int) -> NDArray[np.float64]:
    """Return integers in multiples of a unit; dividing integers rounds once, whatever their size."""
    return np.array([amount / unit for amount in amounts])
