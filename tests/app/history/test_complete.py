"""What is read before a response begins: it is bounded and counted, and lists are complete as far as it reaches."""

from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest
from bson import ObjectId
from litestar import Response
from litestar.response import Stream

from app.history import complete
from app.history.complete import ReadPortfolios, complete_list
from app.http.streaming import BLOCK_BYTES
from app.rebalancing.body import ResponseBody
from persistence import DatabaseUnavailable, PersistenceError, Rebalance, RebalancedPortfolio, RebalanceNotFound
from tests.persistence.examples import portfolio, rebalance

REBALANCE = ObjectId()


async def stored(count: int) -> AsyncIterator[RebalancedPortfolio]:
    """Yield portfolios as the repository does."""
    for place in range(count):
        yield portfolio(REBALANCE, place)


@pytest.mark.parametrize("most", [0, 5, 10_000])
async def test_every_portfolio_is_yielded_in_its_order(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """However many may wait in memory, all are yielded once, and nothing is counted afterwards."""
    monkeypatch.setattr(complete, "MOST_POSITIONS", most)
    portfolios = ReadPortfolios(stored(7))
    await portfolios.read()
    assert portfolios.whole == (most == 10_000)
    assert ReadPortfolios.held > 0
    assert [each.place async for each in portfolios] == list(range(7))
    assert ReadPortfolios.held == 0


async def test_portfolios_that_nobody_uses_are_no_longer_counted() -> None:
    """A client that is gone before the response is written releases what was read for it."""
    portfolios = ReadPortfolios(stored(3))
    await portfolios.read()
    assert ReadPortfolios.held > 0
    del portfolios
    assert ReadPortfolios.held == 0


class List:
    """Writes rebalances as lines of a block each, and fails at one of them."""

    def __init__(self, failing: Rebalance, error: PersistenceError) -> None:
        self.failing = failing
        self.error = error
        self.attempts = 0

    async def __call__(self, rebalances: Sequence[Rebalance]) -> AsyncIterator[bytes]:
        """Write some of them."""
        self.attempts += 1
        for each in rebalances:
            yield f"{each.id}".encode().ljust(BLOCK_BYTES)
            if each == self.failing:
                raise self.error


async def _receive(response: Response[bytes] | Stream, received: list[str]) -> None:
    assert isinstance(response, Stream)
    async for block in cast("AsyncIterator[bytes]", response.iterator):
        received.append(block.decode().strip())  # noqa: PERF401 - what was received before an exception stays


async def test_a_rebalance_that_is_deleted_while_it_is_listed_is_left_out() -> None:
    """What was written of it is discarded, and nothing stays in memory."""
    first, gone, last = (rebalance(1) for _ in range(3))
    written = List(gone, RebalanceNotFound(gone.id))
    received: list[str] = []
    await _receive(await complete_list([first, gone, last], written), received)
    assert received == [str(first.id), str(last.id)]
    assert written.attempts == 2
    assert ResponseBody.memory == 0


async def test_a_list_that_fails_before_it_is_sent_is_an_error() -> None:
    """The exception becomes an error response, and nothing stays in memory."""
    first, failing = rebalance(1), rebalance(1)
    with pytest.raises(DatabaseUnavailable):
        await complete_list([first, failing], List(failing, DatabaseUnavailable("lost")))
    assert ResponseBody.memory == 0


async def test_a_list_beyond_the_limit_is_sent_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows the limit is neither lost nor repeated; a failure ends the body with an exception."""
    monkeypatch.setattr(complete, "MOST_LIST_BYTES", 1)
    first, failing = rebalance(1), rebalance(1)
    written = List(failing, RebalanceNotFound(failing.id))
    response = await complete_list([first, failing], written)
    received: list[str] = []
    with pytest.raises(RebalanceNotFound):
        await _receive(response, received)
    assert received == [str(first.id), str(failing.id)]
    assert written.attempts == 1
    assert ResponseBody.memory == 0
