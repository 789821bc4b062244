"""What a solver process does with one portfolio: solve it, and write its record and its part of the response.

All computing is done here, so that the process that serves requests only passes bytes on. Nothing imported from here
may need the web framework or the database driver.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec
from bson import ObjectId
from msgspec import Struct
from msgspec.structs import replace

from app.http.dialect import Dialect
from app.solver_task.assignment import Assignment, Terms, decoded
from app.solver_task.columns import QUANTITY_LIMIT, Columns, columns_of
from app.solver_task.movement import Movement, movement
from app.solver_task.rounding import are_storable, is_storable, product, shortest
from app.solver_task.schemas import json_around_positions, portfolio_json
from app.solver_task.valuation import valuation
from app.solver_task.warnings import warnings_of
from persistence import PortfolioRecord, RebalancedPortfolio, RebalancedPosition, Solve, record_of
from solver import (
    Crashed,
    Infeasible,
    Portfolio,
    Restraint,
    Security,
    Solution,
    SolutionPath,
    SolverStrategy,
    TimeLimit,
    solve,
)
from solver.pool import EXAMPLE, Work

ZERO = Decimal(0)
NOT_STORED = ObjectId("0" * 24)
"""Stands for the rebalance of a portfolio that is not stored."""


class Calculated(Struct, frozen=True, tag=True):
    """A portfolio that was solved.

    Attributes:
        record: to be stored; None if the terms have no rebalance id.
        body: the portfolio's part of the response, JSON in the dialect of the terms.
        exempted: number of securities that a rule keeps outside their band.
        path, gap: how it was solved, and how much money the objective could at most still fall.
        seconds: of solving; writing record and response is not included.
    """

    record: PortfolioRecord | None
    body: bytes
    movement: Movement
    exempted: int
    path: SolutionPath
    gap: Decimal
    seconds: float


class Unstorable(Struct, frozen=True, tag=True):
    """A portfolio with numbers beyond what can be stored, or read back.

    Attributes:
        security_ids: those with such a number or, if only a sum is too long, those whose values have the most decimals.
    """

    security_ids: tuple[str, ...]


type Calculation = Calculated | Unstorable | Infeasible | TimeLimit | Crashed


def calculate(assignment: Assignment, *, strategy: SolverStrategy, time_limit_seconds: float) -> Calculation:
    """Calculate one portfolio of a rebalance.

    Raises:
        solver.InvalidPortfolio: the portfolio breaks the solver's rules.
    """
    terms = decoded(assignment.terms)
    portfolio = assignment.portfolio()
    outcome = solve(portfolio, rules=terms.rules, strategy=strategy, time_limit_seconds=time_limit_seconds)
    if not isinstance(outcome, Solution):
        return outcome
    return written(assignment, portfolio, outcome)


def written(assignment: Assignment, portfolio: Portfolio, solution: Solution) -> Calculation:
    """Write record and response of a solved portfolio, in columns if it is like most."""
    # Amounts that cannot be stored are reported with their securities, which columns do not name.
    can_be_stored = decoded(assignment.terms).rebalance_id is None or are_storable(_money(solution))
    columns = columns_of(assignment, solution) if can_be_stored else None
    if columns is None:
        return in_decimals(assignment, portfolio, solution)
    return in_columns(assignment, columns, solution)


def in_columns(assignment: Assignment, columns: Columns, solution: Solution) -> Calculation:
    """Write record and response of a solved portfolio from its columns, the same as `in_decimals` does.

    Amounts of money that are stored have at most 34 digits.
    """
    terms = decoded(assignment.terms)
    stored = terms.rebalance_id is not None
    moved = columns.movement()
    rebalanced = _rebalanced(assignment, solution, moved)
    beginning, middle, end = json_around_positions(
        rebalanced, terms.dialect, stored=stored, with_proof=terms.with_proof
    )
    body = f"{beginning}{columns.trades_json()}{middle}{columns.drifts_json()}{end}".encode()
    record = record_of(rebalanced, columns.record()) if stored else None
    return _calculated(solution, record, body, moved)


def in_decimals(assignment: Assignment, portfolio: Portfolio, solution: Solution) -> Calculation:
    """Write record and response of any solved portfolio."""
    terms = decoded(assignment.terms)
    stored = terms.rebalance_id is not None
    unstorable = _unstorable(portfolio, solution) if stored else None
    if unstorable is not None:
        return unstorable
    positions = tuple(_positions(assignment, terms, portfolio, solution))
    values = valuation(positions)
    moved = movement(positions, values, solution.market_value)
    rebalanced = replace(_rebalanced(assignment, solution, moved), positions=positions)
    body = portfolio_json(rebalanced, terms.dialect, stored=stored, with_proof=terms.with_proof, values=values)
    return _calculated(solution, record_of(rebalanced) if stored else None, body, moved)


def _calculated(solution: Solution, record: PortfolioRecord | None, body: bytes, moved: Movement) -> Calculated:
    return Calculated(
        record=record,
        body=body,
        movement=moved,
        exempted=len(solution.outside_band),
        path=solution.path,
        gap=solution.gap,
        seconds=solution.seconds,
    )


def _money(solution: Solution) -> tuple[Decimal, ...]:
    return (
        solution.market_value,
        solution.cash_after,
        solution.fees,
        solution.objective,
        solution.bound,
        solution.outside,
    )


def _unstorable(portfolio: Portfolio, solution: Solution) -> Unstorable | None:
    quantities = solution.quantities
    if (
        min(quantities, default=ZERO) > -QUANTITY_LIMIT
        and max(quantities, default=ZERO) < QUANTITY_LIMIT
        and are_storable((*quantities, *_money(solution)))
    ):
        return None
    solved = list(zip(portfolio.securities, quantities, strict=True))
    named = tuple(
        security.security_id
        for security, quantity in solved
        if not is_storable(quantity) or not -QUANTITY_LIMIT < quantity < QUANTITY_LIMIT
    )
    return Unstorable(named or _with_most_digits(solved))


def _with_most_digits(solved: Sequence[tuple[Security, Decimal]]) -> tuple[str, ...]:
    """Return the securities whose values are too long or, if only their sum is, those with the most decimals."""
    values = [
        (security.security_id, shortest(product(quantity, security.price)))
        for security, adjusted in solved
        for quantity in (security.quantity, adjusted)
        if quantity
    ]
    named = [security_id for security_id, value in values if not is_storable(value)]
    if not named:
        finest = min((_exponent(value) for _, value in values), default=0)
        named = [security_id for security_id, value in values if _exponent(value) == finest]
    return tuple(dict.fromkeys(named))


def _exponent(value: Decimal) -> int:
    return int(value.as_tuple().exponent)


def _rebalanced(assignment: Assignment, solution: Solution, moved: Movement) -> RebalancedPortfolio:
    """Return the record of a portfolio, still without its positions."""
    terms = decoded(assignment.terms)
    return RebalancedPortfolio(
        rebalance_id=NOT_STORED if terms.rebalance_id is None else ObjectId(terms.rebalance_id),
        place=assignment.index,
        portfolio_id=assignment.portfolio_id,
        portfolio_name=assignment.portfolio_name,
        status="COMPLETED",
        failure=None,
        market_value=solution.market_value,
        cash_before=assignment.cash,
        cash_after=solution.cash_after,
        trade_date=terms.trade_date,
        positions=(),
        solve=Solve(
            solution.path,
            solution.gap,
            solution.tie_proven,
            solution.seconds,
            solution.objective,
            solution.bound,
            solution.outside,
        ),
        drift_before=moved.drift_before,
        drift_after=moved.drift_after,
        turnover=moved.turnover,
        fees=solution.fees,
        warnings=warnings_of(assignment, solution),
    )


def _positions(
    assignment: Assignment, terms: Terms, portfolio: Portfolio, solution: Solution
) -> Iterator[RebalancedPosition]:
    """Yield the model's securities in its order, then those held outside it, the unpriced ones among them."""
    restraints = solution.restraints or (None,) * len(portfolio.securities)
    solved = list(zip(portfolio.securities, solution.quantities, restraints, strict=True))
    in_model = len(terms.securities)
    for ticker, (security, quantity, restraint) in zip(terms.tickers, solved[:in_model], strict=True):
        yield _position(security, ticker, quantity, restraint)
    outside = iter(solved[in_model:])
    for held in assignment.others:
        if held.price is None:
            yield RebalancedPosition(
                held.security_id,
                price=None,
                original_quantity=held.quantity,
                adjusted_quantity=held.quantity,
                target=ZERO,
                high_drift=ZERO,
                low_drift=ZERO,
                ticker=held.ticker,
                restraint=Restraint.UNPRICED,
            )
        else:
            security, quantity, restraint = next(outside)
            yield _position(security, held.ticker, quantity, restraint)


def _position(
    security: Security, ticker: str | None, quantity: Decimal, restraint: Restraint | None
) -> RebalancedPosition:
    return RebalancedPosition(
        security.security_id,
        price=security.price,
        original_quantity=security.quantity,
        adjusted_quantity=quantity or ZERO,  # whatever decimals were held
        target=security.target,
        high_drift=security.high_drift,
        low_drift=security.low_drift,
        ticker=ticker,
        restraint=restraint,
    )


_EXAMPLE = Assignment(
    terms=msgspec.msgpack.encode(
        Terms("0" * 24, "2000-01-01", Dialect.STANDARD, EXAMPLE.securities, (None,) * len(EXAMPLE.securities))
    ),
    index=0,
    portfolio_id="0" * 24,
    portfolio_name=None,
    cash=EXAMPLE.cash,
    quantities=tuple(security.quantity for security in EXAMPLE.securities),
    others=(),
)

CALCULATION: Work[Assignment, Calculation] = Work(calculate, Assignment, Calculation, _EXAMPLE)
"""The work of the service's solver processes."""
