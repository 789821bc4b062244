"""The rebalance path: price the model once, rebalance each portfolio, store everything, then respond."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from functools import partial
from typing import Protocol
from zoneinfo import ZoneInfo

import structlog
from bson import ObjectId
from msgspec import Struct

from app.clock import deadline_in, now, today
from app.http.dialect import Dialect
from app.rebalancing.body import ResponseBody
from app.rebalancing.books import Books, open_books
from app.rebalancing.context import RebalanceContext
from app.rebalancing.portfolio import PortfolioRebalancer
from app.rebalancing.results import Results
from app.rebalancing.schedule import Schedule
from app.rebalancing.schemas import RebalanceRequest
from app.rebalancing.telemetry import RebalanceObserver
from integrations import Upstreams
from persistence import Database, DatabaseUnavailable, Failure, Model, PortfolioRecord, Rebalance

log = structlog.get_logger(__name__)


class RebalanceLimits(Struct, frozen=True):
    """What bounds one request, and the zone of its trade date.

    Attributes:
        deadline_seconds: for all of it.
        timezone: of the trade date.
    """

    deadline_seconds: float
    timezone: ZoneInfo


class Storage(Protocol):
    """Receives the results of one rebalance."""

    async def add(self, record: PortfolioRecord) -> None:
        """Store one portfolio."""

    async def finish(self, header: Rebalance) -> None:
        """Publish the rebalance."""


class Rebalanced(Struct, frozen=True):
    """A rebalance as it was stored, or a preview.

    Attributes:
        failures: id and failure of each portfolio that failed, in the order of the rebalance.
        body: the response; the receiver closes it.
        stored: False for a preview.
    """

    header: Rebalance
    failures: list[tuple[str, Failure]]
    body: ResponseBody
    stored: bool = True

    @property
    def all_failed(self) -> bool:
        """Whether no portfolio completed."""
        return 0 < len(self.failures) == self.header.number_of_portfolios


class Rebalancer:
    """Rebalances portfolios of a model.

    Attributes:
        schedule: of the requests that are running.
    """

    def __init__(
        self,
        database: Database,
        upstreams: Upstreams,
        portfolios: PortfolioRebalancer,
        schedule: Schedule,
        limits: RebalanceLimits,
        dialect: Dialect,
        observer: RebalanceObserver,
    ) -> None:
        self._database = database
        self._upstreams = upstreams
        self._portfolios = portfolios
        self.schedule = schedule
        self._limits = limits
        self._dialect = dialect
        self._observer = observer

    async def rebalance(
        self,
        model: Model,
        portfolio_ids: Sequence[str],
        request: RebalanceRequest,
        rebalance_id: ObjectId,
        *,
        with_proof: bool = False,
        on_result: Callable[[], None] | None = None,
    ) -> Rebalanced:
        """Rebalance portfolios at the prices of one moment, and store every result before it is returned.

        A portfolio that fails affects no other. A preview computes the same and stores nothing.

        Args:
            model: the targets of the portfolios.
            portfolio_ids: portfolios to rebalance, in the order of the response.
            request: the rules, and whether it is a preview.
            rebalance_id: the id to store under.
            with_proof: whether the response contains the proofs.
            on_result: called after each portfolio.

        Raises:
            DatabaseUnavailable: nothing was stored.
        """
        rules, stored = request.solver_rules(), not request.preview
        requested_at, trade_date = now(), today(self._limits.timezone)
        deadline = deadline_in(self._limits.deadline_seconds)
        with (
            self.schedule.rebalance(len(portfolio_ids)) as running,
            ResponseBody() as body,
            self._observer.rebalance(rebalance_id, model.id, rules=rules, stored=stored) as observed,
        ):
            async with (
                open_books(
                    self._upstreams,
                    model,
                    portfolio_ids,
                    rules=rules,
                    rebalance_id=rebalance_id if stored else None,
                    trade_date=trade_date,
                    dialect=self._dialect,
                    deadline=deadline,
                    with_proof=with_proof,
                ) as books,
                self._storage(rebalance_id, stored=stored) as storage,
            ):
                context = RebalanceContext(
                    id=rebalance_id,
                    stored=stored,
                    with_proof=with_proof,
                    requested_at=requested_at,
                    trade_date=trade_date,
                    deadline=deadline,
                    dialect=self._dialect,
                    running=running,
                    observed=observed,
                    source=books,
                    results=Results(body, storage.add if storage else None, on_result),
                )
                await running.each(partial(self._portfolios.rebalance, context), portfolio_ids)
                calculated_at = requested_at + self._database.clock.offset
                header = _header(context, books, model, len(portfolio_ids), request, calculated_at)
                if storage is not None:
                    await storage.finish(header)
            rebalanced = Rebalanced(header, context.results.failures, body, stored)
            if stored and not rebalanced.all_failed:
                await self._set_last_rebalance_date(model, context)
        return rebalanced

    def _storage(self, rebalance_id: ObjectId, *, stored: bool) -> AbstractAsyncContextManager[Storage | None]:
        return self._database.rebalances.storing(rebalance_id) if stored else nullcontext()

    async def _set_last_rebalance_date(self, model: Model, context: RebalanceContext) -> None:
        """Date the model. The rebalance is stored by now, so a database failure here must not fail it."""
        try:
            await self._database.models.touch_last_rebalance_date(model.id, context.requested_at)
        except DatabaseUnavailable:
            log.warning("last rebalance date not updated")


def _header(
    context: RebalanceContext,
    books: Books,
    model: Model,
    number_of_portfolios: int,
    request: RebalanceRequest,
    calculated_at: datetime,
) -> Rebalance:
    """Return the document that completes the stored rebalance."""
    return Rebalance(
        id=context.id,
        model_id=model.id,
        model_name=model.name,
        rebalance_date=context.requested_at,
        priced_at=books.priced_at,
        number_of_portfolios=number_of_portfolios,
        created_at=now(),
        version=1,
        rules=request.rules_document(),
        calculated_at=calculated_at,
    )
