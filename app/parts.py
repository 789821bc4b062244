"""The parts of a running service, opened in order and closed in reverse, and the settings of each."""

import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo

from msgspec import Struct, structs

from app.background import running
from app.clock import today
from app.commands.parent_watch import end_with_server
from app.history.readable import check_readable
from app.http.connections import Connections
from app.observability.collector import Collector, export_metrics
from app.observability.database import CommandObserver, ConnectionObserver
from app.observability.metrics import Metrics
from app.observability.pool_metrics import log_loss, register_figures
from app.observability.tracing import Tracing
from app.observability.upstream import UpstreamObserver
from app.operations.readiness import Readiness, ReadinessFigures
from app.optimizations.service import OptimizationService
from app.orders.parts import open_orders
from app.orders.submission import OrderSubmission
from app.rebalancing.portfolio import PortfolioRebalancer
from app.rebalancing.rebalance import RebalanceLimits, Rebalancer
from app.rebalancing.schedule import Schedule, ScheduleFigures
from app.rebalancing.service import RebalanceService
from app.rebalancing.telemetry import RebalanceObserver
from app.settings import Settings
from app.solver_task.assignment import Assignment
from app.solver_task.calculate import CALCULATION, Calculation
from integrations import MaximumAge, ServiceSettings, Upstreams, UpstreamSettings, open_upstreams
from persistence import Database, open_database
from solver.pool import SolverPool


class Observability(Struct, frozen=True):
    """Where the parts report to."""

    metrics: Metrics
    tracing: Tracing
    collector: Collector


class Parts(Struct, frozen=True):
    """What the handlers use.

    Attributes:
        database, rebalances, order_submission: None in a stateless optimiser.
    """

    readiness: Readiness
    optimizations: OptimizationService
    database: Database | None
    rebalances: RebalanceService | None
    order_submission: OrderSubmission | None


@asynccontextmanager
async def open_parts(
    settings: Settings, observability: Observability, connections: Connections
) -> AsyncIterator[Parts]:
    """Open every part for as long as the block lasts, the solver processes included."""
    metrics, tracing = observability.metrics, observability.tracing
    end_with_server(settings.drain_seconds)
    async with AsyncExitStack() as stack:
        stack.callback(tracing.close)
        await stack.enter_async_context(connections.watched())
        stack.enter_context(tracing.untraced())
        database, upstreams = None, None
        if not settings.stateless:
            database = await stack.enter_async_context(_database(settings, metrics))
            await stack.enter_async_context(running("sweep", database.keep_sweeping, metrics))
            upstreams = await stack.enter_async_context(
                open_upstreams(_upstream_settings(settings), UpstreamObserver(metrics))
            )
        solvers = await stack.enter_async_context(_solver_pool(settings))
        readiness = Readiness(database, solvers, upstreams)
        await readiness.check()
        await stack.enter_async_context(running("readiness", readiness.keep_checking, metrics))
        register_figures(metrics, solvers, upstreams)
        metrics.registry.register(ReadinessFigures(readiness))
        stack.enter_context(export_metrics(observability.collector, metrics))
        # One portfolio for each solver process keeps all of them busy.
        schedule = Schedule(settings.rebalance_concurrency, beside_smaller=settings.solver_processes)
        metrics.registry.register(ScheduleFigures(schedule))
        order_submission = None
        if database is not None and upstreams is not None:
            order_submission = await stack.enter_async_context(
                open_orders(settings, database, upstreams.orders, schedule, metrics, tracing)
            )
        parts = _services(settings, observability, solvers, schedule, readiness, database, upstreams, order_submission)
        # What exists by now stays. A collection that visits all of it would delay every request by 0.2 s, and copy the
        # memory that is shared with the server process.
        gc.freeze()
        yield parts


def _services(
    settings: Settings,
    observability: Observability,
    solvers: SolverPool[Assignment, Calculation],
    schedule: Schedule,
    readiness: Readiness,
    database: Database | None,
    upstreams: Upstreams | None,
    order_submission: OrderSubmission | None,
) -> Parts:
    limits = RebalanceLimits(
        deadline_seconds=settings.rebalance_deadline_seconds, timezone=ZoneInfo(settings.trade_date_timezone)
    )
    observer = RebalanceObserver(observability.metrics, observability.tracing)
    portfolios = PortfolioRebalancer(solvers, settings.rebalance_deadline_seconds)
    dialect = settings.api_dialect
    rebalances = None
    if database is not None and upstreams is not None:
        rebalancer = Rebalancer(database, upstreams, portfolios, schedule, limits, dialect, observer)
        rebalances = RebalanceService(database, rebalancer, dialect)
    optimizations = OptimizationService(portfolios, schedule, limits, dialect, observer)
    return Parts(readiness, optimizations, database, rebalances, order_submission)


@asynccontextmanager
async def _database(settings: Settings, metrics: Metrics) -> AsyncIterator[Database]:
    # A request that is past its deadline still has to store what it has.
    lease = timedelta(seconds=settings.rebalance_deadline_seconds + 30)
    listeners = (CommandObserver(metrics), ConnectionObserver(metrics))
    async with open_database(
        settings.mongodb_url,
        settings.database_name,
        lease=lease,
        listeners=listeners,
        on_unreadable=lambda collection: metrics.unreadable_documents.labels(collection).inc(),
        check_portfolio=check_readable,
    ) as database:
        yield database


def _solver_pool(settings: Settings) -> SolverPool[Assignment, Calculation]:
    return SolverPool(
        processes=settings.solver_processes,
        work=structs.replace(CALCULATION, memory_bytes=settings.solver_memory_bytes),
        strategy=settings.solver_strategy,
        time_limit_seconds=settings.solver_timeout_seconds,
        on_loss=log_loss,
    )


def _upstream_settings(settings: Settings) -> UpstreamSettings:
    def service(name: str, url: str, timeout_seconds: float) -> ServiceSettings:
        return ServiceSettings(
            name=name,
            url=url,
            timeout_seconds=timeout_seconds,
            retries=settings.external_service_retries,
            breaker_failures=settings.circuit_breaker_failures,
            breaker_reset_seconds=settings.circuit_breaker_reset_seconds,
        )

    return UpstreamSettings(
        portfolio_accounting=service(
            "portfolio-accounting",
            settings.portfolio_accounting_service_url,
            settings.portfolio_accounting_service_timeout_seconds,
        ),
        pricing=service("pricing", settings.pricing_service_url, settings.pricing_service_timeout_seconds),
        portfolio=service("portfolio", settings.portfolio_service_url, settings.portfolio_service_timeout_seconds),
        security=service("security", settings.security_service_url, settings.security_service_timeout_seconds),
        order=service("order", settings.order_service_url, settings.order_service_timeout_seconds),
        maximum_price_age=_maximum_price_age(settings),
        price_cache_ttl_seconds=settings.price_cache_ttl_seconds,
        security_cache_ttl_seconds=settings.security_cache_ttl_seconds,
    )


def _maximum_price_age(settings: Settings) -> MaximumAge | None:
    if settings.price_max_age_days is None:
        return None
    return MaximumAge(settings.price_max_age_days, partial(today, ZoneInfo(settings.trade_date_timezone)))
