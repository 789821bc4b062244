"""Responses about one stored rebalance: complete, or an error.

All its portfolios are read before anything is sent, so that one that cannot be read, or a database that fails, is an
error response instead of half a response. Read portfolios are small: those of most rebalances wait in memory while
their JSON is written and sent. Of a larger rebalance the JSON is collected first, in memory or in a temporary file.
Lists of rebalances have no largest size: their JSON is collected up to a limit, and what follows is sent while it is
read. If that fails, the connection ends without the last chunk of the body, which every HTTP client reports.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from litestar import MediaType, Response
from litestar.response import Stream

from app.http.streaming import BLOCK_BYTES, blocks, streamed
from app.rebalancing.body import ResponseBody
from persistence import PackedPortfolio, Rebalance, RebalancedPortfolio, RebalanceNotFound

MOST_POSITIONS: Final = 10_000
"""Positions of one response that wait in memory; each takes about half a kilobyte."""
MOST_POSITIONS_IN_TOTAL: Final = 40_000
"""Positions of all responses that wait in memory."""

MOST_LIST_BYTES: Final = 1024 * 1024
"""Of a list that is collected before it is sent: some 60 portfolios of 50 positions, read in less than 50 ms."""


class ReadPortfolios[T: RebalancedPortfolio | PackedPortfolio]:
    """The portfolios of a rebalance, read before they are used, as far as memory allows.

    Attributes:
        held: positions that wait in memory, of all instances.
        whole: whether all of them are read, so that nothing can go wrong any more.
    """

    held: ClassVar[int] = 0

    def __init__(self, portfolios: AsyncIterator[T]) -> None:
        self._portfolios = portfolios
        self._waiting: deque[T] = deque()
        self._held = 0
        self.whole = False

    def __del__(self) -> None:
        """Release what was never used: a client that is gone reads no further."""
        ReadPortfolios.held -= self._held

    async def read(self) -> None:
        """Read portfolios until there are no more, or no more may wait.

        Raises:
            persistence.PersistenceError: one is unreadable, the rebalance is being deleted, or the database failed.
        """
        async for portfolio in self._portfolios:
            self._waiting.append(portfolio)
            self._hold(_size(portfolio))
            if self._held > MOST_POSITIONS or ReadPortfolios.held > MOST_POSITIONS_IN_TOTAL:
                return
        self.whole = True

    async def __aiter__(self) -> AsyncIterator[T]:
        """Yield the portfolios, first those that were read."""
        while self._waiting:
            portfolio = self._waiting.popleft()
            self._hold(-_size(portfolio))
            yield portfolio
        if not self.whole:
            async for portfolio in self._portfolios:
                yield portfolio

    def _hold(self, positions: int) -> None:
        self._held += positions
        ReadPortfolios.held += positions


def _size(portfolio: RebalancedPortfolio | PackedPortfolio) -> int:
    return 1 + len(portfolio.terms if isinstance(portfolio, PackedPortfolio) else portfolio.positions)


async def complete(
    portfolios: ReadPortfolios[Any],
    chunks: AsyncIterator[bytes],
    media_type: str = MediaType.JSON,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes] | Stream:
    """Read all portfolios, and return the response that is written from them.

    Args:
        portfolios: not read yet.
        chunks: the body, written from the portfolios.
        media_type: of the body.
        headers: further headers.

    Raises:
        OrderGenerationError: `OVERLOADED`, too many responses wait to be read.
        persistence.PersistenceError: as `ReadPortfolios.read` raises it.
    """
    await portfolios.read()
    if portfolios.whole:
        response = await streamed(chunks)
        response.media_type = media_type
        response.headers.update(headers or {})
        return response
    with ResponseBody() as body:
        index = 0
        async for block in blocks(chunks):
            body.add(index, block)
            index += 1
    if len(body) < BLOCK_BYTES:
        return Response(await _whole(body), media_type=media_type, headers=headers)
    return Stream(body.joined(), media_type=media_type, headers=headers)


async def complete_list(
    rebalances: Sequence[Rebalance], written: Callable[[Sequence[Rebalance]], AsyncIterator[bytes]]
) -> Response[bytes] | Stream:
    """Return the response that lists rebalances; those that are deleted while they are read are left out.

    A list of at most `MOST_LIST_BYTES` is complete or an error.

    Args:
        rebalances: in the order of the list.
        written: writes the body that lists some of them.

    Raises:
        OrderGenerationError: `OVERLOADED`, too many responses wait to be read.
        persistence.DatabaseUnavailable: the database failed.
    """
    chunks = blocks(written(rebalances))
    try:
        body, is_whole = await _collected(chunks)
    except RebalanceNotFound as gone:
        return await complete_list([each for each in rebalances if each.id != gone.rebalance_id], written)
    if is_whole and len(body) < BLOCK_BYTES:
        return Response(await _whole(body), media_type=MediaType.JSON)

    async def all_blocks() -> AsyncIterator[bytes]:
        async for block in body.joined():
            yield block
        async for block in chunks:
            yield block

    return Stream(all_blocks(), media_type=MediaType.JSON)


async def _collected(chunks: AsyncIterator[bytes]) -> tuple[ResponseBody, bool]:
    """Collect up to `MOST_LIST_BYTES`, or a chunk more; return also whether there are no more chunks."""
    with ResponseBody() as body:
        index = 0
        async for chunk in chunks:
            body.add(index, chunk)
            index += 1
            if len(body) >= MOST_LIST_BYTES:
                return body, False
    return body, True


async def _whole(body: ResponseBody) -> bytes:
    return b"".join([part async for part in body.joined()])
