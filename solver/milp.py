"""The whole problem as an integer program, stated in CVXPY and solved by HiGHS: fast enough, and never trusted.

The only module that knows floats. Importing it takes a second and 100 MB, so only solver processes do. The exact bounds
are bounds of the variables, which count from the fewest shares, and money is measured in prices of the dearest
security: rows in money lose cents to the solver's tolerances.
"""

import warnings

import cvxpy as cp
import numpy as np
from cvxpy.atoms.affine.binary_operators import multiply
from cvxpy.atoms.norm1 import norm1
from numpy.typing import NDArray

from solver.bounds import ShareBounds
from solver.scaling import Integers, ScaledPortfolio

OPTIONS = {
    "threads": 1,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 0.0,
    "mip_feasibility_tolerance": 1e-9,
    "primal_feasibility_tolerance": 1e-9,
}
"""One thread, because the pool has a process for each core; no gap, and tolerances less than a cent of a dear share."""


def solve_milp(scaled: ScaledPortfolio, bounds: ShareBounds, time_limit_seconds: float) -> Integers | None:
    """Minimise the sum of distances from the targets within the bounds and the cash.

    Returns:
        Whole shares of each security within their bounds, in all else unverified: at its time limit CVXPY reports zeros
        that no solver found. None where HiGHS found nothing.
    """
    count = len(scaled.prices)
    dearest = int(scaled.prices.max())
    prices = _floats(scaled.prices, dearest)
    distances = _floats(scaled.targets - scaled.fractions - bounds.lowest * scaled.prices, dearest)
    extra = cp.Variable(
        count, integer=True, bounds=[np.zeros(count), (bounds.highest - bounds.lowest).astype(np.float64)]
    )
    problem = cp.Problem(
        cp.Minimize(norm1(distances - multiply(prices, extra))),
        [extra @ prices <= (scaled.market_value - bounds.least_value) / dearest],
    )
    if not run(problem, time_limit_seconds) or extra.value is None:
        return None
    found = np.array([round(float(value)) for value in extra.value], dtype=scaled.prices.dtype)
    shares: Integers = np.clip(found, 0, bounds.highest - bounds.lowest) + bounds.lowest
    return shares


def run(problem: cp.Problem, time_limit_seconds: float) -> bool:
    """Have HiGHS solve a problem; False if it reports an error."""
    try:
        with warnings.catch_warnings():
            # That a solution may be inaccurate is what verification is for.
            warnings.simplefilter("ignore", UserWarning)
            problem.solve(  # type: ignore[no-untyped-call]
                solver=cp.HIGHS, warm_start=False, time_limit=time_limit_seconds, **OPTIONS
            )
    except cp.SolverError:
        return False
    return True


def _floats(amounts: Integers, unit: int) -> NDArray[np.float64]:
    """Return integers in multiples of a unit; dividing integers rounds once, whatever their size."""
    return np.array([int(amount) / unit for amount in amounts])
