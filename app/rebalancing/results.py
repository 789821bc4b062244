"""What the portfolios of one request came to, collected in any order."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from app.rebalancing.body import ResponseBody
from persistence import Failure, PortfolioRecord


class Done(Struct, frozen=True):
    """A portfolio that was rebalanced: its document, None if it is not stored, and its part of the response as JSON."""

    record: PortfolioRecord | None
    body: bytes


class Failed(Struct, frozen=True):
    """A portfolio that was not rebalanced, and why."""

    record: PortfolioRecord | None
    body: bytes
    failure: Failure


class Results:
    """The results of one request: their parts of the response, their failures, and their records on the way to storage.

    Args:
        body: receives the parts of the response.
        store: receives the records; None if nothing is stored.
        on_result: called after each portfolio.
    """

    def __init__(
        self,
        body: ResponseBody,
        store: Callable[[PortfolioRecord], Awaitable[None]] | None = None,
        on_result: Callable[[], None] | None = None,
    ) -> None:
        self._body = body
        self._store = store
        self._on_result = on_result
        self._failures: dict[int, tuple[str, Failure]] = {}

    @property
    def failures(self) -> list[tuple[str, Failure]]:
        """Id and failure of each portfolio that failed, in the order of the request."""
        return [failure for _, failure in sorted(self._failures.items())]

    async def add(self, index: int, portfolio_id: str, result: Done | Failed) -> None:
        """Add a portfolio's result by its 0-based index, and wait until its record is accepted for storage.

        Raises:
            DatabaseUnavailable: it cannot be stored.
            OrderGenerationError: `OVERLOADED`, there is no room for the response.
        """
        if isinstance(result, Failed):
            self._failures[index] = portfolio_id, result.failure
        self._body.add(index, result.body)
        if self._on_result is not None:
            self._on_result()
        if self._store is not None and result.record is not None:
            await self._store(result.record)
