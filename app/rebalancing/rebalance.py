"""The way of a rebalance: snapshot prices and holdings, build the problems, solve, store, answer."""

import asyncio
import time
from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import structlog
from bson import ObjectId
from msgspec import Struct

from app.clock import deadline_in, now, today
from app.errors import translation
from app.errors.codes import OrderGenerationError, with_decimals
from app.http.correlation import trace_id
from app.http.dialect import Dialect
from app.rebalancing.body import Answers
from app.rebalancing.problem import assignment, encoded_terms, require_prices, securities_of, securities_outside
from app.rebalancing.schedule import Precedence, UnderWay
from app.rebalancing.telemetry import ObservedPortfolio, ObservedRebalance, RebalanceObserver
from app.solver_task.assignment import Assignment
from app.solver_task.calculate import Calculated, Calculation, Unstorable
from app.solver_task.rounding import storable
from app.solver_task.schemas import answer_of
from integrations import Cause, PriceSnapshot, ServiceError, Upstreams
from persistence import (
    Database,
    DatabaseUnavailable,
    Failure,
    Model,
    PortfolioRecord,
    Rebalance,
    RebalancedPortfolio,
    record_of,
)
from solver import TimeLimit
from solver.pool import Overloaded, Solved, SolverPool

log = structlog.get_logger(__name__)

CLOCK_TOLERANCE_SECONDS = 0.05
"""A solver that ran out of time within this of the deadline was given only the time until then."""


class RebalanceLimits(Struct, frozen=True):
    """What bounds one request, and where its trading day is.

    Attributes:
        deadline_seconds: for all of it.
        concurrency: portfolios in flight.
        beside_smaller: of these, at work while a smaller request is under way.
        timezone: of the trade date.
    """

    deadline_seconds: float
    concurrency: int
    beside_smaller: int
    timezone: ZoneInfo


class Rebalanced(Struct, frozen=True):
    """A rebalance as it was stored.

    Attributes:
        failures: portfolios that failed, by id, and why.
        answers: the answer's part for every portfolio, whoever gets it to close it.
    """

    header: Rebalance
    failures: list[tuple[str, Failure]]
    answers: Answers


class _Run(Struct):
    """What the portfolios of one rebalance share, and what has come of them so far.

    Attributes:
        securities: of the model, by id.
        names: of the portfolios, as far as they are to be had.
        terms: encoded; None before the first portfolio has been priced.
        failures: by place.
    """

    id: ObjectId
    model: Model
    securities: list[str]
    asked_at: datetime
    trade_date: date
    deadline: float
    under_way: UnderWay
    names: asyncio.Task[dict[str, str | None]]
    terms: bytes | None
    failures: dict[int, tuple[str, Failure]]
    answers: Answers

    async def name(self, portfolio_id: str) -> str | None:
        """Give a portfolio's name; a portfolio that is given up while it waits does not cost the others theirs."""
        return (await asyncio.shield(self.names)).get(portfolio_id)


class Rebalancer:
    """Rebalances portfolios of a model.

    Attributes:
        precedence: of the rebalances under way.
    """

    def __init__(
        self,
        database: Database,
        neighbours: Upstreams,
        solvers: SolverPool[Assignment, Calculation],
        limits: RebalanceLimits,
        dialect: Dialect,
        observer: RebalanceObserver,
    ) -> None:
        self._database = database
        self._neighbours = neighbours
        self._solvers = solvers
        self._limits = limits
        self.precedence = Precedence(limits.concurrency, limits.beside_smaller)
        self._dialect = dialect
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
        with self.precedence.rebalance(len(portfolio_ids)) as under_way:
            run = _Run(
                id=rebalance_id or ObjectId(),
                model=model,
                securities=securities_of(model),
                asked_at=now(),
                trade_date=today(self._limits.timezone),
                deadline=deadline_in(self._limits.deadline_seconds),
                under_way=under_way,
                names=asyncio.create_task(self._neighbours.portfolio_names.names(portfolio_ids)),
                terms=None,
                failures={},
                answers=Answers(),
            )
            try:
                with self._observer.rebalance(run.id, model.id) as observed:
                    header = await self._rebalance(run, portfolio_ids, observed)
            except BaseException:
                run.answers.close()
                raise
            finally:
                run.names.cancel()
        return Rebalanced(header, [failure for _, failure in sorted(run.failures.items())], run.answers)

    async def _rebalance(self, run: _Run, portfolio_ids: Sequence[str], observed: ObservedRebalance) -> Rebalance:
        async with self._database.rebalances.storing(run.id) as storage:
            prices = await self._price_snapshot(run)

            async def one(place: int, portfolio_id: str) -> None:
                with observed.portfolio(portfolio_id) as seen:
                    await storage.add(await self._rebalance_portfolio(run, prices, place, portfolio_id, seen))

            await run.under_way.each(one, portfolio_ids)
            header = _header(run, prices, len(portfolio_ids))
            await storage.finish(header)
        if len(run.failures) < len(portfolio_ids):
            await self._touch(run)
        return header

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
    ) -> PortfolioRecord:
        """Take one portfolio all the way to its record and its answer, be they of its trades or of its failure."""
        try:
            calculated = await self._calculate(run, prices, place, portfolio_id, seen)
        except OrderGenerationError as error:
            failed = _failed(run, place, portfolio_id, await run.name(portfolio_id), error)
            assert failed.failure is not None
            seen.failed(failed.failure)
            run.failures[place] = portfolio_id, failed.failure
            run.answers.add(place, answer_of(failed, self._dialect))
            return record_of(failed)
        seen.completed(calculated)
        run.answers.add(place, calculated.answer)
        return calculated.record

    async def _calculate(
        self,
        run: _Run,
        prices: PriceSnapshot | ServiceError,
        place: int,
        portfolio_id: str,
        seen: ObservedPortfolio,
    ) -> Calculated:
        """Take one portfolio all the way to its trades.

        Raises:
            OrderGenerationError: whatever went wrong.
        """
        try:
            solved = await self._solve(run, prices, place, portfolio_id)
        except ServiceError as error:
            if error.cause is Cause.DEADLINE:
                raise self._missed_deadline(portfolio_id) from error
            raise translation.of_service(error) from error
        except Overloaded as error:
            raise translation.of_overload(error) from error
        except TimeoutError:
            raise self._missed_deadline(portfolio_id) from None
        except OrderGenerationError:
            raise
        except Exception as defect:
            # A defect met by one portfolio must not cost the others; the log keeps what the answer must not show.
            log.exception("portfolio failed unexpectedly")
            raise translation.of_defect({"portfolioId": portfolio_id}) from defect
        seen.solved(solved)
        match solved.outcome:
            case Calculated() as calculated:
                return calculated
            case Unstorable():
                raise translation.of_unstorable(portfolio_id)
            case TimeLimit() if time.monotonic() >= run.deadline - CLOCK_TOLERANCE_SECONDS:
                raise self._missed_deadline(portfolio_id)
            case refusal:
                raise translation.of_refusal(portfolio_id, refusal)

    async def _solve(
        self, run: _Run, prices: PriceSnapshot | ServiceError, place: int, portfolio_id: str
    ) -> Solved[Calculation]:
        if isinstance(prices, ServiceError):
            raise prices
        async with asyncio.timeout_at(_on_the_loops_clock(run.deadline)):
            holdings = await self._neighbours.accounting.holdings(portfolio_id, deadline=run.deadline)
            # Once one portfolio has been priced, so are the securities of the model.
            wanted = securities_outside(run.securities, holdings)
            if run.terms is None:
                wanted = run.securities + wanted
            quote = await prices.quote(wanted, deadline=run.deadline)
            require_prices(portfolio_id, quote)
            if run.terms is None:
                run.terms = encoded_terms(run.id, run.trade_date, self._dialect, run.model, quote)
            name = await run.name(portfolio_id)
            async with run.under_way.at_work():
                assigned = assignment(run.terms, run.securities, place, name, holdings, quote)
                return await self._solvers.solve(assigned, lane=run.id, deadline=run.deadline)

    def _missed_deadline(self, portfolio_id: str) -> OrderGenerationError:
        return translation.of_missed_deadline(portfolio_id, self._limits.deadline_seconds)


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


def _failed(
    run: _Run, place: int, portfolio_id: str, portfolio_name: str | None, error: OrderGenerationError
) -> RebalancedPortfolio:
    return RebalancedPortfolio(
        rebalance_id=run.id,
        place=place,
        portfolio_id=portfolio_id,
        portfolio_name=portfolio_name,
        status="FAILED",
        failure=Failure(error.code, error.message, dict(with_decimals(error.details, storable)), now(), trace_id()),
        market_value=None,
        cash_before=None,
        cash_after=None,
        trade_date=run.trade_date.isoformat(),
        positions=(),
        solve=None,
    )


def _on_the_loops_clock(deadline: float) -> float:
    """Put a moment of `time.monotonic()` on the running loop's clock, which asyncio's time-outs want."""
    loop = asyncio.get_running_loop()
    return loop.time() + deadline - time.monotonic()
