"""Opens MongoDB for the life of a process: client, time limits, durability, and a repository for each collection."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import pymongo
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.monitoring import CommandListener, ConnectionPoolListener
from pymongo.read_concern import ReadConcern

from persistence import server_clock
from persistence.access import Access
from persistence.codec import CODEC_OPTIONS, Document
from persistence.errors import PersistenceError
from persistence.idempotency import IdempotencyRepository
from persistence.models import ModelRepository
from persistence.orders import OrderRepository
from persistence.rebalances.order_requests import OrderRequests
from persistence.rebalances.portfolios import PortfolioCheck
from persistence.rebalances.repository import RebalanceRepository
from persistence.server_clock import ServerClock
from persistence.unreadable import Observer, UnreadableDocuments

log = logging.getLogger(__name__)

# An outage must be reported within two seconds, whatever kind it is: refused, silent or overloaded.
# The driver looks for a server every half second, so 1.5 s would sometimes be two.
_PATIENCE_MILLISECONDS: Final = 1400
_POOL_SIZE: Final = 50
_SWEEP_SECONDS: Final = 300


class Database:
    """The service's database, for one event loop.

    Attributes:
        models: investment models and their audit trail.
        rebalances: rebalances and their portfolios.
        idempotency: idempotency keys.
        orders: plans of the orders that are sent for rebalances.
        order_requests: which portfolios of a rebalance were requested without having orders, and calls that plan.
        clock: how far the database's clock is ahead of this process's.
    """

    def __init__(
        self,
        client: AsyncMongoClient[Document],
        name: str,
        lease: timedelta,
        unreadable: UnreadableDocuments,
        check_portfolio: PortfolioCheck | None,
    ) -> None:
        self._client = client
        self.clock = ServerClock()
        # Reads see only what a majority of the servers has, so nothing that is read can be rolled back, and an
        # acknowledged write survives the loss of a process or a server. A standalone server accepts both as well.
        database = client.get_database(
            name,
            codec_options=CODEC_OPTIONS,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern(w="majority", j=True),
        )
        self._access = Access(database, _PATIENCE_MILLISECONDS / 1000)
        self.models = ModelRepository(self._access, unreadable)
        self.rebalances = RebalanceRepository(self._access, unreadable, check_portfolio)
        self.orders = OrderRepository(self._access, unreadable)
        self.order_requests = OrderRequests(self._access, unreadable)
        self.idempotency = IdempotencyRepository(self._access, self.rebalances, unreadable, lease)
        self._lease = lease

    async def ping(self, seconds: float) -> None:
        """Return if the database responds within `seconds` and its indexes exist.

        Raises:
            DatabaseUnavailable: it did not; `cause` names hosts and reasons.
        """
        await self._access.apply_indexes(seconds)
        async with self._access():
            sent_at, started = server_clock.local_time(), time.monotonic()
            with pymongo.timeout(seconds):
                hello = await self._client.admin.command("hello", codec_options=CODEC_OPTIONS)
            self.clock.observe(hello["localTime"], sent_at, timedelta(seconds=time.monotonic() - started))

    async def close(self) -> None:
        """Stop what runs in the background."""
        await self._access.close()

    async def sweep(self) -> None:
        """Complete or remove what crashed processes left behind; safe in many processes at once."""
        await self.models.sweep(self._lease)
        await self.rebalances.sweep(self._lease)

    async def keep_sweeping(self) -> None:
        """Sweep now and then every five minutes, until cancelled. A failed sweep waits for the next one."""
        while True:
            try:
                await self.sweep()
            except PersistenceError as error:
                log.warning("The sweep failed and will be repeated: %s", getattr(error, "cause", error))
            # Processes that started together must not sweep together.
            await asyncio.sleep(_SWEEP_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311


@asynccontextmanager
async def open_database(
    url: str,
    name: str,
    *,
    lease: timedelta = timedelta(seconds=90),
    listeners: Sequence[CommandListener | ConnectionPoolListener] = (),
    on_unreadable: Observer | None = None,
    check_portfolio: PortfolioCheck | None = None,
) -> AsyncIterator[Database]:
    """Open the database until the block ends.

    An unreachable database does not keep the block from starting: every call raises `DatabaseUnavailable` until the
    database responds, and the first call then applies the indexes. The caller runs `Database.keep_sweeping`.

    Args:
        url: MongoDB connection string, with or without port, database and credentials; its time limits, read
            preference, read concern and write concern are ignored.
        name: the database to use, whatever the URL names.
        lease: after which a request that holds an idempotency key, or has stored half a rebalance, is taken for dead;
            longer than a request may take.
        listeners: notified of every command and connection.
        on_unreadable: called with the collection of each document that is found not to be in this service's format.
        check_portfolio: raises ValueError for a stored portfolio that the caller cannot show, which is unreadable then.

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
        database = Database(client, name, lease, UnreadableDocuments(on_unreadable), check_portfolio)
        try:
            yield database
        finally:
            await database.close()
