"""The stack that benchmarks measure: real MongoDB, the simulator as a process, and the service as users start it."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.commands.stack import Stack, running_service_process, running_stack
from benchmarks.tables import progress

DATABASE_NAME = "order_generation"
QUIET = {"LOG_LEVEL": "WARNING", "DATABASE_NAME": DATABASE_NAME}


@contextmanager
def benchmark_stack(settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Start a stack that logs only warnings, with these settings of the service over the defaults."""
    with tempfile.TemporaryDirectory() as directory, progress.status("Starting"):
        stack = running_stack(log=Path(directory) / "service.log", settings={**QUIET, **(settings or {})})
        with stack as running:
            yield running


@contextmanager
def another_service(stack: Stack, settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Another service on the database and the upstreams of a stack; gives the stack with it as the service."""
    environment = {
        "MONGODB_URL": stack.mongodb_url,
        "PORTFOLIO_ACCOUNTING_SERVICE_URL": stack.simulator.portfolio_accounting,
        "PRICING_SERVICE_URL": stack.simulator.pricing,
        "PORTFOLIO_SERVICE_URL": stack.simulator.portfolio,
        "SECURITY_SERVICE_URL": stack.simulator.security,
        "ORDER_SERVICE_URL": stack.simulator.order,
        **QUIET,
        **(settings or {}),
    }
    with (
        tempfile.TemporaryDirectory() as directory,
        running_service_process(environment, Path(directory) / "service.log") as (url, process),
    ):
        yield Stack(url, stack.mongodb_url, stack.simulator, process)
