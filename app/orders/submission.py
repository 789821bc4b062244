"""A request to send the orders of a rebalance: checked, planned for all its portfolios or for none, and shown.

hold the rebalance, so that it cannot be deleted
insert a plan for each portfolio, which claims the portfolio; drafts until all are inserted
accept the drafts, after which the plans continue by themselves
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import Final

from bson import ObjectId
from msgspec import Struct

from app.errors.codes import ErrorCode, OrderGenerationError
from app.http.correlation import correlation_id
from app.http.dialect import Dialect
from app.http.exact_json import encode
from app.orders.planning import PlanTemplate, check_claims, costs_of, too_old
from app.orders.schemas import OrdersRequest, OrderSubmissionDTO, PortfolioOrdersDTO, Totals, submission_status
from app.orders.sweep import OrderSweep
from app.orders.telemetry import OrderObserver
from app.orders.trades import planned_orders
from persistence import (
    Claim,
    Database,
    DatabaseUnavailable,
    DocumentUnreadable,
    OrderPlan,
    Rebalance,
    RebalancedPortfolio,
    RebalanceNotFound,
)

INSERTED_ORDERS: Final = 500
"""Orders of one insert: to encode them keeps the event loop from other callers for some ten milliseconds."""
_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.02, 0.5
_COURTESY_SECONDS: Final = 0.2
"""How long a call that plans many orders waits for running rebalances to end, after each insert."""
_PROLONG_SECONDS: Final = 15.0
"""Thousands of plans can take longer to insert than a draft is kept."""
_ATTEMPTS: Final = 3
_CONFLICTS: Final = 20
"""Failed inserts of one plan, after which its id must be that of a document that does not name its rebalance."""


class OrderState(Struct, frozen=True):
    """The orders of a rebalance as JSON, in parts, and whether all of them have an outcome."""

    parts: list[bytes]
    unfinished: bool

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the JSON."""
        for part in self.parts:
            yield part


class OrderSubmission:
    """Requests to send orders, and the state of orders.

    Args:
        database: rebalances and plans.
        sweep: works on the plans.
        observer: notified of requests.
        idle: waits until no rebalance is running, for at most as many seconds as it is called with.
        dialect: of the responses.
        max_age: how old a rebalance may be when its orders are requested.
        response_seconds: how long a request waits for outcomes before it returns what is known.
    """

    def __init__(
        self,
        database: Database,
        sweep: OrderSweep,
        observer: OrderObserver,
        idle: Callable[[float], Awaitable[None]],
        dialect: Dialect,
        *,
        max_age: timedelta,
        response_seconds: float,
    ) -> None:
        self._database = database
        self._sweep = sweep
        self._observer = observer
        self._idle = idle
        self._dialect = dialect
        self._max_age = max_age
        self._response_seconds = response_seconds

    async def request(self, rebalance_id: ObjectId, request: OrdersRequest, user: str | None) -> OrderState:
        """Plan the orders of portfolios that have none, wait a while for their outcomes, and return the state.

        Raises:
            OrderGenerationError: `PORTFOLIO_NOT_FOUND`, `REBALANCE_TOO_OLD` or `SUPERSEDED`; then nothing was planned.
            RebalanceNotFound: no rebalance has this id.
            DocumentUnreadable: the rebalance or a plan is not in this service's format; then nothing was planned.
            DatabaseUnavailable: the plan could not be stored completely; it may continue all the same.
        """
        rebalance = await self._database.rebalances.get(rebalance_id)
        members = await self._database.order_requests.portfolio_ids(rebalance_id)
        requested = members if request.portfolios is None else tuple(dict.fromkeys(request.portfolios))
        if unknown := sorted(set(requested) - set(members)):
            raise OrderGenerationError(
                ErrorCode.PORTFOLIO_NOT_FOUND,
                "The rebalance has no such portfolio.",
                {"rebalanceId": str(rebalance_id), "portfolioIds": unknown},
            )
        await self._plan_missing(rebalance, requested, user, submit=request.submit)
        self._observer.requested(str(rebalance_id), len(requested), user, submit=request.submit)
        # The plan is stored and continues by itself, so the call has succeeded.
        recorded = await self._persistently(lambda: self._requested_state(rebalance_id))
        if not recorded.unfinished and not request.submit:
            return recorded
        try:
            await self._wait(rebalance_id)
            return await self._requested_state(rebalance_id)
        except DatabaseUnavailable:
            return recorded

    async def _plan_missing(
        self, rebalance: Rebalance, requested: Sequence[str], user: str | None, *, submit: bool
    ) -> None:
        """Plan the orders of portfolios that have no plan, and accept and submit those that were planned before."""
        orders, requests = self._database.orders, self._database.order_requests
        for _ in range(_ATTEMPTS):
            planned = await orders.planned(rebalance.id)
            if planned:
                # An unreadable plan is reported before anything more is planned or submitted.
                await self.state(rebalance.id)
            known = planned | set(await requests.without_orders(rebalance.id))
            planned &= set(requested)
            if missing := [each for each in requested if each not in known]:
                planned |= await self._plan(rebalance, missing, user, submit=submit)
            await self._persistently(lambda: orders.accept(rebalance.id, requested))
            # A draft that existed may have been that of another call, which has been rejected since.
            if planned <= await self._persistently(lambda: orders.planned(rebalance.id)):
                break
        else:
            raise OrderGenerationError(
                ErrorCode.DATABASE_UNAVAILABLE, "The orders could not be planned in time; try again shortly."
            )
        if submit:
            await self._persistently(lambda: orders.request_submission(rebalance.id, requested))

    async def _persistently[T](self, call: Callable[[], Awaitable[T]]) -> T:
        """Call the database about plans that are stored, again if it fails, for as long as a caller waits for outcomes.

        Raises:
            DatabaseUnavailable: it failed until then.
        """
        until = time.monotonic() + self._response_seconds
        while True:
            try:
                return await call()
            except DatabaseUnavailable:
                if time.monotonic() >= until:
                    raise
                await asyncio.sleep(_LONGEST_LOOK_SECONDS)

    async def _requested_state(self, rebalance_id: ObjectId) -> OrderState:
        state = await self.state(rebalance_id)
        if state is None:
            # Nothing was planned, so that the rebalance could be deleted meanwhile.
            raise RebalanceNotFound(rebalance_id)
        return state

    async def get(self, rebalance_id: ObjectId) -> OrderState:
        """Return the recorded orders of a rebalance.

        Raises:
            OrderGenerationError: `NOT_FOUND` if none were ever requested.
            RebalanceNotFound: no rebalance has this id.
            DocumentUnreadable: a plan is not in this service's format.
        """
        state = await self.state(rebalance_id)
        if state is None:
            await self._database.rebalances.get(rebalance_id)
            raise OrderGenerationError(
                ErrorCode.NOT_FOUND,
                "No orders of this rebalance were requested.",
                {"rebalanceId": str(rebalance_id)},
            )
        return state

    async def state(self, rebalance_id: ObjectId) -> OrderState | None:
        """Return the recorded orders of a rebalance, followed by the requested portfolios that have none.

        Returns:
            None if nothing was ever requested.

        Raises:
            DocumentUnreadable: a plan is not in this service's format.
        """
        parts: list[bytes] = []
        totals = Totals()
        async for plan in self._database.orders.of_rebalance(rebalance_id):
            totals += Totals.of(plan)
            parts.append(self._encode(PortfolioOrdersDTO.of(plan)))
            # Plans that have arrived are read without waiting; other callers have their turn in between.
            await asyncio.sleep(0)
        without = await self._database.order_requests.without_orders(rebalance_id)
        parts += [self._encode(PortfolioOrdersDTO(each, "COMPLETED", [])) for each in without]
        if not parts:
            return None
        head = OrderSubmissionDTO(
            rebalance_id=str(rebalance_id),
            status=submission_status(totals),
            total=totals.total,
            created=totals.created,
            refused=totals.refused,
            unknown=totals.unknown,
            pending=totals.pending,
            duplicates=totals.duplicates,
            portfolios=[],
        )
        opening = self._encode(head).removesuffix(b"]}")
        return OrderState([opening, *_separated(parts), b"]}"], totals.unfinished)

    def _encode(self, content: Struct) -> bytes:
        return encode(self._dialect.spell(content))

    async def _plan(
        self, rebalance: Rebalance, portfolio_ids: Collection[str], user: str | None, *, submit: bool
    ) -> set[str]:
        """Insert a draft for each of these portfolios that trades, or for none of them, and return those that trade."""
        call = ObjectId()
        now, started = await self._database.orders.now(), time.monotonic()
        await self._database.order_requests.hold(rebalance.id, call)
        try:
            claims = await self._database.orders.claims(rebalance.id, portfolio_ids)
            traded = [
                portfolio.portfolio_id
                async for portfolio in self._portfolios(rebalance, portfolio_ids)
                if planned_orders(portfolio)
            ]
            if traded and now - rebalance.created_at > self._max_age:
                raise too_old(rebalance, self._max_age)
            check_claims(rebalance, {each: claims[each] for each in traded if each in claims})
            template = PlanTemplate(rebalance, costs_of(rebalance), call, correlation_id(), user, now, started, submit)
            await self._insert(template, traded, claims)
            if without := set(portfolio_ids).difference(traded):
                await self._database.order_requests.record_without_orders(rebalance.id, without)
        except (OrderGenerationError, DocumentUnreadable):
            await self._database.orders.discard(rebalance.id, call)
            await self._database.order_requests.release(rebalance.id, call)
            raise
        if not traded:
            await self._database.order_requests.release(rebalance.id, call)
        return set(traded)

    async def _portfolios(
        self, rebalance: Rebalance, portfolio_ids: Collection[str]
    ) -> AsyncIterator[RebalancedPortfolio]:
        """Yield portfolios of a rebalance with their positions, one in memory at a time."""
        if len(portfolio_ids) * 10 < rebalance.number_of_portfolios:
            for portfolio_id in portfolio_ids:
                portfolio = await self._database.rebalances.portfolio(rebalance.id, portfolio_id)
                if portfolio is not None:
                    yield portfolio
            return
        wanted = set(portfolio_ids)
        async for portfolio in self._database.rebalances.portfolios(rebalance):
            await asyncio.sleep(0)
            if portfolio.portfolio_id in wanted:
                yield portfolio

    async def _insert(self, template: PlanTemplate, portfolio_ids: Collection[str], claims: dict[str, Claim]) -> None:
        batch: list[OrderPlan] = []
        prolonged = time.monotonic()
        async for portfolio in self._portfolios(template.rebalance, portfolio_ids):
            sequence = claims.get(portfolio.portfolio_id, Claim()).sequence + 1
            batch.append(template.plan(portfolio, sequence))
            if sum(len(plan.orders) for plan in batch) >= INSERTED_ORDERS:
                await self._insert_batch(template, batch)
                batch = []
                await self._idle(_COURTESY_SECONDS)
                if time.monotonic() > prolonged + _PROLONG_SECONDS:
                    await self._database.orders.prolong(template.rebalance.id, template.call)
                    prolonged = time.monotonic()
        await self._insert_batch(template, batch)

    async def _insert_batch(self, template: PlanTemplate, batch: list[OrderPlan]) -> None:
        """Insert plans; one that another call of the same rebalance has inserted meanwhile is that call's."""
        conflicts = 0
        while batch:
            inserted = await self._database.orders.insert(batch)
            batch = batch[inserted:]
            if not batch:
                return
            taken = batch[0]
            conflicts = 1 if inserted else conflicts + 1
            if conflicts > _CONFLICTS:
                raise DocumentUnreadable("order plan", taken.id)
            if taken.portfolio_id in await self._database.orders.planned(template.rebalance.id):
                batch, conflicts = batch[1:], 0
                continue
            claims = await self._database.orders.claims(template.rebalance.id, [taken.portfolio_id])
            check_claims(template.rebalance, claims)
            sequence = claims.get(taken.portfolio_id, Claim()).sequence + 1
            batch = [template.numbered(taken, sequence), *batch[1:]]

    async def _wait(self, rebalance_id: ObjectId) -> None:
        """Wait until the plans of a rebalance have nothing left to do now, or the time is up."""
        until = time.monotonic() + self._response_seconds
        pause = _FIRST_LOOK_SECONDS
        self._sweep.wake()
        while time.monotonic() < until and await self._database.orders.is_active(rebalance_id):
            if self._sweep.blocked:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK_SECONDS)


def _separated(parts: Sequence[bytes]) -> list[bytes]:
    return [part if index == 0 else b"," + part for index, part in enumerate(parts)]
