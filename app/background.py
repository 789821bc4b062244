"""Background tasks: they run as long as the service, so one that ends is logged, counted and restarted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from app.observability.metrics import Metrics

log = structlog.get_logger(__name__)

RESTART_SECONDS: Final = 1.0
"""How long a task that ended waits for its restart, so that one that fails at once does not spin."""


@asynccontextmanager
async def running(
    name: str, work: Callable[[], Awaitable[None]], metrics: Metrics, *, pause: float = RESTART_SECONDS
) -> AsyncIterator[None]:
    """Keep work running until the block ends.

    Args:
        name: of the task, in the log and as the metric's label.
        work: starts the work, which should not end by itself.
        metrics: counts the restarts.
        pause: seconds before a restart.
    """
    restarts = metrics.background_task_restarts.labels(name)

    async def keep_running() -> None:
        while True:
            try:
                await work()
                log.error("background task ended", task=name)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Not this task was cancelled, but something that it waited for.
                log.exception("background task ended", task=name)
            except Exception:
                log.exception("background task ended", task=name)
            restarts.inc()
            await asyncio.sleep(pause)

    task = asyncio.create_task(keep_running(), name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
