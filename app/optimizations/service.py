"""Stateless optimisation: from the request's portfolios to their trades and proofs."""

from collections.abc import Mapping
from decimal import Decimal
from functools import partial

import msgspec
from bson import ObjectId
from msgspec import Struct

from app.clock import deadline_in, now, today
from app.errors.codes import ErrorCode, OrderGenerationError
from app.http.dialect import Dialect
from app.optimizations.schemas import OptimizationPortfolio, OptimizationRequest
from app.rebalancing.body import ResponseBody
from app.rebalancing.context import RebalanceContext
from app.rebalancing.portfolio import PortfolioRebalancer
from app.rebalancing.rebalance import RebalanceLimits
from app.rebalancing.results import Results
from app.rebalancing.schedule import Schedule
from app.rebalancing.telemetry import RebalanceObserver
from app.solver_task.assignment import Assignment, HeldSecurity, Terms
from app.solver_task.warnings import named
from solver import Rules, Security, Unpriced

ZERO = Decimal(0)


class RequestedPortfolios(Struct, frozen=True):
    """The portfolios of a request, as a `PortfolioSource`.

    Attributes:
        terms: encoded; empty if a security of the model has no price.
        missing: securities of the model without a price, in its order.
    """

    portfolios: list[OptimizationPortfolio]
    prices: Mapping[str, Decimal]
    security_ids: list[str]
    terms: bytes
    missing: list[str]
    holds_unpriced: bool

    async def assignment(self, index: int, portfolio_id: str) -> Assignment:
        """See `PortfolioSource`."""
        portfolio = self.portfolios[index]
        held = {holding.security_id: Decimal(holding.quantity) for holding in portfolio.holdings if holding.quantity}
        outside = sorted(set(held).difference(self.security_ids))
        missing = list(self.missing)
        if not self.holds_unpriced:
            missing += [security_id for security_id in outside if security_id not in self.prices]
        if missing:
            raise OrderGenerationError(
                ErrorCode.PRICE_UNAVAILABLE,
                f"The request has no price for {named(missing)}.",
                {
                    "securityIds": missing,
                    "prices": [{"securityId": security_id, "reason": "MISSING"} for security_id in missing],
                },
            )
        return Assignment(
            terms=self.terms,
            index=index,
            portfolio_id=portfolio_id,
            portfolio_name=None,
            cash=Decimal(portfolio.cash),
            quantities=tuple(held.get(security_id, ZERO) for security_id in self.security_ids),
            others=tuple(
                HeldSecurity(security_id, None, self.prices.get(security_id), held[security_id])
                for security_id in outside
            ),
        )

    async def name(self, portfolio_id: str) -> None:
        """See `PortfolioSource`."""


class OptimizationService:
    """Serves stateless optimisations."""

    def __init__(
        self,
        portfolios: PortfolioRebalancer,
        schedule: Schedule,
        limits: RebalanceLimits,
        dialect: Dialect,
        observer: RebalanceObserver,
    ) -> None:
        self._portfolios = portfolios
        self._schedule = schedule
        self._limits = limits
        self._dialect = dialect
        self._observer = observer

    async def optimize(self, request: OptimizationRequest) -> ResponseBody:
        """Compute the trades of every portfolio of a request; a portfolio that fails says why.

        Args:
            request: everything that is needed.
        """
        rules = request.solver_rules()
        trade_date = today(self._limits.timezone)
        with (
            self._schedule.rebalance(len(request.portfolios)) as running,
            ResponseBody() as body,
            self._observer.optimization(rules) as observed,
        ):
            context = RebalanceContext(
                id=ObjectId(),
                stored=False,
                with_proof=True,
                requested_at=now(),
                trade_date=trade_date,
                deadline=deadline_in(self._limits.deadline_seconds),
                dialect=self._dialect,
                running=running,
                observed=observed,
                source=_source(request, rules, trade_date.isoformat(), self._dialect),
                results=Results(body),
            )
            portfolio_ids = [portfolio.portfolio_id for portfolio in request.portfolios]
            await running.each(partial(self._portfolios.rebalance, context), portfolio_ids)
        return body


def _source(
    request: OptimizationRequest, rules: Rules | None, trade_date: str, dialect: Dialect
) -> RequestedPortfolios:
    prices = {price.security_id: Decimal(price.price) for price in request.prices}
    missing = [position.security_id for position in request.positions if position.security_id not in prices]
    terms = b""
    if not missing:
        securities = tuple(
            Security(
                position.security_id,
                prices[position.security_id],
                ZERO,
                Decimal(position.target),
                Decimal(position.low_drift),
                Decimal(position.high_drift),
            )
            for position in request.positions
        )
        tickers = (None,) * len(securities)
        terms = msgspec.msgpack.encode(Terms(None, trade_date, dialect, securities, tickers, rules, with_proof=True))
    return RequestedPortfolios(
        portfolios=request.portfolios,
        prices=prices,
        security_ids=[position.security_id for position in request.positions],
        terms=terms,
        missing=missing,
        holds_unpriced=rules is not None and rules.unpriced is Unpriced.HOLD,
    )
