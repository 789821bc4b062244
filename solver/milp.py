"""The integer programs, stated in CVXPY and solved by HiGHS: the only module that knows floats, and nobody trusts it.

Importing it costs a second and 100 MB, so only solver processes do. Exact integer bounds are bounds of the variables,
not rows, and money is measured in prices of the dearest security: rows in money lose cents to the solver's tolerances.
"""

from collections.abc import Sequence

import cvxpy as cp
import numpy as np
from cvxpy.atoms.affine.binary_operators import multiply
from cvxpy.atoms.norm1 import norm1

from solver.bounds import ShareBounds
from solver.reduction import Reduction
from solver.scaling import ScaledPortfolio

SINGLE_THREADED = {
    "threads": 1,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 0.0,
}
"""One thread in each process of a pool; optimal means optimal, not within a ten-thousandth."""


def solve_full(
    scaled: ScaledPortfolio, bounds: ShareBounds, least_value: int, time_limit_seconds: float
) -> list[int] | None:
    """The whole problem: minimise the sum of distances from the targets, within the bounds and the cash.

    Returns:
        Whole shares of each security, unverified, or None where HiGHS found none.
    """
    count = len(scaled.prices)
    largest = max(bounds.fine_prices)
    prices = np.array([price / largest for price in bounds.fine_prices])
    # Counted from the fewest shares, the numbers stay as small as the problem allows.
    distances = np.array(
        [
            (remainder + (below - least) * price) / largest
            for remainder, below, least, price in zip(
                bounds.remainders, bounds.below, bounds.lowest, bounds.fine_prices, strict=True
            )
        ]
    )
    room = (scaled.market_value - least_value) * 10**scaled.target_places / largest
    spans = np.array([most - least for least, most in zip(bounds.lowest, bounds.highest, strict=True)], dtype=float)
    shares = cp.Variable(count, integer=True, bounds=[np.zeros(count), spans])
    problem = cp.Problem(
        cp.Minimize(norm1(distances - multiply(prices, shares))),
        [shares @ prices <= room],
    )
    found = _run(problem, shares, time_limit_seconds)
    return None if found is None else [least + extra for least, extra in zip(bounds.lowest, found, strict=True)]


def solve_reduced(reduction: Reduction, time_limit_seconds: float) -> list[int] | None:
    """The knapsack that is left when the cash binds.

    Returns:
        Whole shares of each security, unverified, or None where HiGHS found none.
    """
    items = reduction.items
    heaviest = max(item.weight for item in items)
    dearest = max(item.profit for item in items)
    weights = np.array([item.weight / heaviest for item in items])
    profits = np.array([item.profit / dearest for item in items])
    copies = np.array([item.copies for item in items], dtype=float)
    taken = cp.Variable(len(items), integer=True, bounds=[np.zeros(len(items)), copies])
    problem = cp.Problem(cp.Maximize(taken @ profits), [taken @ weights <= reduction.capacity / heaviest])
    found = _run(problem, taken, time_limit_seconds)
    if found is None:
        return None
    shares = list(reduction.lowest)
    for item, count in zip(items, found, strict=True):
        shares[item.security] += count
    return shares


def _run(problem: cp.Problem, variable: cp.Variable, time_limit_seconds: float) -> Sequence[int] | None:
    """Solve and round; at a time limit CVXPY reports zeros that no solver found, so only finished answers count."""
    try:
        problem.solve(  # type: ignore[no-untyped-call]
            solver=cp.HIGHS, warm_start=False, time_limit=time_limit_seconds, **SINGLE_THREADED
        )
    except cp.SolverError:
        return None
    if problem.status != cp.OPTIMAL or variable.value is None:
        return None
    return [round(float(value)) for value in variable.value]
