"""The Portfolio Service: what a portfolio is called, where the service can say so in time.

`GET /api/v1/portfolio/{id}` answers `{"portfolioId", "name", ...}`, and 404 for unknown and malformed ids and for its
own internal errors alike. A name is never needed, so it is asked for without retries, and nobody waits long for it.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
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
MAX_QUESTIONS = 1_000
"""Names asked for at the same time; beyond it a name stays unknown until the service has caught up."""

QUESTIONS_AT_ONCE = 64
"""Of one caller's questions so many are begun together."""


class _Portfolio(Struct, frozen=True, rename="camel"):
    portfolio_id: EntityId
    name: Annotated[str, Meta(max_length=1000)]


class PortfolioNames:
    """Names of portfolios, from memory where possible.

    A question outlives the caller who asked it, so that a slow service still answers the next one. `close` ends them.
    """

    def __init__(self, client: ServiceClient) -> None:
        self._client = client
        self._names: TTLCache[str, str | None] = TTLCache(MAX_NAMES, NAME_TTL_SECONDS)
        self._questions: dict[str, asyncio.Task[None]] = {}

    async def names(self, portfolio_ids: Iterable[str], *, budget_seconds: float = 0.25) -> dict[str, str | None]:
        """The name of each portfolio, None where it is unknown or not to be had within the budget. Never raises."""
        wanted = tuple(dict.fromkeys(portfolio_ids))
        missing = [each for each in wanted if each not in self._names]
        self._client.observer.cache_read("portfolio_names", hit=True, times=len(wanted) - len(missing))
        self._client.observer.cache_read("portfolio_names", hit=False, times=len(missing))
        with suppress(TimeoutError):
            async with asyncio.timeout(budget_seconds):
                # Thousands of questions begun at once would hold up everything else.
                for some in batched(missing, QUESTIONS_AT_ONCE, strict=False):
                    questions = [question for each in some if (question := self._ask(each)) is not None]
                    if not questions:
                        break
                    await asyncio.wait(questions)
        return {each: self._names.get(each) for each in wanted}

    async def close(self) -> None:
        """Ends all questions still open."""
        questions = list(self._questions.values())
        for question in questions:
            question.cancel()
        await asyncio.gather(*questions, return_exceptions=True)

    def _ask(self, portfolio_id: str) -> asyncio.Task[None] | None:
        question = self._questions.get(portfolio_id)
        if question is None and len(self._questions) < MAX_QUESTIONS:
            question = asyncio.create_task(self._learn(portfolio_id))
            self._questions[portfolio_id] = question
            question.add_done_callback(lambda _: self._questions.pop(portfolio_id))
        return question

    async def _learn(self, portfolio_id: str) -> None:
        try:
            path = f"/api/v1/portfolio/{quote(portfolio_id, safe='')}"
            portfolio = await self._client.get(
                path, expect=_Portfolio, deadline=None, identify=lambda found: found.portfolio_id == portfolio_id
            )
        except NotFound:
            self._names[portfolio_id] = None
        except ServiceError:
            return  # Its observer knows; the next caller asks again.
        else:
            self._names[portfolio_id] = portfolio.name
