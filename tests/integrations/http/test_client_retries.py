"""When a client asks again, how long it waits, and when it gives up."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from integrations.http.client import SHORTEST_WAIT_SECONDS
from integrations.http.errors import Cause, ServiceError
from tests.integrations.conftest import Handler, MakeClient, Notebook, serving


def responding(*statuses: int, retry_after: str | None = None) -> Handler:
    """Responses with these statuses in turn, and with the last of them for ever."""
    left = list(statuses)
    headers = {"Retry-After": retry_after} if retry_after is not None else {}

    async def response(_: web.Request) -> web.Response:
        status = left.pop(0) if len(left) > 1 else left[0]
        return web.json_response([], status=status, headers=headers if status >= 400 else {})

    return response


async def hang(_: web.Request) -> web.Response:
    await asyncio.sleep(3600)
    raise AssertionError


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Lets waits of a second and more pass at once, and lists them."""
    recorded: list[float] = []
    sleep = asyncio.sleep

    async def pass_at_once(seconds: float) -> None:
        if seconds >= 1:
            recorded.append(seconds)
            seconds = 0
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", pass_at_once)
    return recorded


async def test_retries_are_told_to_the_observer_alone(
    make_client: MakeClient, notebook: Notebook, no_waits: None
) -> None:
    """Whoever observes writes the line; a library's own would be the same again in other words."""
    async with serving(responding(503)) as server:
        with capture_logs() as lines, pytest.raises(ServiceError):
            await make_client(server.url).get("/x", expect=list[int], deadline=None)
    assert len(notebook.waits) == 3
    assert lines == []


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
async def test_a_failing_service_is_asked_four_times_with_waits_of_1_2_and_4_seconds(
    make_client: MakeClient, notebook: Notebook, waits: list[float], status: int
) -> None:
    """The last failure is raised with its status."""
    async with serving(responding(status)) as server:
        with pytest.raises(ServiceError) as raised:
            await make_client(server.url).get("/x", expect=list[int], deadline=None)
    assert (raised.value.cause, raised.value.status, raised.value.reason) == (
        Cause.STATUS, status, f"returned {status}",
    )  # fmt: skip
    assert waits == notebook.waits == [1.0, 2.0, 4.0]
    assert len(server.requests) == 4


async def test_the_wait_before_a_retry_really_passes(make_client: MakeClient) -> None:
    """The clock confirms one second before the second request."""
    async with serving(responding(503, 200)) as server:
        started = time.monotonic()
        await make_client(server.url).get("/x", expect=list[int], deadline=None)
    assert time.monotonic() - started >= 1.0
    assert len(server.requests) == 2


async def test_the_last_retry_may_still_succeed(make_client: MakeClient, no_waits: None) -> None:
    """Three failures of different kinds cost the caller only time."""
    async with serving(responding(500, 502, 503, 200)) as server:
        assert await make_client(server.url).get("/x", expect=list[int], deadline=None) == []
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 499, 301, 304])
async def test_a_response_below_500_is_never_repeated(make_client: MakeClient, no_waits: None, status: int) -> None:
    """One request is sent, and the error has its status."""
    async with serving(responding(status)) as server:
        with pytest.raises(ServiceError) as raised:
            await make_client(server.url).get("/x", expect=list[int], deadline=None)
    assert raised.value.status == status
    assert len(server.requests) == 1


async def test_no_retries_means_one_request(make_client: MakeClient) -> None:
    """A setting of 0 turns retries off."""
    async with serving(responding(503)) as server:
        with pytest.raises(ServiceError):
            await make_client(server.url, retries=0).get("/x", expect=list[int], deadline=None)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 503])
@pytest.mark.parametrize(("retry_after", "expected"), [("3", [3.0] * 3), (None, [1.0, 2.0, 4.0])])
async def test_a_retry_waits_as_long_as_the_service_asks_or_as_usual(
    make_client: MakeClient, waits: list[float], status: int, retry_after: str | None, expected: list[float]
) -> None:
    """`Retry-After` replaces the usual waits of 1, 2 and 4 seconds; a busy service is treated like a failing one."""
    async with serving(responding(status, retry_after=retry_after)) as server:
        with pytest.raises(ServiceError) as raised:
            await make_client(server.url).get("/x", expect=list[int], deadline=None)
    assert waits == expected
    assert raised.value.status == status
    assert raised.value.retry_after == (None if retry_after is None else float(retry_after))


async def test_a_retry_after_of_0_is_a_short_wait(make_client: MakeClient, notebook: Notebook) -> None:
    """A service that asks for a retry at once is not flooded."""
    async with serving(responding(429, retry_after="0")) as server:
        with pytest.raises(ServiceError):
            await make_client(server.url).get("/x", expect=list[int], deadline=None)
    assert notebook.waits == [SHORTEST_WAIT_SECONDS] * 3


async def test_retry_after_may_be_a_date(make_client: MakeClient, waits: list[float]) -> None:
    """The wait lasts until that moment."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    async with serving(responding(503, 200, retry_after=date)) as server:
        await make_client(server.url).get("/x", expect=list[int], deadline=None)
    assert len(waits) == 1
    assert 15 < waits[0] <= 20


@pytest.mark.parametrize(
    "nonsense",
    ["soon", "-5", "1.5", "", "9" * 400, "²", "Mon, 99 Foo 2025 00:00:00 GMT", "Mon, 1 Jan 99999999999 00:00:00 GMT"],
)
async def test_a_retry_after_that_says_nothing_is_ignored(
    make_client: MakeClient, waits: list[float], nonsense: str
) -> None:
    """Any malformed value leaves the usual wait of one second."""
    async with serving(responding(503, 200, retry_after=nonsense)) as server:
        await make_client(server.url).get("/x", expect=list[int], deadline=None)
    assert waits == [1.0]


async def test_a_retry_after_beyond_the_deadline_ends_the_call_at_once(make_client: MakeClient) -> None:
    """The caller does not wait for a retry that would come too late."""
    async with serving(responding(503, retry_after="30")) as server:
        started = time.monotonic()
        with pytest.raises(ServiceError) as raised:
            await make_client(server.url).get("/x", expect=list[int], deadline=started + 20)
    assert time.monotonic() - started < 10
    assert (raised.value.status, raised.value.retry_after) == (503, 30.0)
    assert len(server.requests) == 1


async def test_without_a_deadline_a_retry_after_of_an_hour_is_not_waited_for(make_client: MakeClient) -> None:
    """A wait has an upper limit of its own."""
    async with serving(responding(503, retry_after="3600")) as server:
        with pytest.raises(ServiceError) as raised:
            await make_client(server.url).get("/x", expect=list[int], deadline=None)
    assert raised.value.retry_after == 3600.0
    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "seconds"), [(408, 0.9), (429, 0.9)])
async def test_a_busy_service_is_not_waited_for_beyond_the_deadline(
    make_client: MakeClient, status: int, seconds: float
) -> None:
    """If the wait of one second would end after the deadline, the error is raised at once."""
    async with serving(responding(status, 200)) as server:
        started = time.monotonic()
        with pytest.raises(ServiceError) as raised:
            await make_client(server.url).get("/x", expect=list[int], deadline=started + seconds)
        assert time.monotonic() - started < seconds
    assert (raised.value.cause, raised.value.status) == (Cause.STATUS, status)


async def test_no_retry_begins_that_cannot_finish_before_the_deadline(make_client: MakeClient) -> None:
    """A wait of one second does not fit in less, so the first failure is the response, and comes at once."""
    async with serving(responding(503)) as server:
        with pytest.raises(ServiceError) as raised:
            await make_client(server.url).get("/x", expect=list[int], deadline=time.monotonic() + 0.9)
    assert raised.value.cause is Cause.STATUS
    assert len(server.requests) == 1


async def test_the_deadline_ends_a_request_that_the_time_out_would_let_go_on(make_client: MakeClient) -> None:
    """The cause is the deadline, not the time-out."""
    async with serving(hang) as server:
        started = time.monotonic()
        with pytest.raises(ServiceError) as raised:
            await make_client(server.url).get("/x", expect=list[int], deadline=started + 0.2)
    assert time.monotonic() - started < 5
    assert raised.value.cause is Cause.DEADLINE


async def test_a_deadline_in_the_middle_of_a_retry_names_what_failed_before(
    make_client: MakeClient, no_waits: None
) -> None:
    """The reason has the earlier failure, too."""

    async def response(request: web.Request) -> web.Response:
        return web.Response(status=502) if len(server.requests) == 1 else await hang(request)

    async with serving(response) as server:
        with pytest.raises(ServiceError) as raised:
            await make_client(server.url).get("/x", expect=list[int], deadline=time.monotonic() + 1)
    assert raised.value.reason == "no response before the request's deadline; before that: returned 502"


async def test_without_time_left_nothing_is_sent(make_client: MakeClient) -> None:
    """The error says that the request was not sent."""
    async with serving(responding(200)) as server:
        with pytest.raises(ServiceError) as raised:
            await make_client(server.url).get("/x", expect=list[int], deadline=time.monotonic())
    assert (raised.value.cause, raised.value.sent) == (Cause.DEADLINE, False)
    assert server.requests == []


async def test_a_cancelled_call_ends_its_request_and_gives_its_connection_back(make_client: MakeClient) -> None:
    """The server sees the end, and the next call gets through a pool of one connection."""
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def response(request: web.Request) -> web.Response:
        if request.path == "/quick":
            return web.json_response([])
        arrived.set()
        try:
            return await hang(request)
        finally:
            gone.set()

    async with serving(response) as server:
        client = make_client(server.url, connections=1)
        call = asyncio.create_task(client.get("/slow", expect=list[int], deadline=None))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(5):
            await gone.wait()
            assert await client.get("/quick", expect=list[int], deadline=None) == []


type Post = Callable[[str], Coroutine[Any, Any, ServiceError]]


@pytest.fixture
def post(make_client: MakeClient, no_waits: None) -> Post:
    async def failing(url: str) -> ServiceError:
        with pytest.raises(ServiceError) as raised:
            await make_client(url, timeout_seconds=0.2).send_once("POST", "/orders", body=b"[]", expect=list[int])
        return raised.value

    return failing


@pytest.mark.parametrize("status", [400, 413, 429, 500, 503])
async def test_a_post_that_was_returned_is_never_repeated(post: Post, status: int) -> None:
    """Whatever the status and Retry-After, one POST is sent."""
    async with serving(responding(status, retry_after="1")) as server:
        error = await post(server.url)
    assert (error.status, error.sent) == (status, True)
    assert len(server.requests) == 1


async def test_a_post_that_timed_out_or_broke_off_is_not_repeated_because_it_may_have_arrived(post: Post) -> None:
    """The error is marked as sent."""

    async def break_off(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    for handler, cause in ((hang, Cause.TIMEOUT), (break_off, Cause.CONNECTION)):
        async with serving(handler) as server:
            error = await post(server.url)
        assert (error.cause, error.sent) == (cause, True)
        assert len(server.requests) == 1


async def test_a_post_without_a_connection_was_certainly_not_sent(
    post: Post, notebook: Notebook, closed_port: str
) -> None:
    """The caller decides when to send it again."""
    error = await post(closed_port)
    assert (error.cause, error.sent) == (Cause.CONNECTION, False)
    assert notebook.outcomes == ["connection"]


async def test_a_post_is_not_sent_while_the_circuit_is_open(
    make_client: MakeClient, notebook: Notebook, closed_port: str
) -> None:
    """Failed posts open the circuit like any request; then a post was certainly not sent."""
    client = make_client(closed_port, breaker_failures=2)
    for cause in (Cause.CONNECTION, Cause.CONNECTION, Cause.CIRCUIT_OPEN):
        with pytest.raises(ServiceError) as raised:
            await client.send_once("POST", "/orders", body=b"[]", expect=list[int])
        assert (raised.value.cause, raised.value.sent) == (cause, False)
    assert notebook.outcomes == ["connection"] * 2
    assert notebook.rejections == ["pricing"]
