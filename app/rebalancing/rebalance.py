"""The rebalance path: price the model once, rebalance each portfolio, store everything, then respond."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from zoneinfo import ZoneInfo

import structlog
from bson import ObjectId
from msgspec import Struct

from app.clock import deadline_in, now, today
from app.http.dialect import Dialect
from app.rebalancing.body import ResponseBody
from app.rebalancing.context import PricedModel, RebalanceContext
from app.rebalancing.portfolio import Failed, PortfolioRebalancer
from app.rebalancing.problem import encoded_terms, securities_of
from app.rebalancing.schedule import RunningRebalance, Schedule
from app.rebalancing.telemetry import ObservedRebalance, RebalanceObserver
from app.solver_task.assignment import Assignment
from app.solver_task.calculate import Calculation
from integrations import BooksInvalid, ServiceError, Upstreams
from persistence import Database, DatabaseUnavailable, Failure, Model, Rebalance
from solver.pool import SolverPool

log = structlog.get_logger(__name__)


class RebalanceLimits(Struct, frozen=True):
    """What bounds one request, and the zone of its trade date.

    Attributes:
        deadline_seconds: for all of it.
        concurrency: portfolios in flight.
        beside_smaller: of these, being computed while a smaller request is running.
        timezone: of the trade date.
    """

    deadline_seconds: float
    concurrency: int
    beside_smaller: int
    timezone: ZoneInfo


class Rebalanced(Struct, frozen=True):
    """A rebalance as it was stored.

    Attributes:
        failures: id and failure of each portfolio that failed, in the order of the rebalance.
        body: the response; the receiver closes it.
    """

    header: Rebalance
    failures: list[tuple[str, Failure]]
    body: ResponseBody

    @property
    def all_failed(self) -> bool:
        """Whether no portfolio completed."""
        return 0 < len(self.failures) == self.header.number_of_portfolios


class Rebalancer:
    """Rebalances portfolios of a model.

    Attributes:
        schedule: of the rebalances that are running.
    """

    def __init__(
        self,
        database: Database,
        upstreams: Upstreams,
        solvers: SolverPool[Assignment, Calculation],
        limits: RebalanceLimits,
        dialect: Dialect,
        observer: RebalanceObserver,
    ) -> None:
        self._database = database
        self._upstreams = upstreams
        self._portfolios = PortfolioRebalancer(upstreams, solvers, limits.deadline_seconds)
        self._limits = limits
        self.schedule = Schedule(limits.concurrency, limits.beside_smaller)
        self._dialect = dialect
        self._observer = observer

    async def rebalance(
        self, model: Model, portfolio_ids: Sequence[str], rebalance_id: ObjectId | None = None
    ) -> Rebalanced:
        """Rebalance portfolios at the prices of one moment, and store every result before it is returned.

        A portfolio that fails affects no other.

        Args:
            model: the targets of the portfolios.
            portfolio_ids: portfolios to rebalance, in the order of the response.
            rebalance_id: the id to store under, if the caller has reserved one.

        Raises:
            DatabaseUnavailable: nothing was stored.
        """
        rebalance_id = rebalance_id or ObjectId()
        failures: dict[int, tuple[str, Failure]] = {}
        with (
            self.schedule.rebalance(len(portfolio_ids)) as running,
            ResponseBody() as body,
            self._observer.rebalance(rebalance_id, model.id) as observed,
        ):
            async with self._context(rebalance_id, model, portfolio_ids, running, observed) as context:
                async with self._database.rebalances.storing(rebalance_id) as storage:

                    async def rebalance_portfolio(index: int, portfolio_id: str) -> None:
                        result = await self._portfolios.rebalance(context, index, portfolio_id)
                        if isinstance(result, Failed):
                            failures[index] = portfolio_id, result.failure
                        body.add(index, result.body)
                        await storage.add(result.record)

                    await running.each(rebalance_portfolio, portfolio_ids)
                    header = context.header(len(portfolio_ids))
                    await storage.finish(header)
                if len(failures) < len(portfolio_ids):
                    await self._set_last_rebalance_date(context)
        return Rebalanced(header, [failure for _, failure in sorted(failures.items())], body)

    @asynccontextmanager
    async def _context(
        self,
        rebalance_id: ObjectId,
        model: Model,
        portfolio_ids: Sequence[str],
        running: RunningRebalance,
        observed: ObservedRebalance,
    ) -> AsyncIterator[RebalanceContext]:
        """Take the price snapshot, and load the portfolios' names in the background for as long as the block lasts."""
        requested_at, trade_date = now(), today(self._limits.timezone)
        deadline = deadline_in(self._limits.deadline_seconds)
        security_ids = securities_of(model)
        names = asyncio.create_task(self._upstreams.portfolio_names.names(portfolio_ids))
        try:
            priced: PricedModel | BooksInvalid | ServiceError
            try:
                snapshot = await self._upstreams.market_data.snapshot(deadline=deadline)
                quote = await snapshot.quote(security_ids, deadline=deadline)
                terms = encoded_terms(rebalance_id, trade_date, self._dialect, model, quote)
                priced = PricedModel(snapshot, quote, terms)
            except (BooksInvalid, ServiceError) as error:
                priced = error
            yield RebalanceContext(
                id=rebalance_id,
                model=model,
                security_ids=security_ids,
                requested_at=requested_at,
                trade_date=trade_date,
                deadline=deadline,
                dialect=self._dialect,
                running=running,
                observed=observed,
                names=names,
                cached_name=self._upstreams.portfolio_names.cached,
                priced=priced,
            )
        finally:
            names.cancel()

    async def _set_last_rebalance_date(self, context: RebalanceContext) -> None:
        """Date the model. The rebalance is stored by now, so a database failure here must not fail it."""
        try:
            await self._database.models.touch_last_rebalance_date(context.model.id, context.requested_at)
        except DatabaseUnavailable:
            log.warning("last rebalance date not updated")
