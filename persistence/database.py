"""Opens MongoDB for the life of a process: client, time-outs, durability, and a repository for each kind of thing."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

import pymongo
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandListener, ConnectionPoolListener

from persistence.access import Access
from persistence.codec import CODEC_OPTIONS, Document
from persistence.errors import PersistenceError
from persistence.idempotency import IdempotencyRepository
from persistence.models import ModelRepository
from persistence.orders import OrderRepository
from persistence.rebalances.repository import RebalanceRepository

log = logging.getLogger(__name__)

# An outage must be answered within two seconds, whatever kind it is: refused, silent or overloaded.
_PATIENCE_MILLISECONDS: Final = 1500
_POOL_SIZE: Final = 50
_TIDY_SECONDS: Final = 300


class Database:
    """The service's database, for one event loop.

    Attributes:
        models: investment models and their audit trail.
        rebalances: rebalances and their portfolios.
        idempotency: idempotency keys.
        orders: plans of the orders that are sent for rebalances.
    """

    def __init__(self, client: AsyncMongoClient[Document], name: str, lease: timedelta) -> None:
        self._client = client
        # Reads follow writes, and an acknowledged write survives the loss of a process or a server.
        database = client.get_database(
            name,
            codec_options=CODEC_OPTIONS,
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern(w="majority", j=True),
        )
        self._access = Access(database, _PATIENCE_MILLISECONDS / 1000)
        self.models = ModelRepository(self._access)
        self.rebalances = RebalanceRepository(self._access)
        self.orders = OrderRepository(self._access)
        self.idempotency = IdempotencyRepository(self._access, self.rebalances, lease)
        self._lease = lease

    async def ping(self, seconds: float) -> None:
        """Returns if the database answers and its indexes are in place.

        Args:
            seconds: how long it may take.

        Raises:
            DatabaseUnavailable: it did not in that time.
        """
        await self._access.apply_indexes(seconds)
        with pymongo.timeout(seconds):
            async with self._access():
                await self._client.admin.command("ping")

    async def close(self) -> None:
        """Stops what runs in the background."""
        await self._access.close()

    async def tidy(self) -> None:
        """Completes or removes what crashed processes left behind; safe in many processes at once."""
        await self.models.sweep(self._lease)
        await self.rebalances.sweep(self._lease)


async def _tidy_until(closing: asyncio.Event, database: Database) -> None:
    while not closing.is_set():
        try:
            await database.tidy()
        except (PersistenceError, PyMongoError) as error:
            log.warning("What crashes left in the database waits for the next attempt: %s", error.__cause__ or error)
        with suppress(TimeoutError):
            # Pods that started together shall not sweep together.
            await asyncio.wait_for(closing.wait(), _TIDY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311


@asynccontextmanager
async def open_database(
    url: str,
    name: str,
    *,
    lease: timedelta = timedelta(seconds=90),
    listeners: Sequence[CommandListener | ConnectionPoolListener] = (),
) -> AsyncIterator[Database]:
    """The database, open until the block ends.

    A database that is away does not keep the block from starting: every call raises `DatabaseUnavailable` until it is
    back, and the first one then applies the indexes. What crashes left behind is tidied up in the background.

    Args:
        url: MongoDB connection string, with or without port, database and credentials; its time-outs, read preference
            and write concern do not count.
        name: the database to use, whatever the URL names.
        lease: after which a request that holds an idempotency key, or has a rebalance half stored, is taken for dead;
            longer than a request may take.
        listeners: told of every command and connection.

    Raises:
        ValueError, pymongo.errors.ConfigurationError: the URL is not a MongoDB connection string.
    """
    client: AsyncMongoClient[Document] = AsyncMongoClient(
        url,
        appname="order-generation",
        event_listeners=listeners,
        maxPoolSize=_POOL_SIZE,
        connectTimeoutMS=_PATIENCE_MILLISECONDS,
        serverSelectionTimeoutMS=_PATIENCE_MILLISECONDS,
        timeoutMS=_PATIENCE_MILLISECONDS,
        waitQueueTimeoutMS=_PATIENCE_MILLISECONDS,
    )
    async with client:
        database = Database(client, name, lease)
        closing = asyncio.Event()
        tidying = asyncio.create_task(_tidy_until(closing, database))
        try:
            yield database
        finally:
            closing.set()
            await tidying
            await database.close()
