"""Opens everything that orders need, for the life of the application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from app.observability.metrics import Metrics
from app.observability.tracing import Tracing
from app.orders.sending import OrderSender
from app.orders.steps import OrderLimits
from app.orders.submission import OrderSubmission
from app.orders.sweep import OrderSweep
from app.orders.telemetry import OrderObserver
from app.rebalancing.schedule import Schedule
from app.settings import Settings
from integrations import Orders
from persistence import Database


@asynccontextmanager
async def open_orders(
    settings: Settings, database: Database, orders: Orders, schedule: Schedule, metrics: Metrics, tracing: Tracing
) -> AsyncIterator[OrderSubmission]:
    """Yield what accepts requests to send orders; what was requested is worked on until the block ends.

    If orders are disabled, requested orders are not sent, but the outcomes of those that were sent are still resolved.
    """
    limits = OrderLimits(
        lease=timedelta(seconds=settings.order_lease_seconds),
        timeout=timedelta(seconds=settings.order_service_timeout_seconds),
        quiet=timedelta(seconds=settings.order_quiet_seconds),
        query_interval=timedelta(seconds=settings.order_query_interval_seconds),
        sweep=timedelta(seconds=settings.order_sweep_seconds),
        watch=timedelta(hours=settings.order_watch_hours),
        concurrency=settings.order_concurrency,
    )
    observer = OrderObserver(metrics, tracing)
    sender = OrderSender(database.orders, orders, limits, observer, schedule.idle, sending=settings.orders_enabled)
    sweep = OrderSweep(database.orders, orders, sender, limits, observer)
    async with sweep.running(metrics):
        yield OrderSubmission(
            database,
            sweep,
            observer,
            schedule.idle,
            settings.api_dialect,
            max_age=timedelta(hours=settings.order_max_age_hours),
            response_seconds=settings.order_response_seconds,
        )
