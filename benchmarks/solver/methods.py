"""The methods compared, each from decimals to whole shares, as its users would write it."""

# CVXPY and HiGHS are typed in part only, and pandas comes without types.
# mypy: disable-error-code="attr-defined, no-untyped-call, import-untyped"

from collections.abc import Callable, Mapping

import cvxpy as cp
import highspy
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from pypfopt.discrete_allocation import DiscreteAllocation
from pypfopt.exceptions import OptimizationError
from scipy.optimize import Bounds, LinearConstraint, milp

from benchmarks.solver.results import Result
from solver import Infeasible, Portfolio, Solution, SolverStrategy
from solver import solve as solve_exactly

NOTHING = Result(quantities=None, finished=False)
NONE_EXISTS = Result(quantities=None, finished=True)

type Method = Callable[[Portfolio, float], Result]
"""Takes a portfolio and a time limit in seconds."""


def auto(portfolio: Portfolio, limit: float) -> Result:
    """Solve with this solver, at its default strategy."""
    return _exact(portfolio, SolverStrategy.AUTO, limit)


def full_milp(portfolio: Portfolio, limit: float) -> Result:
    """Solve with this solver, restricted to the full integer program."""
    return _exact(portfolio, SolverStrategy.MILP, limit)


def row_by_row(portfolio: Portfolio, limit: float) -> Result:
    """Solve the requirements' formulas row by row in CVXPY, with HiGHS at its defaults: rows in money."""
    prices, targets, lower, upper, value = _floats(portfolio)
    count = len(prices)
    shares = cp.Variable(count, integer=True)
    worth = [shares[i] * prices[i] for i in range(count)]
    constraints = [shares[i] >= 0 for i in range(count)]
    constraints += [worth[i] >= lower[i] for i in range(count)]
    constraints += [worth[i] <= upper[i] for i in range(count)]
    constraints += [cp.sum(worth) <= value]
    return _solved(
        cp.Problem(cp.Minimize(cp.sum([cp.abs(targets[i] - worth[i]) for i in range(count)])), constraints),
        shares,
        limit,
    )


def vectorised(portfolio: Portfolio, limit: float) -> Result:
    """Solve the same formulas as vectors, as an experienced CVXPY user would write them."""
    prices, targets, lower, upper, value = _floats(portfolio)
    shares = cp.Variable(len(prices), integer=True)
    worth = cp.multiply(prices, shares)
    constraints = [shares >= 0, worth >= lower, worth <= upper, cp.sum(worth) <= value]
    return _solved(cp.Problem(cp.Minimize(cp.norm1(targets - worth)), constraints), shares, limit)


def highs(portfolio: Portfolio, limit: float) -> Result:
    """Solve the same rows with HiGHS directly, at its defaults."""
    matrix, row_lower, row_upper, cost = _rows(portfolio)
    count = len(portfolio.securities)
    program = highspy.HighsLp()
    program.num_row_, program.num_col_ = matrix.shape
    program.col_cost_, program.col_lower_, program.col_upper_ = cost, np.zeros(len(cost)), np.full(len(cost), np.inf)
    program.row_lower_, program.row_upper_ = row_lower, row_upper
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_, program.a_matrix_.index_ = matrix.indptr, matrix.indices
    program.a_matrix_.value_ = matrix.data
    program.integrality_ = [highspy.HighsVarType.kInteger] * count + [highspy.HighsVarType.kContinuous] * count
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("time_limit", limit)
    solver.passModel(program)
    solver.run()
    if solver.getModelStatus() == highspy.HighsModelStatus.kOptimal:
        return _whole(np.array(solver.getSolution().col_value[:count]))
    return NONE_EXISTS if solver.getModelStatus() == highspy.HighsModelStatus.kInfeasible else NOTHING


def scipy_milp(portfolio: Portfolio, limit: float) -> Result:
    """Solve the same rows with scipy.optimize.milp, at its defaults."""
    matrix, row_lower, row_upper, cost = _rows(portfolio)
    count = len(portfolio.securities)
    found = milp(
        cost,
        integrality=np.repeat([1, 0], count),
        bounds=Bounds(0, np.inf),
        constraints=LinearConstraint(matrix, row_lower, row_upper),
        options={"time_limit": limit},
    )
    if found.status == 0:
        return _whole(found.x[:count])
    return NONE_EXISTS if found.status == 2 else NOTHING


def pypfopt_lp(portfolio: Portfolio, _limit: float) -> Result:
    """PyPortfolioOpt's integer program; it knows neither bands nor time limits, and also minimises the cash left."""
    try:
        allocation, _ = _discrete_allocation(portfolio).lp_portfolio(solver="HIGHS")
    except OptimizationError:
        return NOTHING
    return _allocated(portfolio, allocation)


def pypfopt_greedy(portfolio: Portfolio, _limit: float) -> Result:
    """PyPortfolioOpt's greedy rounding; it knows no bands, and spends the cash."""
    allocation, _ = _discrete_allocation(portfolio).greedy_portfolio()
    return _allocated(portfolio, allocation)


METHODS: dict[str, Method] = {
    "auto": auto,
    "milp": full_milp,
    "CVXPY, row by row": row_by_row,
    "CVXPY, vectorised": vectorised,
    "highspy": highs,
    "scipy milp": scipy_milp,
    "PyPortfolioOpt lp": pypfopt_lp,
    "PyPortfolioOpt greedy": pypfopt_greedy,
}
"""By the names in the tables; the first is what the others are measured in."""


def _exact(portfolio: Portfolio, strategy: SolverStrategy, limit: float) -> Result:
    outcome = solve_exactly(portfolio, strategy=strategy, time_limit_seconds=limit)
    if isinstance(outcome, Solution):
        return Result(quantities=tuple(int(quantity) for quantity in outcome.quantities), finished=True)
    return NONE_EXISTS if isinstance(outcome, Infeasible) else NOTHING


type Vector = NDArray[np.float64]


def _floats(portfolio: Portfolio) -> tuple[Vector, Vector, Vector, Vector, float]:
    """Return prices, targets, lower and upper bounds in money, and the market value."""
    rows = portfolio.securities
    value = portfolio.cash + sum(row.quantity * row.price for row in rows)
    prices = np.array([float(row.price) for row in rows])
    targets = np.array([float(value * row.target) for row in rows])
    lower = np.array([float(value * (row.target - row.low_drift)) for row in rows])
    upper = np.array([float(value * (row.target + row.high_drift)) for row in rows])
    return prices, targets, lower, upper, float(value)


def _solved(problem: cp.Problem, shares: cp.Variable, limit: float) -> Result:
    try:
        problem.solve(solver=cp.HIGHS, time_limit=limit)
    except cp.SolverError:
        return NOTHING
    if problem.status == cp.OPTIMAL:
        return _whole(np.asarray(shares.value))
    return NONE_EXISTS if problem.status == cp.INFEASIBLE else NOTHING


def _rows(portfolio: Portfolio) -> tuple[sp.csr_array, Vector, Vector, Vector]:
    """Return the literal formulation as a matrix over shares and distances, its row bounds, and the costs."""
    prices, targets, lower, upper, value = _floats(portfolio)
    count = len(prices)
    worth, distance = sp.diags_array(prices), sp.eye_array(count)
    cash = sp.csr_array(prices.reshape(1, count))
    matrix = sp.block_array([[worth, None], [worth, distance], [worth, -distance], [cash, None]], format="csr")
    unbounded = np.full(count, np.inf)
    row_lower = np.concatenate([lower, targets, -unbounded, [-np.inf]])
    row_upper = np.concatenate([upper, unbounded, targets, [value]])
    return matrix, row_lower, row_upper, np.repeat([0.0, 1.0], count)


def _whole(shares: Vector) -> Result:
    return Result(quantities=tuple(round(float(share)) for share in shares), finished=True)


def _discrete_allocation(portfolio: Portfolio) -> DiscreteAllocation:
    rows = portfolio.securities
    value = portfolio.cash + sum(row.quantity * row.price for row in rows)
    return DiscreteAllocation(
        {row.security_id: float(row.target) for row in rows},
        pd.Series({row.security_id: float(row.price) for row in rows}),
        total_portfolio_value=float(value),
    )


def _allocated(portfolio: Portfolio, allocation: Mapping[str, int]) -> Result:
    return Result(tuple(int(allocation.get(row.security_id, 0)) for row in portfolio.securities), finished=True)
