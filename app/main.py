"""The application: middleware, routes and documentation on top of the parts."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ASGIApp

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
from app.observability.collector import load_collector, open_tracing
from app.observability.http_requests import RequestObserver
from app.observability.logs import configure_logs
from app.observability.metrics import Metrics
from app.operations.health import HealthController
from app.operations.metrics import prometheus
from app.operations.openapi import pages
from app.operations.openapi.document import NumberSchemaPlugin
from app.operations.version import get_version
from app.optimizations.endpoints import OptimizationController
from app.orders.endpoints import OrderController
from app.pages.endpoints import PageController, optimizer_home, report_css
from app.pages.rendering import TEMPLATES
from app.pages.rendering import static_files as page_files
from app.parts import Observability, open_parts
from app.rebalancing.endpoints import RebalanceController
from app.settings import Settings, load_settings

MAXIMUM_BODY_BYTES = 1_000_000
"""A model of 100 positions and 1,000 portfolios takes about 60 kB."""

STATELESS_ROUTES = (
    OptimizationController,
    HealthController,
    get_version,
    prometheus,
    pages.redoc,
    pages.static_files,
    page_files,
    report_css,
)
"""What needs neither a database nor upstream services."""

STORED_ROUTES = (PageController, ModelController, RebalanceController, RebalanceHistoryController, OrderController)


def create_app(settings: Settings | None = None) -> ASGIApp:
    """Build the service; the database, upstreams and solver processes open with its lifespan.

    Args:
        settings: by default those of the environment.
    """
    settings = settings or load_settings()
    configure_logs(settings.log_level, settings.log_format)
    response_class = ExactResponse if settings.api_dialect is Dialect.STANDARD else ExactSnakeCaseResponse
    metrics = Metrics()
    collector = load_collector()
    tracing = open_tracing(collector)
    observability = Observability(metrics, tracing, collector)
    connections = _connections(settings)
    app = Litestar(
        route_handlers=[*STATELESS_ROUTES, *((optimizer_home,) if settings.stateless else STORED_ROUTES)],
        template_config=TEMPLATES,
        lifespan=[lambda app: _parts(app, settings, observability, connections)],
        dependencies={
            name: _from_state(name)
            for name in (
                "database",
                "rebalances",
                "optimizations",
                "order_submission",
                "readiness",
                "dialect",
                "metrics",
            )
        },
        exception_handlers={Exception: envelope.error_response},
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
    app: Litestar, settings: Settings, observability: Observability, connections: Connections
) -> AsyncIterator[None]:
    """Provide the parts to the handlers for as long as the application runs."""
    async with open_parts(settings, observability, connections) as parts:
        app.state.update(msgspec.structs.asdict(parts))
        yield


def _from_state(name: str) -> Provide:
    """Hand a part of the application to the handlers that name it."""

    def part(state: State) -> Any:
        return state[name]

    provider: Callable[[State], Any] = part
    return Provide(provider, sync_to_thread=False)
