"""While the database is away, callers get 503 within two seconds, and its return needs no restart."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from app.commands.stack import running_service_process
from app.http.dialect import Dialect
from integrations.simulator import Delay, Service
from tests.app.conftest import Environment
from tests.harness.api import Api, ApiResponse
from tests.harness.bodies import content, created, model, path, position
from tests.harness.proxy import Proxy
from tests.harness.upstreams import Upstreams, fresh_id

ID = "f" * 24
PATIENCE_SECONDS = 2.0
RECOVERY_SECONDS = 100
ATTEMPTS = 5


@asynccontextmanager
async def served(environment: Environment, url: str, log: Path) -> AsyncIterator[Api]:
    """A service whose database is at this URL."""
    running = running_service_process({**environment, "MONGODB_URL": url}, log)
    service_url, _ = await asyncio.to_thread(running.__enter__)
    try:
        with Api(service_url, Dialect.STANDARD) as api:
            yield api
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


@pytest.fixture(scope="module")
async def proxy(mongodb_url: str) -> AsyncIterator[Proxy]:
    async with Proxy.to(mongodb_url) as opened:
        yield opened


@pytest.fixture(scope="module")
async def served_by_proxy(
    environment: Environment, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    async with served(environment, proxy.url, tmp_path_factory.mktemp("outage") / "log") as api:
        yield api


def timed(call: Callable[[], ApiResponse]) -> tuple[ApiResponse, float]:
    """The response to a call, and after how many seconds it came."""
    begun = time.monotonic()
    response = call()
    return response, time.monotonic() - begun


async def all_in_time(*calls: Callable[[], ApiResponse]) -> list[ApiResponse]:
    """The responses to calls made at once, beside the proxy, none of which keeps its caller longer than was promised.

    A busy machine may delay some of them; then all are made again.
    """
    loop = asyncio.get_running_loop()
    slowest = 0.0
    with ThreadPoolExecutor(len(calls)) as threads:
        for _ in range(ATTEMPTS):
            responses = await asyncio.gather(*(loop.run_in_executor(threads, timed, call) for call in calls))
            slowest = max(seconds for _, seconds in responses)
            if slowest < PATIENCE_SECONDS:
                return [response for response, _ in responses]
    raise AssertionError(f"{slowest:.1f} seconds")


async def recovered(call: Callable[[], ApiResponse], status: int) -> ApiResponse:
    until = time.monotonic() + RECOVERY_SECONDS
    while (response := await asyncio.to_thread(call)).status != status:
        assert time.monotonic() < until, response.text
        await asyncio.sleep(0.05)
    return response


@pytest.mark.parametrize("outage", ["refuses", "is silent"])
async def test_every_endpoint_says_so_in_time_and_works_again_when_the_database_is_back(
    proxy: Proxy, served_by_proxy: Api, upstreams: Upstreams, outage: str
) -> None:
    """All endpoints get 503 with Retry-After in two seconds; probes and invalid requests are served as before."""
    api = served_by_proxy
    made = await asyncio.to_thread(created, api, portfolios=[upstreams.portfolio()])
    calls: list[Callable[[], ApiResponse]] = [
        lambda: api.get("/models"),
        lambda: api.get(path(made)),
        lambda: api.post("/models", model()),
        lambda: api.put(path(made), content(made)),
        lambda: api.delete(path(made), version=1),
        lambda: api.get(path(made, "/history")),
        lambda: api.post(path(made, "/position"), position()),
        lambda: api.post(path(made, "/portfolio"), {"portfolios": [fresh_id()]}),
        lambda: api.post(path(made, "/rebalance")),
        lambda: api.call("POST", path(made, "/rebalance"), headers={"Idempotency-Key": uuid4().hex}),
        lambda: api.post(f"/portfolio/{made['portfolios'][0]}/rebalance"),
        lambda: api.get("/rebalances"),
        lambda: api.post("/rebalances/portfolios", {"portfolios": made["portfolios"]}),
        lambda: api.get(f"/rebalance/{ID}"),
        lambda: api.get(f"/rebalance/{ID}/portfolios"),
        lambda: api.get(f"/rebalance/{ID}/portfolio/{ID}/positions"),
        lambda: api.delete(f"/rebalance/{ID}", version=1),
    ]
    if outage == "refuses":
        await proxy.refuse()
    else:
        proxy.fall_silent()
    try:
        for response in await all_in_time(*calls):
            assert response.expect(503, "DATABASE_UNAVAILABLE").headers["Retry-After"] == "2"
        malformed, alive = await all_in_time(lambda: api.get("/model/x"), lambda: api.raw("GET", "/health/live"))
        malformed.expect(400)
        alive.expect(200)
    finally:
        if outage == "refuses":
            await proxy.listen()
        else:
            proxy.speak()
    back = await recovered(lambda: api.get(path(made)), 200)
    assert back.body["modelId"] == made["modelId"]
    await recovered(lambda: api.post(path(made, "/rebalance")), 200)


async def test_a_rebalance_whose_database_goes_away_stores_nothing_and_a_retry_with_its_key_succeeds(
    proxy: Proxy, served_by_proxy: Api, upstreams: Upstreams
) -> None:
    """The rebalance ends with 503 in mid-way; the same key works after the database has returned."""
    api, key = served_by_proxy, uuid4().hex
    made = await asyncio.to_thread(created, api, portfolios=[upstreams.portfolio()])
    upstreams.inject(Service.PORTFOLIO_ACCOUNTING, Delay(seconds=0.5))

    def rebalance() -> ApiResponse:
        return api.call("POST", path(made, "/rebalance"), headers={"Idempotency-Key": key})

    upstreams.forget_calls()
    running = asyncio.create_task(asyncio.to_thread(rebalance))
    await asyncio.to_thread(upstreams.await_call, Service.PORTFOLIO_ACCOUNTING)
    await proxy.refuse()
    try:
        (await running).expect(503, "DATABASE_UNAVAILABLE")
    finally:
        await proxy.listen()
    upstreams.restore()
    await recovered(lambda: api.get(path(made)), 200)
    found = await asyncio.to_thread(api.post, "/rebalances/portfolios", {"portfolios": made["portfolios"]})
    assert found.expect(200).body == []
    assert (await asyncio.to_thread(api.get, path(made))).body["lastRebalanceDate"] is None


async def test_a_defect_is_an_internal_error_that_shows_only_its_trace_id_and_is_logged_with_its_traceback(
    environment: Environment, mongodb_url: str, tmp_path: Path
) -> None:
    """Caused by a response of the database that no server sends, which the driver does not expect."""
    log = tmp_path / "log"
    async with Proxy.to(mongodb_url) as proxy, served(environment, proxy.url, log) as api:
        nonsense = {"cursor": {"id": 0, "ns": "a.b", "firstBatch": 7}}
        proxy.to_add = lambda reply: nonsense if "cursor" in reply else {}
        crashed = (await asyncio.to_thread(api.get, f"/model/{ID}")).expect(500, "INTERNAL_ERROR")
        proxy.to_add = lambda _: {}
    assert crashed.error["message"] == "An unexpected error occurred."
    assert crashed.error["details"] == {}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    [line] = [line for line in lines if line["event"] == "request failed unexpectedly"]
    assert crashed.error["traceId"] in (line["trace_id"], line["correlation_id"])
    assert line["level"] == "error"
    assert line["exception"].startswith("Traceback")
