"""The Portfolio Service: the name of a portfolio, if the service returns it in time.

`GET /api/v1/portfolio/{id}` returns `{"portfolioId", "name", ...}`, and 404 for unknown and malformed ids and for its
own internal errors alike. A rebalance never needs a name, so a name is requested without retries, and a slow service
is waited for at most once a minute.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import batched
from typing import Annotated
from urllib.parse import quote

from cachetools import TTLCache
from msgspec import Meta, Struct

from integrations.http.client import ServiceClient
from integrations.http.errors import NotFound, ServiceError
from integrations.validation import EntityId

NAME_TTL_SECONDS = 600.0
MAX_NAMES = 20_000
MAX_LOADS = 1_000
"""Names loaded at the same time; beyond it a name stays unknown until the service has caught up."""

LOADS_AT_ONCE = 32
"""Loads that one caller starts together: thousands at once would delay everything else."""

LATE_SHARE = 0.9
"""A load is late if it has not finished after this share of the caller's budget."""

WAIT_AGAIN_SECONDS = 60.0
"""After names were late, no rebalance waits for names for this long; they are still loaded in the background."""


class _Portfolio(Struct, frozen=True, rename="camel"):
    portfolio_id: EntityId
    name: Annotated[str, Meta(max_length=1000)]


class _Load(Struct, frozen=True):
    """A name that is being loaded, and when that started."""

    task: asyncio.Task[None]
    started: float


class PortfolioNames:
    """Names of portfolios, cached in this process.

    A load outlives the caller who started it, so that a slow service still fills the cache. `close` cancels all loads.

    Args:
        client: of the Portfolio Service, without retries. Late names count as failures for its circuit breaker.
        clock: seconds, for the time until names are waited for again.
    """

    def __init__(self, client: ServiceClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._names: TTLCache[str, str | None] = TTLCache(MAX_NAMES, NAME_TTL_SECONDS)
        self._loads: dict[str, _Load] = {}
        self._wait_from = float("-inf")

    async def names(self, portfolio_ids: Iterable[str], *, budget_seconds: float = 0.25) -> dict[str, str | None]:
        """Return the name of each portfolio, None if it is unknown or not available within the budget. Never raises.

        If names were late less than a minute ago, only cached names are returned, without waiting.
        """
        wanted = tuple(dict.fromkeys(portfolio_ids))
        missing = [portfolio_id for portfolio_id in wanted if portfolio_id not in self._names]
        self._client.observer.cache_read("portfolio_names", hit=True, times=len(wanted) - len(missing))
        self._client.observer.cache_read("portfolio_names", hit=False, times=len(missing))
        if self._clock() < self._wait_from or self._client.state != "closed":
            self._load_in_background(missing)
        elif missing:
            await self._load(missing, budget_seconds)
        return {portfolio_id: self._names.get(portfolio_id) for portfolio_id in wanted}

    def cached(self, portfolio_id: str) -> str | None:
        """Return a name that has been loaded by now, even if no caller waited for it."""
        return self._names.get(portfolio_id)

    async def close(self) -> None:
        """Cancel all loads."""
        loads = [load.task for load in self._loads.values()]
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)

    async def _load(self, portfolio_ids: Sequence[str], budget_seconds: float) -> None:
        loads: list[_Load] = []
        try:
            async with asyncio.timeout(budget_seconds):
                for group in batched(portfolio_ids, LOADS_AT_ONCE, strict=False):
                    loads = self._start(group)
                    if not loads:
                        break
                    await asyncio.wait([load.task for load in loads])
        except TimeoutError:
            # A load that has just started is not late: thousands of names take longer than the budget.
            started_before = self._clock() - LATE_SHARE * budget_seconds
            late = [load for load in loads if not load.task.done() and load.started <= started_before]
            if late and 2 * len(late) >= len(loads):
                self._wait_from = self._clock() + WAIT_AGAIN_SECONDS
                for _ in late:  # they run on, so the breaker would otherwise count them only when they time out
                    self._client.count_as_failed(f"names not available within {budget_seconds:g} s")

    def _load_in_background(self, portfolio_ids: Sequence[str]) -> None:
        """Start some loads; while the breaker is not closed only one, which may be its probe."""
        self._start(portfolio_ids[: LOADS_AT_ONCE if self._client.state == "closed" else 1])

    def _start(self, portfolio_ids: Sequence[str]) -> "list[_Load]":
        started = (self._loads.get(portfolio_id) or self._start_one(portfolio_id) for portfolio_id in portfolio_ids)
        return [load for load in started if load is not None]

    def _start_one(self, portfolio_id: str) -> "_Load | None":
        if len(self._loads) >= MAX_LOADS:
            return None
        load = _Load(asyncio.create_task(self._load_one(portfolio_id)), self._clock())
        self._loads[portfolio_id] = load
        load.task.add_done_callback(lambda _: self._loads.pop(portfolio_id))
        return load

    async def _load_one(self, portfolio_id: str) -> None:
        try:
            path = f"/api/v1/portfolio/{quote(portfolio_id, safe='')}"
            portfolio = await self._client.get(
                path, expect=_Portfolio, deadline=None, identify=lambda found: found.portfolio_id == portfolio_id
            )
        except NotFound:
            self._names[portfolio_id] = None
        except ServiceError:
            return  # The client's observer has it; the next caller loads again.
        else:
            self._names[portfolio_id] = portfolio.name
