"""Background tasks that end are logged, counted and restarted."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.background import running
from app.observability.metrics import Metrics


async def _fails() -> None:
    raise KeyError("version")


async def _returns() -> None:
    """End at once."""


async def _is_cancelled_from_within() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("ends", [_fails, _returns, _is_cancelled_from_within])
async def test_a_task_that_ends_is_started_again_and_counted(ends: Callable[[], Awaitable[None]]) -> None:
    """However it ended; the third start stays."""
    starts = 0
    stays = asyncio.Event()

    async def work() -> None:
        nonlocal starts
        starts += 1
        if starts < 3:
            await ends()
            return
        stays.set()
        await asyncio.Event().wait()

    metrics = Metrics()
    async with asyncio.timeout(60), running("work", work, metrics, pause=0):
        await stays.wait()
    assert starts == 3
    value = metrics.registry.get_sample_value("order_generation_background_task_restarts_total", {"task": "work"})
    assert value == 2


async def test_the_end_of_the_block_ends_the_task_without_counting_it() -> None:
    """Stopping is not a failure."""
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    metrics = Metrics()
    async with running("work", work, metrics):
        await asyncio.sleep(0)
    assert ended.is_set()
    value = metrics.registry.get_sample_value("order_generation_background_task_restarts_total", {"task": "work"})
    assert value == 0
