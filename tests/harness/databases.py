"""The database of a server that is well, however slow the machine."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from persistence import Database, open_database

READY_SECONDS = 60
"""Time to create the indexes of an empty database on a machine that does much else at the same time."""


@asynccontextmanager
async def open_patiently(url: str, name: str, **options: Any) -> AsyncIterator[Database]:
    """Open a database whose calls wait longer than those of the service, and wait for its indexes.

    Args:
        url: of a server that is well; tests of outages open the database themselves.
        name: of the database.
        options: of `open_database`.
    """
    async with AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("persistence.database._PATIENCE_MILLISECONDS", 1000 * READY_SECONDS)
            opened = await stack.enter_async_context(open_database(url, name, **options))
        await opened.ping(READY_SECONDS)
        yield opened
