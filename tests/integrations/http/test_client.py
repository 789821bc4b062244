"""What a client sends, and what it makes of a good response."""

import asyncio
import time
from decimal import Decimal

import pytest
from aiohttp import web
from msgspec import Struct

from integrations.http.client import forwarded_headers
from integrations.http.errors import Cause, NotFound, ServiceError
from tests.integrations.conftest import MakeClient, Notebook, serving


class Price(Struct, frozen=True):
    close: Decimal


def text(body: str, status: int = 200) -> web.Response:
    return web.Response(text=body, status=status, content_type="application/json")


@pytest.mark.parametrize("number", ["0.1", '"0.1"', "12345678901234567890.12345678", "1e2"])
async def test_a_decimal_arrives_exactly_whether_number_or_string(make_client: MakeClient, number: str) -> None:
    """No digit passes through a float."""

    async def response(_: web.Request) -> web.Response:
        return text(f'{{"close": {number}, "open": 1}}')

    async with serving(response) as server:
        price = await make_client(server.url).get("/price", expect=Price, deadline=None)
    assert price.close == Decimal(number.strip('"'))


async def test_a_404_is_told_apart_and_shows_a_service_that_is_well(
    make_client: MakeClient, notebook: Notebook
) -> None:
    """NotFound is its own error, and its own outcome in the metrics."""

    async def response(_: web.Request) -> web.Response:
        return text("{}", 404)

    async with serving(response) as server:
        client = make_client(server.url)
        with pytest.raises(NotFound) as raised:
            await client.get("/price", expect=Price, deadline=None)
    assert (raised.value.cause, raised.value.status) == (Cause.STATUS, 404)
    assert notebook.outcomes == ["not_found"]


async def test_the_contexts_headers_go_with_every_request_and_with_its_retries(
    make_client: MakeClient, no_waits: None
) -> None:
    """Correlation id and traceparent are those of the task that calls."""

    async def response(_: web.Request) -> web.Response:
        return text("[]", 503 if len(server.requests) < 3 else 200)

    async def ask() -> None:
        forwarded_headers.set({"X-Correlation-ID": "abc", "traceparent": "00-a-b-01"})
        await client.get("/list", expect=list[int], deadline=None)

    async with serving(response) as server:
        client = make_client(server.url)
        await asyncio.create_task(ask())
        await client.get("/list", expect=list[int], deadline=None)
    sent = [(each.headers.get("X-Correlation-ID"), each.headers.get("traceparent")) for each in server.requests]
    assert sent == [("abc", "00-a-b-01")] * 3 + [(None, None)]


async def test_the_base_url_keeps_its_path_and_the_query_is_encoded(make_client: MakeClient) -> None:
    """A gateway's path prefix is kept, and ids cannot inject parameters."""

    async def response(_: web.Request) -> web.Response:
        return text("[]")

    async with serving(response) as server:
        client = make_client(server.url + "/behind/a/gateway/")
        await client.get("/api/v1/x%2Fy", {"portfolio_id": "a&b=c"}, expect=list[int], deadline=None)
    assert server.requests[0].raw_path == "/behind/a/gateway/api/v1/x%2Fy?portfolio_id=a%26b%3Dc"


async def test_a_redirect_is_not_followed(make_client: MakeClient) -> None:
    """The correlation headers go to the configured service and nowhere else."""

    async def response(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with serving(response) as server:
        with pytest.raises(ServiceError) as raised:
            await make_client(server.url).get("/here", expect=list[int], deadline=None)
    assert raised.value.status == 307
    assert server.paths == ["/here"]


async def test_requests_at_the_same_time_are_bounded_and_queueing_is_not_part_of_the_time_out(
    make_client: MakeClient,
) -> None:
    """Forty requests through four connections take longer than the time-out, and none of them times out."""
    at_work: list[int] = []
    busy = 0

    async def response(_: web.Request) -> web.Response:
        nonlocal busy
        busy += 1
        at_work.append(busy)
        await asyncio.sleep(0.05)
        busy -= 1
        return text("[]")

    async with serving(response) as server:
        client = make_client(server.url, timeout_seconds=0.3, connections=4)
        started = time.monotonic()
        await asyncio.gather(*(client.get("/list", expect=list[int], deadline=None) for _ in range(40)))
    assert time.monotonic() - started > 0.3
    assert max(at_work) == 4
    assert len(server.requests) == 40
