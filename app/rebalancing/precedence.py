"""How many portfolios of a rebalance are in flight, and who goes ahead where several rebalances are under way."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil

PART_BESIDE_SMALLER = 0.25
"""Of what a rebalance may have in flight. At every step a single portfolio waits for those of a large request that are
in flight, as they share the cores of a pod; a quarter of them still keeps the solvers busy."""


class UnderWay:
    """A rebalance that is under way; made by `Precedence`."""

    def __init__(self, precedence: "Precedence", portfolios: int) -> None:
        self._precedence = precedence
        self.portfolios = portfolios
        self._in_flight = 0
        self._changed = asyncio.Event()

    async def each(self, work: Callable[[int, str], Awaitable[None]], portfolio_ids: Sequence[str]) -> None:
        """Do the work for each portfolio, by its place and id, as many at a time as may be in flight.

        Raises:
            Exception: what the first that failed raised; the others are cancelled.
        """

        async def one(place: int, portfolio_id: str) -> None:
            try:
                await work(place, portfolio_id)
            finally:
                self._in_flight -= 1
                self.look_again()

        try:
            async with asyncio.TaskGroup() as tasks:
                for place, portfolio_id in enumerate(portfolio_ids):
                    while self._in_flight >= self._precedence.limit(self):
                        self._changed.clear()
                        await self._changed.wait()
                    self._in_flight += 1
                    tasks.create_task(one(place, portfolio_id))
        except BaseExceptionGroup as failed:
            # Only what ends the whole rebalance gets here, and the first of it says why.
            raise failed.exceptions[0] from None

    def look_again(self) -> None:
        """Another portfolio may be allowed to take off."""
        self._changed.set()


class Precedence:
    """The rebalances of a process.

    Each has a number of portfolios in flight at most, and a quarter of it while a smaller one is under way.
    """

    def __init__(self, at_a_time: int) -> None:
        self._at_a_time = at_a_time
        self._beside_smaller = ceil(at_a_time * PART_BESIDE_SMALLER)
        self._under_way: list[UnderWay] = []

    @contextmanager
    def rebalance(self, portfolios: int) -> Iterator[UnderWay]:
        """Count a rebalance of so many portfolios as under way for as long as the block lasts."""
        rebalance = UnderWay(self, portfolios)
        self._under_way.append(rebalance)
        try:
            yield rebalance
        finally:
            self._under_way.remove(rebalance)
            for other in self._under_way:
                other.look_again()

    def limit(self, rebalance: UnderWay) -> int:
        """How many portfolios of a rebalance may be in flight now."""
        smallest = min(each.portfolios for each in self._under_way)
        return self._at_a_time if rebalance.portfolios == smallest else self._beside_smaller
