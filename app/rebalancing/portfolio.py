"""One portfolio of a request: from its holdings to its trades, or to the record of why it failed."""

import asyncio
import time

import structlog

from app.clock import now
from app.errors import translation
from app.errors.codes import OrderGenerationError, with_decimals
from app.http.correlation import trace_id
from app.rebalancing.context import RebalanceContext
from app.rebalancing.results import Done, Failed
from app.solver_task.assignment import Assignment
from app.solver_task.calculate import Calculated, Calculation, Unstorable
from app.solver_task.rounding import storable
from app.solver_task.schemas import portfolio_json
from integrations import BooksInvalid, Cause, ServiceError
from persistence import Failure, RebalancedPortfolio, record_of
from solver import Crashed, Infeasible, TimeLimit
from solver.pool import Overloaded, Solved, SolverPool

log = structlog.get_logger(__name__)

CLOCK_TOLERANCE_SECONDS = 0.05
"""A solver that ran out of time within this of the deadline had only the time until then."""


class PortfolioRebalancer:
    """Rebalances single portfolios."""

    def __init__(self, solvers: SolverPool[Assignment, Calculation], deadline_seconds: float) -> None:
        self._solvers = solvers
        self._deadline_seconds = deadline_seconds

    async def rebalance(self, context: RebalanceContext, index: int, portfolio_id: str) -> None:
        """Rebalance one portfolio, and add its result to the context's; whatever goes wrong with it is a `Failed`.

        Args:
            context: of its rebalance.
            index: 0-based index in the rebalance.
            portfolio_id: 24 letters or digits.

        Raises:
            DatabaseUnavailable: the result cannot be stored.
            OrderGenerationError: `OVERLOADED`, there is no room for the response.
        """
        result: Done | Failed
        with context.observed.portfolio(portfolio_id) as observed:
            outcome: Calculation | Exception
            try:
                solved = await self._solve(context, index, portfolio_id)
                observed.solved(solved)
                outcome = solved.outcome
            except Exception as caught:  # noqa: BLE001 - one portfolio's failure, of any kind, must not cost the others
                outcome = caught
            if isinstance(outcome, Calculated):
                observed.completed(outcome)
                result = Done(outcome.record, outcome.body)
            else:
                error = self._error(context, portfolio_id, outcome)
                result = await _failed(context, index, portfolio_id, error)
                observed.failed(result.failure)
        await context.results.add(index, portfolio_id, result)

    async def _solve(self, context: RebalanceContext, index: int, portfolio_id: str) -> Solved[Calculation]:
        async with asyncio.timeout_at(_on_loop_clock(context.deadline)):
            assigned = await context.source.assignment(index, portfolio_id)
            async with context.running.turn():
                return await self._solvers.solve(assigned, lane=context.id, deadline=context.deadline)

    def _error(
        self, context: RebalanceContext, portfolio_id: str, outcome: Exception | Calculation
    ) -> OrderGenerationError:
        """Translate whatever kept a portfolio from its trades."""
        match outcome:
            case OrderGenerationError():
                return OrderGenerationError(
                    outcome.code, outcome.message, {"portfolioId": portfolio_id, **outcome.details}
                )
            case TimeoutError() | ServiceError(cause=Cause.DEADLINE):
                return translation.from_missed_deadline(portfolio_id, self._deadline_seconds)
            case ServiceError():
                return translation.from_service_error(outcome)
            case Overloaded():
                return translation.from_overload(outcome)
            case BooksInvalid():
                return translation.from_invalid_books(outcome, portfolio_id)
            case Unstorable():
                return translation.from_unstorable(portfolio_id, outcome.security_ids)
            case TimeLimit() if time.monotonic() >= context.deadline - CLOCK_TOLERANCE_SECONDS:
                return translation.from_missed_deadline(portfolio_id, self._deadline_seconds)
            case Infeasible() | TimeLimit() | Crashed():
                return translation.from_refusal(portfolio_id, outcome)
            case _:
                # The log has what the response must not show.
                log.error("portfolio failed unexpectedly", exc_info=outcome)
                return translation.from_defect({"portfolioId": portfolio_id})


async def _failed(context: RebalanceContext, index: int, portfolio_id: str, error: OrderGenerationError) -> Failed:
    failure = Failure(error.code, error.message, dict(with_decimals(error.details, storable)), now(), trace_id())
    portfolio = RebalancedPortfolio(
        rebalance_id=context.id,
        place=index,
        portfolio_id=portfolio_id,
        portfolio_name=await context.source.name(portfolio_id),
        status="FAILED",
        failure=failure,
        market_value=None,
        cash_before=None,
        cash_after=None,
        trade_date=context.trade_date.isoformat(),
        positions=(),
        solve=None,
    )
    body = portfolio_json(portfolio, context.dialect, stored=context.stored, with_proof=context.with_proof)
    return Failed(record_of(portfolio) if context.stored else None, body, failure)


def _on_loop_clock(deadline: float) -> float:
    """Convert a moment of `time.monotonic()` to the running loop's clock, which asyncio's timeouts use."""
    loop = asyncio.get_running_loop()
    return loop.time() + deadline - time.monotonic()
