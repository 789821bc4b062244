"""How many portfolios of a rebalance are in flight, and who goes ahead where several rebalances are under way."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager


class UnderWay:
    """A rebalance that is under way; made by `Precedence`."""

    def __init__(self, precedence: "Precedence", portfolios: int) -> None:
        self._precedence = precedence
        self.portfolios = portfolios
        self._in_flight = 0
        self._at_work = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
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
                self._changed.set()

        try:
            async with asyncio.TaskGroup() as tasks:
                for place, portfolio_id in enumerate(portfolio_ids):
                    # To ask neighbours for more than can be worked on would only keep this process busy.
                    while self._in_flight >= self._precedence.at_a_time or self._waiting:
                        self._changed.clear()
                        await self._changed.wait()
                    self._in_flight += 1
                    tasks.create_task(one(place, portfolio_id))
        except BaseExceptionGroup as failed:
            # Only what ends the whole rebalance gets here, and the first of it says why.
            raise failed.exceptions[0] from None

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Wait until one more of the portfolios in flight may be worked on, first come first served.

        What a portfolio waits for elsewhere belongs before this: that takes no core of the pod, and as many portfolios
        as may be in flight should wait for slow neighbours.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self.look_again()
        try:
            await turn
            yield
        finally:
            # It may have been cancelled before its turn came, or between that and hearing of it.
            if not turn.cancelled():
                self._at_work -= 1
                self.look_again()

    def look_again(self) -> None:
        """Give turns to those that wait for them, as far as there are any."""
        while self._waiting and self._at_work < self._precedence.limit(self):
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self._at_work += 1
                turn.set_result(None)
        self._changed.set()


class Precedence:
    """The rebalances of a process.

    Each has a number of portfolios in flight at most, and fewer at work while a smaller one is under way: a single
    portfolio waits for those of a large request that are at work, as they share the cores of a pod.

    Attributes:
        at_a_time: portfolios of a rebalance in flight.
    """

    def __init__(self, at_a_time: int, beside_smaller: int) -> None:
        """Describe what each rebalance may have in flight, and how much of that at work beside a smaller one."""
        self.at_a_time = at_a_time
        self._beside_smaller = min(beside_smaller, at_a_time)
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
        """How many portfolios of a rebalance may be at work now."""
        smallest = min(each.portfolios for each in self._under_way)
        return self.at_a_time if rebalance.portfolios == smallest else self._beside_smaller
