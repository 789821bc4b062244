"""Portfolios that are read ahead are counted while they wait in memory, and for no longer."""

from collections.abc import AsyncIterator

import pytest
from bson import ObjectId

from app.history import complete
from app.history.complete import ReadPortfolios
from persistence import RebalancedPortfolio
from tests.persistence.examples import portfolio

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
