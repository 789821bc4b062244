"""The application: its parts, opened and closed in order, and the routes on top of them."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import Any
from zoneinfo import ZoneInfo

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ASGIApp

from app.clock import today
from app.commands.parent_watch import end_with_server
from app.errors import envelope
from app.history.endpoints import RebalanceHistoryController
from app.http.connections import ConnectionLimits, Connections, connection_limit
from app.http.correlation import Correlation
from app.http.cors import CrossOrigin
from app.http.dialect import Dialect
from app.http.framework import ExactRequest, ExactResponse, ExactSnakeCaseResponse
from app.http.head import HeadRequests
from app.http.headers import complete_headers
from app.http.query import is_whole_number, read_whole_number
from app.http.transfers import Transfers, request_timeout
from app.http.unknown_parameters import reject_unknown_parameters
from app.models.endpoints import ModelController
from app.observability.collector import Collector, export_metrics, load_collector, open_tracing
from app.observability.database import CommandObserver, ConnectionObserver
from app.observability.http_requests import RequestObserver
from app.observability.logs import configure_logs
from app.observability.metrics import Metrics
from app.observability.pool_metrics import register_figures, tell_loss
from app.observability.tracing import Tracing
from app.observability.upstream import UpstreamObserver
from app.operations.background import running
from app.operations.health import HealthController
from app.operations.metrics import prometheus
from app.operations.openapi import pages
from app.operations.openapi.document import NumberSchemaPlugin
from app.operations.readiness import Readiness
from app.orders.endpoints import OrderController
from app.orders.parts import open_orders
from app.rebalancing.endpoints import RebalanceController
from app.rebalancing.rebalance import RebalanceLimits, Rebalancer
from app.rebalancing.service import RebalanceService
from app.rebalancing.telemetry import RebalanceObserver
from app.settings import Settings, load_settings
from app.solver_task.calculate import CALCULATION
from integrations import MaximumAge, ServiceSettings, UpstreamSettings, open_upstreams
from persistence import open_database
from solver.pool import SolverPool

MAXIMUM_BODY_BYTES = 1_000_000
"""A model of 100 positions and 1,000 portfolios takes about 60 kB."""


def create_app(settings: Settings | None = None) -> ASGIApp:
    """Build the service; the database, neighbours and solver processes open with its lifespan.

    Args:
        settings: by default those of the environment.
    """
    settings = settings or load_settings()
    configure_logs(settings.log_level, settings.log_format)
    response_class = ExactResponse if settings.api_dialect is Dialect.STANDARD else ExactSnakeCaseResponse
    metrics = Metrics()
    collector = load_collector()
    tracing = open_tracing(collector)
    connections = _connections(settings)
    app = Litestar(
        route_handlers=[
            ModelController,
            RebalanceController,
            RebalanceHistoryController,
            OrderController,
            HealthController,
            prometheus,
            pages.redoc,
            pages.static_files,
        ],
        lifespan=[lambda app: _parts(app, settings, metrics, tracing, collector, connections)],
        dependencies={
            name: _from_state(name)
            for name in ("database", "rebalances", "order_submission", "readiness", "dialect", "metrics")
        },
        exception_handlers={Exception: envelope.answer},
        request_class=ExactRequest,
        response_class=response_class,
        type_decoders=[(is_whole_number, read_whole_number)],
        request_max_body_size=MAXIMUM_BODY_BYTES,
        before_request=reject_unknown_parameters,
        before_send=[complete_headers],
        openapi_config=pages.openapi_config(version("globeco-order-generation-service"), settings.api_dialect),
        plugins=[NumberSchemaPlugin()],
        state=State(
            {
                "dialect": settings.api_dialect,
                "metrics": metrics,
                "orders_enabled": settings.orders_enabled,
                "allowed_origins": settings.allowed_origins,
            }
        ),
        logging_config=None,
    )
    templates = [route.path_format for route in app.routes]
    served = Transfers(
        CrossOrigin(HeadRequests(app), settings.allowed_origins),
        connections,
        settings.request_timeout_seconds,
        partial(envelope.raw_response, dialect=settings.api_dialect),
    )
    return Correlation(RequestObserver(served, templates, metrics, tracing))


def _connections(settings: Settings) -> Connections:
    limits = ConnectionLimits(
        port=settings.port,
        request_seconds=settings.request_timeout_seconds,
        unread_seconds=settings.unread_timeout_seconds,
        connections=connection_limit(),
    )
    timeout = request_timeout(settings.request_timeout_seconds)
    return Connections(limits, partial(envelope.raw_http_response, timeout, settings.api_dialect))


@asynccontextmanager
async def _parts(
    app: Litestar,
    settings: Settings,
    metrics: Metrics,
    tracing: Tracing,
    collector: Collector,
    connections: Connections,
) -> AsyncIterator[None]:
    """Open what the handlers use, and close it in reverse, the solver processes included."""
    end_with_server()
    async with AsyncExitStack() as stack:
        stack.callback(tracing.close)
        await stack.enter_async_context(connections.watched())
        stack.enter_context(tracing.untraced())
        # A request that is past its deadline still has to store what it has.
        lease = timedelta(seconds=settings.rebalance_deadline_seconds + 30)
        database = await stack.enter_async_context(
            open_database(
                settings.mongodb_url,
                settings.database_name,
                lease=lease,
                listeners=(CommandObserver(metrics), ConnectionObserver(metrics)),
                on_unreadable=lambda collection: metrics.unreadable_documents.labels(collection).inc(),
            )
        )
        await stack.enter_async_context(running("sweep", database.keep_sweeping, metrics))
        neighbours = await stack.enter_async_context(open_upstreams(_integrations(settings), UpstreamObserver(metrics)))
        solvers = await stack.enter_async_context(
            SolverPool(
                processes=settings.solver_processes,
                work=CALCULATION,
                strategy=settings.solver_strategy,
                time_limit_seconds=settings.solver_timeout_seconds,
                on_loss=tell_loss,
            )
        )
        limits = RebalanceLimits(
            deadline_seconds=settings.rebalance_deadline_seconds,
            concurrency=settings.rebalance_concurrency,
            # One for each solver process keeps all of them busy.
            beside_smaller=settings.solver_processes,
            timezone=ZoneInfo(settings.trade_date_timezone),
        )
        readiness = Readiness(database, solvers, neighbours)
        await readiness.check()
        await stack.enter_async_context(running("readiness", readiness.keep_checking, metrics))
        register_figures(metrics, solvers, neighbours, readiness)
        stack.enter_context(export_metrics(collector, metrics))
        app.state.database = database
        rebalancer = Rebalancer(
            database, neighbours, solvers, limits, settings.api_dialect, RebalanceObserver(metrics, tracing)
        )
        app.state.rebalances = RebalanceService(database, rebalancer, settings.api_dialect)
        app.state.readiness = readiness
        app.state.order_submission = await stack.enter_async_context(
            open_orders(settings, database, neighbours.orders, metrics, tracing)
        )
        # What is there by now stays. To look through all of it for garbage would hold every request up for 0.2 s, and
        # copy the memory that is shared with the server process.
        gc.freeze()
        yield


def _integrations(settings: Settings) -> UpstreamSettings:
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


def _from_state(name: str) -> Provide:
    """Hand a part of the application to the handlers that name it."""

    def part(state: State) -> Any:
        return state[name]

    provider: Callable[[State], Any] = part
    return Provide(provider, sync_to_thread=False)
