"""Large rebalances that are read while the server that has the cursor goes away."""

from collections.abc import Awaitable, Callable

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from persistence import Database, DatabaseUnavailable, Rebalance, RebalancedPortfolio, open_database
from persistence.codec import Document
from persistence.indexes import REBALANCES
from tests.harness.proxy import Proxy
from tests.persistence.examples import portfolios_of, rebalance, store

PORTFOLIOS = 110
DISTURBED = (0, 31, 32, 80)
"""At the beginning, at the end of what comes at once, at the beginning of what is asked for next, and well within."""


async def read(
    database: Database, header: Rebalance, disturb: Callable[[], Awaitable[None]]
) -> list[RebalancedPortfolio]:
    """Read a rebalance, and disturb that several times on the way."""
    found = []
    async for portfolio in database.rebalances.portfolios(header):
        found.append(portfolio)
        if portfolio.place in DISTURBED:
            await disturb()
    return found


async def test_a_broken_connection_costs_the_reader_nothing(
    server_url: str, database: Database, database_name: str
) -> None:
    """Reading continues at the same portfolio on a new connection."""
    header = await store(database, rebalance(PORTFOLIOS))
    async with Proxy.to(server_url) as proxy, open_database(proxy.url, database_name) as behind_proxy:

        async def break_connections() -> None:
            await proxy.refuse()
            await proxy.listen()

        assert await read(behind_proxy, header, break_connections) == await portfolios_of(database, header)


async def test_a_cursor_that_the_server_forgot_costs_the_reader_nothing(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """As a server does that was restarted, or whose reader paused for ten minutes."""
    header = await store(database, rebalance(PORTFOLIOS))
    forgotten = 0

    async def forget() -> None:
        nonlocal forgotten
        idle = await stored.client.admin.aggregate(
            [{"$currentOp": {"idleCursors": True}}, {"$match": {"ns": f"{stored.name}.{REBALANCES}"}}]
        )
        async for each in idle:
            cursor = each["cursor"]
            if cursor["originatingCommand"]["filter"]["_id"]["$lte"]["rebalanceId"] == header.id:
                await stored.command("killCursors", REBALANCES, cursors=[cursor["cursorId"]])
                forgotten += 1

    assert await read(database, header, forget) == await portfolios_of(database, header)
    # At the end of what came at once there was none left to forget.
    assert forgotten == len(DISTURBED) - 1


async def test_a_database_that_stays_away_is_an_outage(server_url: str, database: Database, database_name: str) -> None:
    """The reader gets DatabaseUnavailable instead of a shortened list."""
    header = await store(database, rebalance(PORTFOLIOS))
    async with Proxy.to(server_url) as proxy, open_database(proxy.url, database_name) as behind_proxy:
        with pytest.raises(DatabaseUnavailable):
            await read(behind_proxy, header, proxy.refuse)
