"""What a solver process does with one portfolio: solve it, record the solution, and write record and answer out.

All that takes computing is done here, so that the process that serves requests only passes bytes on. Nothing imported
from here may need the web framework or the database driver.
"""

from decimal import Decimal

import msgspec
from bson import ObjectId
from msgspec import Struct

from app.http.dialect import Dialect
from app.solver_task.assignment import Assignment, Terms, decoded
from app.solver_task.movement import Movement, movement
from app.solver_task.rounding import is_storable
from app.solver_task.schemas import portfolio_json
from persistence import PortfolioRecord, RebalancedPortfolio, RebalancedPosition, Solve, record_of
from solver import Crashed, Infeasible, Portfolio, Solution, SolutionPath, SolverStrategy, TimeLimit, solve
from solver.pool import EXAMPLE, Work

ZERO = Decimal(0)

QUANTITY_LIMIT = Decimal(10**15)
"""Shares that the books can hold are below it; a larger position could be ordered, but not be read back."""


class Calculated(Struct, frozen=True, tag=True):
    """A portfolio that was solved.

    Attributes:
        record: to be stored.
        body: the portfolio's part of the response, JSON in the dialect of the terms.
        path, gap: how it was solved, and how much money the objective could at most still fall.
        seconds: of solving; to write record and answer came on top.
    """

    record: PortfolioRecord
    body: bytes
    movement: Movement
    path: SolutionPath
    gap: Decimal
    seconds: float


class Unstorable(Struct, frozen=True, tag=True):
    """A portfolio with numbers beyond what can be stored, or read back.

    Attributes:
        security_ids: those with such a number; empty if only a sum is too long.
    """

    security_ids: tuple[str, ...]


type Calculation = Calculated | Unstorable | Infeasible | TimeLimit | Crashed


def calculate(assignment: Assignment, *, strategy: SolverStrategy, time_limit_seconds: float) -> Calculation:
    """Calculate one portfolio of a rebalance.

    Raises:
        solver.InvalidPortfolio: the portfolio breaks the solver's rules.
    """
    portfolio = assignment.portfolio()
    outcome = solve(portfolio, strategy=strategy, time_limit_seconds=time_limit_seconds)
    if not isinstance(outcome, Solution):
        return outcome
    unstorable = _unstorable(portfolio, outcome)
    if unstorable is not None:
        return unstorable
    terms = decoded(assignment.terms)
    rebalanced = _rebalanced(assignment, terms, portfolio, outcome)
    return Calculated(
        record_of(rebalanced),
        portfolio_json(rebalanced, terms.dialect),
        movement(portfolio, outcome),
        outcome.path,
        outcome.gap,
        outcome.seconds,
    )


def _unstorable(portfolio: Portfolio, solution: Solution) -> Unstorable | None:
    held = zip(portfolio.securities, solution.quantities, strict=True)
    security_ids = tuple(
        security.security_id
        for security, quantity in held
        if not is_storable(quantity) or not -QUANTITY_LIMIT < quantity < QUANTITY_LIMIT
    )
    if security_ids or not all(map(is_storable, (solution.market_value, solution.cash_after))):
        return Unstorable(security_ids)
    return None


def _rebalanced(assignment: Assignment, terms: Terms, portfolio: Portfolio, solution: Solution) -> RebalancedPortfolio:
    return RebalancedPortfolio(
        rebalance_id=ObjectId(terms.rebalance_id),
        place=assignment.place,
        portfolio_id=assignment.portfolio_id,
        portfolio_name=assignment.portfolio_name,
        status="COMPLETED",
        failure=None,
        market_value=solution.market_value,
        cash_before=portfolio.cash,
        cash_after=solution.cash_after,
        trade_date=terms.trade_date,
        positions=tuple(
            RebalancedPosition(
                security.security_id,
                price=security.price,
                original_quantity=security.quantity,
                adjusted_quantity=quantity or ZERO,  # whatever decimals were held
                target=security.target,
                high_drift=security.high_drift,
                low_drift=security.low_drift,
            )
            for security, quantity in zip(portfolio.securities, solution.quantities, strict=True)
        ),
        solve=Solve(solution.path, solution.gap, solution.tie_proven, solution.seconds),
    )


_EXAMPLE = Assignment(
    terms=msgspec.msgpack.encode(Terms("0" * 24, "2000-01-01", Dialect.STANDARD, EXAMPLE.securities)),
    place=0,
    portfolio_id="0" * 24,
    portfolio_name=None,
    cash=EXAMPLE.cash,
    quantities=tuple(security.quantity for security in EXAMPLE.securities),
    others=(),
)

CALCULATION: Work[Assignment, Calculation] = Work(calculate, Assignment, Calculation, _EXAMPLE)
"""The work of the service's solver processes."""
