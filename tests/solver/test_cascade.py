"""What the solver answers on small portfolios whose optimum a reader can check by hand."""

import subprocess
import sys
from decimal import Decimal

from solver import Portfolio, Security, Solution, SolutionPath, solve


def test_drift_below_the_band_is_bought_up_to_the_least_whole_share() -> None:
    """A lower bound of 423.000049 shares asks for 424, which float rows of money miss by one."""
    security = Security(
        "A", Decimal("425.45"), Decimal(0), Decimal("0.18"), Decimal("0.0000346499995"), Decimal("0.05")
    )
    solution = solve(Portfolio((security,), Decimal(1000000)))
    assert isinstance(solution, Solution)
    assert solution.trades == (424,)
    assert solution.gap == 0


def test_where_cash_binds_the_best_combination_is_taken() -> None:
    """Both want a second share (1.58 and 1.53 on target) and the cash pays for one: the one that gains 5, not 2."""
    securities = (
        Security("A", Decimal(30), target=Decimal("0.475"), low_drift=Decimal(1), high_drift=Decimal(1)),
        Security("B", Decimal(31), target=Decimal("0.475"), low_drift=Decimal(1), high_drift=Decimal(1)),
    )
    solution = solve(Portfolio(securities, Decimal(100)))
    assert isinstance(solution, Solution)
    assert solution.trades == (2, 1)
    assert solution.path is SolutionPath.KNAPSACK


def test_importing_the_package_loads_no_numerics() -> None:
    """The process that answers HTTP imports the solver's types; a second and 100 MB belong to the solver processes."""
    code = "import sys, solver; sys.exit(any(name in sys.modules for name in ('cvxpy', 'highspy', 'numpy', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
