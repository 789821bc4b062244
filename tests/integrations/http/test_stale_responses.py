"""No value is ever taken from the response to another request, on real sockets, under a burst of portfolios."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from integrations.http import connections as connections_module
from integrations.http.errors import Cause, ServiceError
from integrations.portfolio_accounting import PortfolioAccounting
from integrations.pricing import NO_PRICE, Pricing
from integrations.security import Securities
from tests.integrations.conftest import MakeClient, Notebook

PORTFOLIOS = [f"{number:024x}" for number in range(1, 81)]
SECURITIES = [f"{number:024x}" for number in range(101, 141)]
ROUNDS = 4

type Reply = Callable[["Upstream", asyncio.StreamWriter, bytes], Awaitable[None]]


def http(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    """A complete response, with this length in its header."""
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


class Upstream:
    """A raw server of the three services, whose books and prices are worth `version`, and which replies as told."""

    def __init__(self, reply: Reply, greeting: bytes = b"") -> None:
        self.version = 1
        self.requests = 0
        self.connections = 0
        self.url = ""
        self._reply = reply
        self._greeting = greeting
        self._later: set[asyncio.Task[None]] = set()
        self._talks: set[asyncio.Task[None]] = set()

    def page(self, portfolio_id: str) -> bytes:
        row = {"portfolioId": portfolio_id, "quantityLong": str(self.version), "quantityShort": "0"}
        pagination = {"limit": 1000, "offset": 0, "total": 1, "hasMore": False}
        return json.dumps({"balances": [row], "pagination": pagination}).encode()

    def body(self, target: str) -> bytes:
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        kind, last = path.split("/")[3], path.split("/")[-1]
        match kind:
            case "balances":
                return self.page(query["portfolio_id"][0])
            case "price":
                return json.dumps({"ticker": last, "close": self.version}).encode()
            case "security":
                return json.dumps({"securityId": last, "ticker": f"T{last}"}).encode()
            case _:
                return json.dumps([{"ticker": "ONE", "close": self.version}]).encode()

    def write_later(self, writer: asyncio.StreamWriter, data: bytes, seconds: float) -> None:
        """Write unasked, after a time."""

        async def write() -> None:
            await asyncio.sleep(seconds)
            if not writer.is_closing():
                writer.write(data)

        task = asyncio.create_task(write())
        self._later.add(task)

    async def all_written(self) -> None:
        """Wait until everything that is to be written later has been written."""
        while self._later:
            await asyncio.wait(self._later)
            self._later = {task for task in self._later if not task.done()}

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            if self._greeting:
                writer.write(self._greeting)
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                await self._reply(self, writer, self.body(head.split(b" ", 2)[1].decode()))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except RuntimeError as error:  # uvloop's, for writing to a connection that the client has closed
            assert "closed" in str(error)  # noqa: PT017
        finally:
            writer.close()

    async def close(self) -> None:
        await self.all_written()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)


@asynccontextmanager
async def listening(reply: Reply, greeting: bytes = b"") -> AsyncIterator[Upstream]:
    upstream = Upstream(reply, greeting)
    server = await asyncio.start_server(upstream.talk, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield upstream
    finally:
        server.close()
        await upstream.close()
        await server.wait_closed()


async def once(upstream: Upstream, writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(http(body))


def again_after(seconds: float, part: float = 1.0) -> Reply:
    """Reply, and send the same bytes, or this part of them, once more later."""

    async def reply(upstream: Upstream, writer: asyncio.StreamWriter, body: bytes) -> None:
        response = http(body)
        writer.write(response)
        upstream.write_later(writer, response[: int(len(response) * part)], seconds)

    return reply


async def twice_at_once(upstream: Upstream, writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(http(body) * 2)


async def surplus_bytes(upstream: Upstream, writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(http(body) + b"HTTP/1.1 20")


async def chunked_twice(upstream: Upstream, writer: asyncio.StreamWriter, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    response = head + chunks + b"0\r\n\r\n"
    writer.write(response[:-5])
    await writer.drain()
    writer.write(response[-5:] + response)


async def slow_and_again(upstream: Upstream, writer: asyncio.StreamWriter, body: bytes) -> None:
    """Take longer than the copy of the response before, so that the copy arrives while the next request waits."""
    await asyncio.sleep(0.03)
    writer.write(http(body))
    upstream.write_later(writer, http(body), 0.015)


HARMLESS = {
    "copy at once": twice_at_once,
    "copy after 5 ms": again_after(0.005),
    "copy after 100 ms": again_after(0.1),
    "copy while the next request waits": slow_and_again,
    "half a copy after 5 ms": again_after(0.005, part=0.5),
    "surplus bytes": surplus_bytes,
    "chunked, with a copy in the last read": chunked_twice,
}


@pytest.mark.parametrize("reply", HARMLESS.values(), ids=HARMLESS.keys())
async def test_a_burst_of_portfolios_gets_the_present_books_whatever_is_sent_twice(
    make_client: MakeClient, reply: Reply
) -> None:
    """Books that change between bursts are read as they are now, for every portfolio and without an error."""
    async with listening(reply) as upstream:
        accounting = PortfolioAccounting(make_client(upstream.url, retries=0))
        for version in range(1, ROUNDS + 1):
            upstream.version = version
            read = await asyncio.gather(*(accounting.holdings(each, deadline=None) for each in PORTFOLIOS))
            assert [holdings.cash for holdings in read] == [version] * len(PORTFOLIOS)
            if version % 2:  # in half of the rounds the copies find idle connections, in the other half busy ones
                await upstream.all_written()


@pytest.mark.parametrize("reply", HARMLESS.values(), ids=HARMLESS.keys())
async def test_one_portfolio_read_again_and_again_never_shows_earlier_books(
    make_client: MakeClient, reply: Reply
) -> None:
    """A copy of a portfolio's own earlier response, which names the right portfolio, is not taken either."""
    async with listening(reply) as upstream:
        accounting = PortfolioAccounting(make_client(upstream.url))
        for version in range(1, 21):
            upstream.version = version
            assert (await accounting.holdings(PORTFOLIOS[0], deadline=None)).cash == version


@pytest.mark.parametrize("reply", [again_after(0.005), slow_and_again], ids=["idle", "busy"])
async def test_prices_and_tickers_are_those_of_the_security_requested(make_client: MakeClient, reply: Reply) -> None:
    """Single prices, single securities and the price list never shift by one response."""
    async with listening(reply) as upstream:
        client = make_client(upstream.url, retries=0)
        pricing, securities = Pricing(client), Securities(client)
        for version in range(1, ROUNDS + 1):
            upstream.version = version
            prices = await asyncio.gather(*(pricing.price(f"T{each}", deadline=None) for each in SECURITIES))
            tickers = await asyncio.gather(*(securities.ticker(each, deadline=None) for each in SECURITIES))
            listed = await pricing.prices(deadline=None)
            assert prices == [version] * len(SECURITIES)
            assert tickers == [f"T{each}" for each in SECURITIES]
            assert listed.prices == {"ONE": version}


async def test_an_empty_portfolio_is_confirmed_on_a_connection_of_its_own(make_client: MakeClient) -> None:
    """An empty list of balances names no portfolio, so a copy of one never empties the next portfolio."""
    empty = PORTFOLIOS[0]

    async def reply(upstream: Upstream, writer: asyncio.StreamWriter, body: bytes) -> None:
        if empty.encode() in body:
            body = json.dumps({"balances": [], "pagination": {"total": 0, "hasMore": False}}).encode()
        await slow_and_again(upstream, writer, body)

    async with listening(reply) as upstream:
        accounting = PortfolioAccounting(make_client(upstream.url, retries=0, connections=1))
        for portfolio_id in PORTFOLIOS[:6]:
            assert (await accounting.holdings(empty, deadline=None)).cash == 0
            assert (await accounting.holdings(portfolio_id, deadline=None)).cash == (portfolio_id != empty)


async def test_a_missing_price_is_confirmed_on_a_connection_of_its_own(make_client: MakeClient) -> None:
    """A 404 names no ticker, so a copy of one never hides the next ticker's price."""

    async def reply(upstream: Upstream, writer: asyncio.StreamWriter, body: bytes) -> None:
        response = http(b"{}", "404 Not Found") if b'"NONE"' in body else http(body)
        await asyncio.sleep(0.02)
        writer.write(response)
        upstream.write_later(writer, response, 0.01)

    async with listening(reply) as upstream:
        pricing = Pricing(make_client(upstream.url, retries=0, connections=1))
        for number in range(5):
            assert await pricing.price("NONE", deadline=None) == NO_PRICE
            assert await pricing.price(f"T{number}", deadline=None) == 1


async def test_what_arrives_before_the_request_is_never_its_response(make_client: MakeClient) -> None:
    """A response that a server sends on accepting a connection is rejected, and no books are taken from it."""
    stale = Upstream(once).page(PORTFOLIOS[0])
    async with listening(once, greeting=http(stale)) as upstream:
        upstream.version = 2
        accounting = PortfolioAccounting(make_client(upstream.url, retries=0))
        results = await asyncio.gather(
            *(accounting.holdings(each, deadline=None) for each in PORTFOLIOS[1:]), return_exceptions=True
        )
    assert len(results) == len(PORTFOLIOS) - 1
    for result in results:
        assert isinstance(result, ServiceError)
        assert (
            result.reason
            in {
                "data arrived before the request was sent",
                "response is about something that was not requested",
            }
            or result.cause is Cause.CIRCUIT_OPEN
        )


@pytest.mark.parametrize(
    ("status", "length", "cause", "reason"),
    [
        ("206 Partial Content", 0, Cause.BAD_PAYLOAD, "returned 206 instead of a complete response"),
        ("203 Non-Authoritative Information", 0, Cause.BAD_PAYLOAD, "returned 203 instead of a complete response"),
        ("202 Accepted", 0, Cause.BAD_PAYLOAD, "returned 202 instead of a complete response"),
        ("200 OK", -9, Cause.CONNECTION, "response is not HTTP"),
        ("200 OK", 9, Cause.TIMEOUT, "no complete response within 2 s"),
    ],
    ids=["206", "203", "202", "length too small", "length too large"],
)
async def test_an_incomplete_response_is_an_error_and_the_next_one_is_right(
    make_client: MakeClient, status: str, length: int, cause: Cause, reason: str
) -> None:
    """Partial, changed, announced and wrongly measured responses fail their portfolio, and no other."""
    ill = set(PORTFOLIOS[::4])

    async def reply(upstream: Upstream, writer: asyncio.StreamWriter, body: bytes) -> None:
        if any(portfolio_id.encode() in body for portfolio_id in ill):
            writer.write(http(body, status, len(body) + length))
        else:
            writer.write(http(body))

    async with listening(reply) as upstream:
        accounting = PortfolioAccounting(make_client(upstream.url, retries=0, timeout_seconds=2, breaker_failures=1000))
        results = await asyncio.gather(
            *(accounting.holdings(each, deadline=None) for each in PORTFOLIOS), return_exceptions=True
        )
        for portfolio_id, result in zip(PORTFOLIOS, results, strict=True):
            if portfolio_id in ill:
                assert isinstance(result, ServiceError)
                assert (result.cause, result.reason) == (cause, reason)
            else:
                assert not isinstance(result, BaseException)
                assert result.cash == 1
        upstream.version = 2
        ill.clear()
        read = await asyncio.gather(*(accounting.holdings(each, deadline=None) for each in PORTFOLIOS))
        assert [holdings.cash for holdings in read] == [2] * len(PORTFOLIOS)


async def test_a_discarded_response_is_reported(make_client: MakeClient, notebook: Notebook) -> None:
    """The observer learns that an upstream mixes up responses."""
    async with listening(slow_and_again) as upstream:
        accounting = PortfolioAccounting(make_client(upstream.url, retries=0, connections=1))
        await accounting.holdings(PORTFOLIOS[0], deadline=None)
        await accounting.holdings(PORTFOLIOS[1], deadline=None)
    assert notebook.discarded == ["the response is about something that was not requested"]


async def test_connections_are_reused_for_different_portfolios_only(make_client: MakeClient) -> None:
    """A healthy connection carries many portfolios, each of them once."""
    async with listening(once) as upstream:
        accounting = PortfolioAccounting(make_client(upstream.url, connections=1))
        for portfolio_id in PORTFOLIOS:
            await accounting.holdings(portfolio_id, deadline=None)
        assert upstream.connections == 1
        await accounting.holdings(PORTFOLIOS[0], deadline=None)
        assert upstream.connections == 2


async def test_a_connection_is_closed_after_its_last_request(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered of a connection is bounded by the number of requests that it carries."""
    monkeypatch.setattr(connections_module, "MAX_REQUESTS", 10)
    async with listening(once) as upstream:
        accounting = PortfolioAccounting(make_client(upstream.url, connections=1))
        for portfolio_id in PORTFOLIOS:
            await accounting.holdings(portfolio_id, deadline=None)
        assert upstream.connections == len(PORTFOLIOS) / 10


async def test_a_connection_that_received_anything_while_idle_is_not_reused(make_client: MakeClient) -> None:
    """One byte that nobody requested closes the connection, also before the event loop has read it."""

    async def reply(upstream: Upstream, writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(http(body))
        upstream.write_later(writer, b"\r", 0.005)

    async with listening(reply) as upstream:
        accounting = PortfolioAccounting(make_client(upstream.url, connections=1))
        for portfolio_id in PORTFOLIOS[:10]:
            await accounting.holdings(portfolio_id, deadline=None)
            await upstream.all_written()
            time.sleep(0.002)  # noqa: ASYNC251 - the byte arrives while the event loop reads nothing
        assert upstream.connections == 10
