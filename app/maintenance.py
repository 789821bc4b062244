"""Completes what crashed processes left in the database; every instance does it, and several at once do no harm."""

import asyncio
from datetime import timedelta

import structlog

from persistence.database import Database
from persistence.errors import DatabaseUnavailable

INTERVAL_SECONDS = 300

log = structlog.get_logger(__name__)


async def maintain(database: Database, longest_request: timedelta) -> None:
    """Settle audit entries and remove half-stored rebalances, now and every few minutes, until cancelled.

    Args:
        database: where.
        longest_request: a rebalance hidden for longer than this has lost its writer.
    """
    while True:
        try:
            await database.models.settle_all()
            await database.rebalances.sweep(longest_request)
        except DatabaseUnavailable:
            log.info("maintenance put off: the database is away")
        except Exception:
            log.exception("maintenance failed")
        await asyncio.sleep(INTERVAL_SECONDS)
