"""Names are nice to have: they cost a rebalance nothing but their small budget."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

from integrations.portfolio import PortfolioNames
from tests.integrations.conftest import Handler, MakeClient, Notebook, Server, serving

FIRST, SECOND = "68989d07a711681c7aed8cb7", "68989d07a711681c7aed8cb8"


class Registry:
    """Knows the first portfolio; responses late, or with a status, on request."""

    def __init__(self) -> None:
        self.status = 200
        self.late = asyncio.Event()
        self.late.set()

    async def __call__(self, request: web.Request) -> web.Response:
        await self.late.wait()
        portfolio_id = request.path.rsplit("/", 1)[1]
        if portfolio_id != FIRST:
            return web.json_response({"detail": "Portfolio not found"}, status=404)
        return web.json_response({"portfolioId": FIRST, "name": "Growth"}, status=self.status)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
async def server(registry: Registry) -> AsyncIterator[Server]:
    async with serving(registry) as server:
        yield server


@pytest.fixture
async def names(server: Server, make_client: MakeClient) -> AsyncIterator[PortfolioNames]:
    names = PortfolioNames(make_client(server.url, "portfolio", retries=0))
    yield names
    await names.close()


async def test_names_are_asked_for_once_and_unknown_ones_too(
    names: PortfolioNames, server: Server, notebook: Notebook
) -> None:
    """Repeated calls are hits, for known and unknown portfolios."""
    for _ in range(3):
        assert await names.names([FIRST, SECOND, FIRST], budget_seconds=5) == {FIRST: "Growth", SECOND: None}
    assert sorted(server.paths) == [f"/api/v1/portfolio/{FIRST}", f"/api/v1/portfolio/{SECOND}"]
    assert notebook.cache_reads.count(("portfolio_names", False)) == 2
    assert notebook.cache_reads.count(("portfolio_names", True)) == 4


async def test_a_slow_service_delays_nobody_beyond_the_budget_and_its_response_serves_the_next(
    names: PortfolioNames, registry: Registry, server: Server
) -> None:
    """The late name is kept for later calls."""
    registry.late.clear()
    started = time.monotonic()
    assert await names.names([FIRST], budget_seconds=0.1) == {FIRST: None}
    assert time.monotonic() - started < 5
    registry.late.set()
    await until(lambda: names.cached(FIRST) is not None)
    assert await names.names([FIRST], budget_seconds=5) == {FIRST: "Growth"}
    assert len(server.requests) == 1


async def test_after_late_names_nobody_waits_for_a_minute(
    registry: Registry, server: Server, make_client: MakeClient
) -> None:
    """Within the minute names come from the cache, which loads fill in the background; then one caller waits again."""
    now = 0.0
    names = PortfolioNames(make_client(server.url, "portfolio", retries=0), clock=lambda: now)
    registry.late.clear()
    waiting = asyncio.create_task(names.names([FIRST], budget_seconds=0.5))
    await asyncio.sleep(0.01)
    now = 1.0  # the load is late by this clock
    assert await waiting == {FIRST: None}
    now = 60.9
    async with asyncio.timeout(30):
        assert await names.names([FIRST, SECOND], budget_seconds=60) == {FIRST: None, SECOND: None}
    registry.late.set()
    await until(lambda: names.cached(FIRST) == "Growth")
    now = 61.1
    assert await names.names([FIRST, SECOND], budget_seconds=5) == {FIRST: "Growth", SECOND: None}
    await names.close()


async def test_a_frozen_service_opens_its_circuit_breaker(
    names: PortfolioNames, registry: Registry, server: Server, notebook: Notebook
) -> None:
    """Late loads count as failures although nobody cancels them; while the circuit is open, one load at most starts."""
    registry.late.clear()
    ids = [f"{number:024}" for number in range(20)]
    await names.names(ids, budget_seconds=0.1)
    assert notebook.states == ["open"]
    requests = len(server.requests)
    started = time.monotonic()
    for portfolio_id in range(100, 120):
        await names.names([f"{portfolio_id:024}"], budget_seconds=60)
    assert time.monotonic() - started < 30
    assert len(server.requests) == requests


async def test_many_names_of_a_quick_service_are_not_late(make_client: MakeClient, notebook: Notebook) -> None:
    """A budget that ends in the middle of thousands of names says nothing against the service."""

    async def respond(request: web.Request) -> web.Response:
        return web.json_response({"portfolioId": request.path.rsplit("/", 1)[1], "name": "Growth"})

    ids = [f"{number:024}" for number in range(5000)]
    async with serving(respond) as server:
        names = PortfolioNames(make_client(server.url, "portfolio", retries=0))
        for _ in range(5):  # a machine that stops for a while makes single responses late
            notebook.states.clear()
            server.requests.clear()
            await names.names(ids, budget_seconds=1)
            assert 0 < len(server.requests) < len(ids)
            if not notebook.states:
                break
            await names.close()
            names = PortfolioNames(make_client(server.url, "portfolio", retries=0))
        assert notebook.states == []
        assert await names.names([FIRST], budget_seconds=5) == {FIRST: "Growth"}
        await names.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


async def test_a_failure_is_none_for_now_and_is_not_repeated_within_a_call(
    names: PortfolioNames, registry: Registry, server: Server
) -> None:
    """The next call asks again."""
    registry.status = 500
    assert await names.names([FIRST], budget_seconds=5) == {FIRST: None}
    assert len(server.requests) == 1
    registry.status = 200
    assert await names.names([FIRST], budget_seconds=5) == {FIRST: "Growth"}


async def test_a_service_that_is_down_is_asked_no_more(
    names: PortfolioNames, registry: Registry, server: Server, notebook: Notebook
) -> None:
    """Five failures open the breaker, and calls return no names."""
    registry.status = 503
    for _ in range(20):
        assert await names.names([FIRST], budget_seconds=5) == {FIRST: None}
    assert len(server.requests) == 5
    assert notebook.states == ["open"]


async def test_a_refused_connection_is_none(make_client: MakeClient, closed_port: str) -> None:
    """A missing name is no error."""
    names = PortfolioNames(make_client(closed_port, "portfolio", retries=0))
    assert await names.names([FIRST], budget_seconds=5) == {FIRST: None}


def responding(body: object) -> Handler:
    async def response(_: web.Request) -> web.Response:
        return web.json_response(body)

    return response


@pytest.mark.parametrize(
    "body",
    [
        {"portfolioId": SECOND, "name": "Somebody else's"},
        {"portfolioId": FIRST, "name": None},
        {"portfolioId": FIRST, "name": "x" * 1001},
        {"portfolioId": FIRST},
        [],
        "Growth",
    ],
)
async def test_a_response_that_does_not_name_the_portfolio_is_none(make_client: MakeClient, body: object) -> None:
    """Another portfolio's or an unusable name is rejected."""
    async with serving(responding(body)) as server:
        names = PortfolioNames(make_client(server.url, "portfolio"))
        assert await names.names([FIRST], budget_seconds=5) == {FIRST: None}
        await names.close()


async def test_a_service_that_falls_behind_is_not_asked_ever_more(
    names: PortfolioNames, registry: Registry, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests in flight have an upper limit."""
    monkeypatch.setattr("integrations.portfolio.MAX_LOADS", 1)
    registry.late.clear()
    assert await names.names([FIRST, SECOND], budget_seconds=0.1) == {FIRST: None, SECOND: None}
    registry.late.set()
    await until(lambda: names.cached(FIRST) == "Growth")
    assert server.paths == [f"/api/v1/portfolio/{FIRST}"]


async def test_the_questions_of_one_caller_are_begun_in_groups(
    names: PortfolioNames, registry: Registry, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second group waits for the first, so that thousands of names hold nothing else up."""
    monkeypatch.setattr("integrations.portfolio.LOADS_AT_ONCE", 1)
    registry.late.clear()
    loading = asyncio.create_task(names.names([FIRST, SECOND], budget_seconds=5))
    await until(lambda: bool(server.requests))
    assert server.paths == [f"/api/v1/portfolio/{FIRST}"]
    registry.late.set()
    assert await loading == {FIRST: "Growth", SECOND: None}
    # The 404 names no portfolio, so it is confirmed on another connection.
    assert server.paths == [f"/api/v1/portfolio/{each}" for each in (FIRST, SECOND, SECOND)]


async def test_questions_still_open_end_when_the_names_are_closed(
    names: PortfolioNames, registry: Registry, notebook: Notebook
) -> None:
    """Requests in flight are cancelled."""
    registry.late.clear()
    await names.names([FIRST, SECOND], budget_seconds=0.1)
    await names.close()
    assert notebook.outcomes == ["cancelled", "cancelled"]


async def test_a_cancelled_caller_leaves_the_question_open_for_others(
    names: PortfolioNames, registry: Registry
) -> None:
    """The other caller still gets the name."""
    registry.late.clear()
    first = asyncio.create_task(names.names([FIRST], budget_seconds=60))
    second = asyncio.create_task(names.names([FIRST], budget_seconds=60))
    await asyncio.sleep(0.05)
    first.cancel()
    registry.late.set()
    assert await second == {FIRST: "Growth"}
