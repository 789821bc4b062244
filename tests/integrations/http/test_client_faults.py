"""What a client makes of silence, broken connections, nonsense and floods, each on a real socket."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from aiohttp import web
from msgspec import Struct

from integrations.http.client import ServiceClient
from integrations.http.errors import Cause, ServiceError
from integrations.http.request import MAX_RESPONSE_BYTES
from tests.integrations.conftest import MakeClient, Notebook, serving


class Price(Struct, frozen=True):
    ticker: str
    close: Decimal


class PriceList(Struct, frozen=True):
    prices: list[Price]


async def failure(client: ServiceClient) -> ServiceError:
    """The error of one call, which names neither where the service is nor what it was asked."""
    with pytest.raises(ServiceError) as raised:
        await client.get("/prices", {"key": "secret"}, expect=PriceList, deadline=None)
    error = raised.value
    assert error.service == "pricing"
    assert str(error) == f"pricing: {error.reason}"
    for private in ("127.0.0.1", "http", "/prices", "secret", "invalid"):
        assert private not in error.reason
    return error


@asynccontextmanager
async def saying(*pieces: bytes, reset: bool = False, hang: bool = False) -> AsyncIterator[str]:
    """The URL of a server that responds every connection with these bytes, and then closes, resets or hangs."""
    done = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if hang:
                await done.wait()
        except ConnectionError:
            pass
        finally:
            if reset:
                writer.transport.abort()
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        done.set()
        server.close()
        await server.wait_closed()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize("pieces", [(), (HEAD,), (HEAD, b'{"prices": [')], ids=["silent", "no body", "half a body"])
async def test_a_service_that_hangs_times_out(make_client: MakeClient, pieces: tuple[bytes, ...]) -> None:
    """Silence before, after or within the response ends at the configured time-out."""
    async with saying(*pieces, hang=True) as url:
        error = await failure(make_client(url, timeout_seconds=0.2, retries=0))
    assert error.cause is Cause.TIMEOUT
    assert error.reason == "no complete response within 0.2 s"


async def test_a_body_that_trickles_is_bounded_as_a_whole(make_client: MakeClient) -> None:
    """The time-out is for the whole response, however often another byte of it arrives."""

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b" ")
            await asyncio.sleep(0.02)
        return response

    async with serving(trickle) as server:
        started = time.monotonic()
        error = await failure(make_client(server.url, timeout_seconds=0.3, retries=0))
    assert error.cause is Cause.TIMEOUT
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize("pieces", [(), (HEAD,), (HEAD, b'{"prices": [')], ids=["silent", "no body", "half a body"])
async def test_a_connection_that_breaks_off_is_an_error_and_worth_a_retry(
    make_client: MakeClient, notebook: Notebook, no_waits: None, pieces: tuple[bytes, ...], reset: bool
) -> None:
    """A close or a reset, before or within the response, is retried three times."""
    async with saying(*pieces, reset=reset) as url:
        error = await failure(make_client(url))
    assert error.cause is Cause.CONNECTION
    assert error.reason == "connection lost before the response was complete"
    assert notebook.outcomes == ["connection"] * 4


async def test_a_refused_connection(
    make_client: MakeClient, notebook: Notebook, closed_port: str, no_waits: None
) -> None:
    """The error has the cause `connection`, and the call is retried."""
    error = await failure(make_client(closed_port))
    assert (error.cause, error.reason) == (Cause.CONNECTION, "connection refused")
    assert notebook.outcomes == ["connection"] * 4


async def test_an_unknown_host(make_client: MakeClient) -> None:
    """The reason says that the host name was not found."""
    error = await failure(make_client("http://globeco-pricing-service.invalid:8083", retries=0))
    assert (error.cause, error.reason) == (Cause.CONNECTION, "host name not found")


async def test_a_server_that_does_not_speak_http(make_client: MakeClient) -> None:
    """The error says so, and that the request may have arrived."""
    async with saying(b"220 mail.example.org ESMTP ready\r\n\r\n") as url:
        error = await failure(make_client(url, retries=0))
    assert (error.cause, error.reason, error.sent) == (Cause.CONNECTION, "response is not HTTP", True)


NONSENSE = {
    "empty": (b"", "response is not JSON"),
    "html": (b"<!DOCTYPE html><html><body>It works</body></html>", "response is not JSON"),
    "truncated": (b'{"prices": [{"ticker": "A", "close": 1.5}, {"tic', "response is not JSON"),
    "two values": (b'{"prices": []}{"prices": []}', "response is not JSON"),
    "nan": (b'{"prices": [{"ticker": "A", "close": NaN}]}', "response is not JSON"),
    "not utf-8": (b'{"prices": [{"ticker": "\xff\xfe", "close": 1}]}', "response is not JSON"),
    "deep": (b"[" * 100_000 + b"]" * 100_000, None),
    "deep inside": (b'{"prices": [], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "response is nested too deeply"),
    "null": (b"null", "response does not match the contract: Expected `object`, got `null`"),
    "array": (b"[]", "response does not match the contract: Expected `object`, got `array`"),
    "missing": (b"{}", "response does not match the contract: Object missing required field `prices`"),
    "number for text": (
        b'{"prices": [{"ticker": 5, "close": 1}]}',
        "response does not match the contract: Expected `str`, got `int` - at `$.prices[0].ticker`",
    ),
    "truth for number": (
        b'{"prices": [{"ticker": "A", "close": true}]}',
        "response does not match the contract: Expected `decimal`, got `bool` - at `$.prices[0].close`",
    ),
    "words for number": (
        b'{"prices": [{"ticker": "A", "close": "a lot"}]}',
        "response does not match the contract: Invalid decimal string - at `$.prices[0].close`",
    ),
}


@pytest.mark.parametrize(("body", "reason"), NONSENSE.values(), ids=NONSENSE.keys())
async def test_a_response_that_does_not_fit_the_contract_is_named_and_not_asked_for_again(
    make_client: MakeClient, notebook: Notebook, body: bytes, reason: str | None
) -> None:
    """The service is well enough to respond, and would respond the same once more."""

    async def response(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="text/html")

    async with serving(response) as server:
        error = await failure(make_client(server.url))
    assert error.cause is Cause.BAD_PAYLOAD
    assert reason is None or error.reason == reason
    assert notebook.outcomes == ["bad_payload"]


async def test_a_million_rows_are_refused_before_they_fill_the_memory(make_client: MakeClient) -> None:
    """The response is cut off at its limit of bytes."""
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        rows = b'{"ticker": "AAPL", "close": 190.55, "description": "a row as long as a real one"},' * 1000
        await response.write(b'{"prices": [')
        for _ in range(1000):
            await response.write(rows)
            sent += len(rows)
        return response

    async with serving(flood) as server:
        error = await failure(make_client(server.url))
    assert (error.cause, error.reason) == (Cause.BAD_PAYLOAD, "response longer than 1 MiB")
    assert sent < 16 * MAX_RESPONSE_BYTES, "what was sent beyond it waited in the buffers of the sockets"


async def test_a_response_that_unpacks_to_gigabytes_is_refused(make_client: MakeClient) -> None:
    """The limit is on what comes out of a compressed body, not on what goes in."""
    packed = gzip.compress(b" " * (8 * MAX_RESPONSE_BYTES))
    assert len(packed) < MAX_RESPONSE_BYTES / 50

    async def response(_: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"}, content_type="application/json")

    async with serving(response) as server:
        error = await failure(make_client(server.url))
    assert (error.cause, error.reason) == (Cause.BAD_PAYLOAD, "response longer than 1 MiB")


async def test_a_service_is_asked_again_over_a_new_connection_when_it_closed_the_old_one(
    make_client: MakeClient, notebook: Notebook
) -> None:
    """A restart of the service between two calls is not noticed."""

    async def response(_: web.Request) -> web.Response:
        return web.json_response({"prices": []})

    async with serving(response) as server:
        client = make_client(server.url)
        await client.get("/prices", expect=PriceList, deadline=None)
        port = int(server.url.rsplit(":", 1)[1])
    async with serving(response, port):
        await client.get("/prices", expect=PriceList, deadline=None)
    assert notebook.outcomes == ["ok", "ok"]


async def test_a_flood_of_interim_responses_ends_with_the_time_out_and_delays_nothing_else(
    make_client: MakeClient,
) -> None:
    """Endless 102 responses are no response; meanwhile the event loop serves others."""
    longest, ended = 0.0, asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            while not ended.is_set():
                writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)
                await writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def watch() -> None:
        nonlocal longest
        while not ended.is_set():
            started = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - started)

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    try:
        watching = asyncio.create_task(watch())
        error = await failure(
            make_client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", retries=0, timeout_seconds=0.5)
        )
    finally:
        ended.set()
        server.close()
        await server.wait_closed()
    await watching
    assert error.cause is Cause.TIMEOUT
    assert 0 < longest < 0.5


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-Header: value\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX-Header: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n",
    ],
    ids=["many headers", "long header", "long status"],
)
async def test_an_endless_head_is_no_response(make_client: MakeClient, head: bytes) -> None:
    """The number and the length of header lines are limited."""
    async with saying(head, hang=True) as url:
        error = await failure(make_client(url, retries=0))
    assert (error.cause, error.reason) == (Cause.CONNECTION, "response is not HTTP")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
async def test_a_body_that_is_not_compressed_as_announced_is_an_error(make_client: MakeClient, encoding: str) -> None:
    """Neither a wrong encoding nor a truncated one is taken for the content."""
    packed = gzip.compress(b'{"prices": []}')[:20] if encoding == "gzip" else b'{"prices": []}'

    async def respond(_: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": encoding}, content_type="application/json")

    async with serving(respond) as server:
        error = await failure(make_client(server.url, retries=0))
    assert error.cause in {Cause.CONNECTION, Cause.BAD_PAYLOAD}
