"""The way of a rebalance: snapshot prices and holdings, build the problems, solve, store, answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import structlog
from bson import ObjectId
from msgspec import Struct
from msgspec.structs import replace

from app import failures
from app.clock import deadline_in, now, today
from app.errors import OrderGenerationError, with_decimals
from app.http.correlation import trace_id
from app.observability.rebalances import ObservedPortfolio, ObservedRebalance, RebalanceObserver
from app.rebalancing.portfolio_problem import portfolio_problem, securities_of
from app.rebalancing.rounding import is_storable, storable
from integrations.errors import Cause, ServiceError
from integrations.market_data import PriceSnapshot
from integrations.neighbours import Integrations
from persistence.database import Database
from persistence.documents import Failure, Model, Rebalance, RebalancedPortfolio, RebalancedPosition, Solve
from persistence.errors import DatabaseUnavailable
from solver import Portfolio, Solution, TimeLimit
from solver.pool import Overloaded, SolverPool

log = structlog.get_logger(__name__)

CLOCK_TOLERANCE_SECONDS = 0.05
"""A solver that ran out of time within this of the deadline was given only the time until then."""


class RebalanceLimits(Struct, frozen=True):
    """What bounds one request: seconds for all of it and portfolios in flight; and where its trading day is."""

    deadline_seconds: float
    concurrency: int
    timezone: ZoneInfo


class Rebalanced(Struct, frozen=True):
    """A rebalance as it was stored."""

    header: Rebalance
    portfolios: list[RebalancedPortfolio]


class _Run(Struct, frozen=True):
    """What the portfolios of one rebalance share."""

    id: ObjectId
    model: Model
    asked_at: datetime
    trade_date: date
    deadline: float


class Rebalancer:
    """Rebalances portfolios of a model."""

    def __init__(
        self,
        database: Database,
        neighbours: Integrations,
        solvers: SolverPool,
        limits: RebalanceLimits,
        observer: RebalanceObserver,
    ) -> None:
        self._database = database
        self._neighbours = neighbours
        self._solvers = solvers
        self._limits = limits
        self._observer = observer

    async def rebalance(
        self, model: Model, portfolio_ids: Sequence[str], rebalance_id: ObjectId | None = None
    ) -> Rebalanced:
        """Rebalance portfolios at one moment's prices, and store what came of each before it is answered.

        A portfolio that fails costs only itself.

        Args:
            model: what the portfolios shall follow.
            portfolio_ids: which of its portfolios, in the order of the answer.
            rebalance_id: the id to store under, where the caller has reserved one.

        Raises:
            DatabaseUnavailable: nothing was stored.
        """
        run = _Run(
            id=rebalance_id or ObjectId(),
            model=model,
            asked_at=now(),
            trade_date=today(self._limits.timezone),
            deadline=deadline_in(self._limits.deadline_seconds),
        )
        with self._observer.rebalance(run.id, model.id) as observed:
            return await self._rebalance(run, portfolio_ids, observed)

    async def _rebalance(self, run: _Run, portfolio_ids: Sequence[str], observed: ObservedRebalance) -> Rebalanced:
        names = asyncio.create_task(self._neighbours.portfolio_names.names(portfolio_ids))
        try:
            async with self._database.rebalances.storing(run.id) as storage:
                prices = await self._price_snapshot(run)

                async def one(place: int, portfolio_id: str) -> RebalancedPortfolio:
                    with observed.portfolio(portfolio_id) as seen:
                        portfolio = await self._rebalance_portfolio(run, prices, place, portfolio_id, seen)
                        seen.ended(portfolio)
                    portfolio = replace(portfolio, portfolio_name=(await names).get(portfolio_id))
                    await storage.add(portfolio)
                    return portfolio

                portfolios = await _each(one, portfolio_ids, at_a_time=self._limits.concurrency)
                header = _header(run, prices, len(portfolios))
                await storage.finish(header)
        finally:
            names.cancel()
        if any(portfolio.status == "COMPLETED" for portfolio in portfolios):
            await self._touch(run)
        return Rebalanced(header, portfolios)

    async def _price_snapshot(self, run: _Run) -> PriceSnapshot | ServiceError:
        try:
            return await self._neighbours.market_data.snapshot(deadline=run.deadline)
        except ServiceError as error:
            return error

    async def _touch(self, run: _Run) -> None:
        """Date the model. The rebalance is stored by now, so losing the database here must not make it a failure."""
        try:
            await self._database.models.touch_last_rebalance_date(run.model.id, run.asked_at)
        except DatabaseUnavailable:
            log.warning("model keeps an old date of its last rebalance")

    async def _rebalance_portfolio(
        self,
        run: _Run,
        prices: PriceSnapshot | ServiceError,
        place: int,
        portfolio_id: str,
        seen: ObservedPortfolio,
    ) -> RebalancedPortfolio:
        """Take one portfolio all the way to its trades; whatever goes wrong becomes its own failure."""
        try:
            if isinstance(prices, ServiceError):
                raise prices
            async with asyncio.timeout_at(_on_the_loops_clock(run.deadline)):
                holdings = await self._neighbours.accounting.holdings(portfolio_id, deadline=run.deadline)
                quote = await prices.quote(securities_of(run.model, holdings), deadline=run.deadline)
                problem = portfolio_problem(run.model, holdings, quote)
                solved = await self._solvers.solve(problem, lane=run.id, deadline=run.deadline)
            seen.solved(solved)
            if isinstance(solved.outcome, TimeLimit) and time.monotonic() >= run.deadline - CLOCK_TOLERANCE_SECONDS:
                raise self._missed_deadline(portfolio_id)
            if not isinstance(solved.outcome, Solution):
                raise failures.of_refusal(portfolio_id, solved.outcome)
            return _completed(run, place, portfolio_id, problem, solved.outcome)
        except OrderGenerationError as error:
            return _failed(run, place, portfolio_id, error)
        except ServiceError as error:
            if error.cause is Cause.DEADLINE:
                return _failed(run, place, portfolio_id, self._missed_deadline(portfolio_id))
            return _failed(run, place, portfolio_id, failures.of_service(error))
        except Overloaded as error:
            return _failed(run, place, portfolio_id, failures.of_overload(error))
        except TimeoutError:
            return _failed(run, place, portfolio_id, self._missed_deadline(portfolio_id))
        except Exception:
            # A defect met by one portfolio must not cost the others; the log keeps what the answer must not show.
            log.exception("portfolio failed unexpectedly")
            return _failed(run, place, portfolio_id, failures.of_defect({"portfolioId": portfolio_id}))

    def _missed_deadline(self, portfolio_id: str) -> OrderGenerationError:
        return failures.of_missed_deadline(portfolio_id, self._limits.deadline_seconds)


def _header(run: _Run, prices: PriceSnapshot | ServiceError, number_of_portfolios: int) -> Rebalance:
    return Rebalance(
        id=run.id,
        model_id=run.model.id,
        model_name=run.model.name,
        rebalance_date=run.asked_at,
        priced_at=prices.taken_at if isinstance(prices, PriceSnapshot) else None,
        number_of_portfolios=number_of_portfolios,
        created_at=now(),
        version=1,
    )


def _completed(run: _Run, place: int, portfolio_id: str, problem: Portfolio, solution: Solution) -> RebalancedPortfolio:
    """Record a solution.

    Raises:
        OrderGenerationError: its numbers are longer than the database holds, which no real book's are.
    """
    if not all(map(is_storable, (solution.market_value, solution.cash_after, *solution.quantities))):
        raise failures.of_unstorable(portfolio_id)
    return RebalancedPortfolio(
        rebalance_id=run.id,
        place=place,
        portfolio_id=portfolio_id,
        portfolio_name=None,
        status="COMPLETED",
        failure=None,
        market_value=solution.market_value,
        cash_before=problem.cash,
        cash_after=solution.cash_after,
        trade_date=run.trade_date.isoformat(),
        positions=tuple(
            RebalancedPosition(
                security_id=security.security_id,
                price=security.price,
                original_quantity=security.quantity,
                adjusted_quantity=quantity,
                target=security.target,
                high_drift=security.high_drift,
                low_drift=security.low_drift,
            )
            for security, quantity in zip(problem.securities, solution.quantities, strict=True)
        ),
        solve=Solve(solution.path, solution.gap, solution.tie_proven, solution.seconds),
    )


def _failed(run: _Run, place: int, portfolio_id: str, error: OrderGenerationError) -> RebalancedPortfolio:
    return RebalancedPortfolio(
        rebalance_id=run.id,
        place=place,
        portfolio_id=portfolio_id,
        portfolio_name=None,
        status="FAILED",
        failure=Failure(error.code, error.message, dict(with_decimals(error.details, storable)), now(), trace_id()),
        market_value=None,
        cash_before=None,
        cash_after=None,
        trade_date=run.trade_date.isoformat(),
        positions=(),
        solve=None,
    )


async def _each[T](
    work: Callable[[int, str], Awaitable[T]], portfolio_ids: Sequence[str], *, at_a_time: int
) -> list[T]:
    """Do the work for each portfolio, a bounded number at a time, and keep their order."""
    waiting = iter(enumerate(portfolio_ids))
    done: dict[int, T] = {}

    async def worker() -> None:
        for place, portfolio_id in waiting:
            done[place] = await work(place, portfolio_id)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(at_a_time, len(portfolio_ids))):
                workers.create_task(worker())
    except BaseExceptionGroup as failed:
        # Only what ends the whole rebalance gets here, and the first of it says why.
        raise failed.exceptions[0] from None
    return [done[place] for place in range(len(portfolio_ids))]


def _on_the_loops_clock(deadline: float) -> float:
    """Put a moment of `time.monotonic()` on the running loop's clock, which asyncio's time-outs want."""
    loop = asyncio.get_running_loop()
    return loop.time() + deadline - time.monotonic()
