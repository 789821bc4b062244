"""Every fault of the simulator does to a real client what its name says."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
import pytest

from integrations.simulator import (
    Delay,
    ErrorStatus,
    Fault,
    Garbage,
    GarbageKind,
    Hang,
    HangMidBody,
    Refuse,
    Repeat,
    Reset,
    Service,
    Simulator,
    SimulatorSettings,
    SlowBody,
    SpecialCase,
    running_simulator,
)

SHORT = aiohttp.ClientTimeout(total=0.3)
PRICES = "/api/v1/prices"


@pytest.fixture(scope="module")
async def running(anyio_backend: object) -> AsyncIterator[Simulator]:
    async with running_simulator(SimulatorSettings(portfolios=10)) as simulator:
        yield simulator


@pytest.fixture
async def simulator(running: Simulator) -> AsyncIterator[Simulator]:
    yield running
    await running.heal()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def statuses(http: aiohttp.ClientSession, url: str, count: int) -> list[int]:
    found = []
    for _ in range(count):
        async with http.get(url) as response:
            found.append(response.status)
    return found


async def body(http: aiohttp.ClientSession, url: str, **query: str) -> bytes:
    async with http.get(url, params=query) as response:
        assert response.status == 200
        return await response.read()


async def test_a_delay_waits_and_then_responds_rightly(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """The body is whole, and arrives after the delay."""
    await simulator.inject(Service.PRICING, Delay(seconds=0.05, up_to=0.1))
    began = time.monotonic()
    assert len(msgspec.json.decode(await body(http, simulator.urls.pricing + PRICES))) == 470
    assert time.monotonic() - began >= 0.05


async def test_an_error_has_the_status_and_the_retry_after_that_were_asked_for(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """Only the chosen service is affected."""
    await simulator.inject(Service.PRICING, ErrorStatus(status=503, retry_after=7))
    async with http.get(simulator.urls.pricing + PRICES) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "7")
    assert await statuses(http, simulator.urls.security + "/api/v1/securities", 1) == [200]


async def test_a_rate_hits_that_share_of_the_calls(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """About two fifths of two hundred calls fail."""
    await simulator.inject(Service.PORTFOLIO, ErrorStatus(rate=0.4))
    found = await statuses(http, simulator.urls.portfolio + "/api/v2/portfolios", 200)
    assert 50 < found.count(500) < 110
    assert set(found) == {200, 500}


async def test_a_fault_can_be_limited_to_the_next_calls(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """After two calls the service is healthy."""
    await simulator.inject(Service.PRICING, ErrorStatus(calls=2))
    assert await statuses(http, simulator.urls.pricing + PRICES, 4) == [500, 500, 200, 200]


async def test_a_pause_makes_a_service_flap(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """Two failures and one success alternate."""
    await simulator.inject(Service.PRICING, ErrorStatus(calls=2, pause=1))
    assert await statuses(http, simulator.urls.pricing + PRICES, 7) == [500, 500, 200, 500, 500, 200, 500]


async def test_a_fault_can_be_limited_to_a_route(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """Other routes of the service are healthy."""
    await simulator.inject(Service.SECURITY, ErrorStatus(route="GET /api/v1/security/{id}"))
    single = f"{simulator.urls.security}/api/v1/security/{simulator.world.securities[0].security_id}"
    assert await statuses(http, single, 1) == [500]
    assert await statuses(http, simulator.urls.security + "/api/v1/securities", 1) == [200]


async def test_a_delay_adds_to_the_first_other_fault_that_applies(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """Faults with a limit of calls follow each other, each delayed."""
    await simulator.inject(
        Service.PRICING, Delay(seconds=0.05), ErrorStatus(status=502, calls=1), ErrorStatus(status=504, calls=1)
    )
    began = time.monotonic()
    assert await statuses(http, simulator.urls.pricing + PRICES, 3) == [502, 504, 200]
    assert time.monotonic() - began >= 0.15


async def test_healing_ends_a_fault(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """One service, or all of them, can be healed."""
    await simulator.inject(Service.PRICING, ErrorStatus())
    await simulator.inject(Service.SECURITY, ErrorStatus())
    assert simulator.faults(Service.PRICING) == (ErrorStatus(),)
    await simulator.heal(Service.PRICING)
    assert await statuses(http, simulator.urls.pricing + PRICES, 1) == [200]
    assert await statuses(http, simulator.urls.security + "/api/v1/securities", 1) == [500]
    await simulator.heal()
    assert await statuses(http, simulator.urls.security + "/api/v1/securities", 1) == [200]


async def test_a_hanging_call_is_accepted_and_never_ends(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """The client times out, and healing lets new calls through."""
    await simulator.inject(Service.PRICING, Hang())
    with pytest.raises(TimeoutError):
        await http.get(simulator.urls.pricing + PRICES, timeout=SHORT)
    await simulator.heal()
    assert await statuses(http, simulator.urls.pricing + PRICES, 1) == [200]


async def test_a_call_that_hangs_in_its_body_has_sent_the_first_half(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """Headers and half of the body arrive, and nothing more."""
    await simulator.inject(Service.PRICING, HangMidBody())
    async with http.get(simulator.urls.pricing + PRICES, timeout=SHORT) as response:
        assert response.status == 200
        assert response.content_length is not None
        half = response.content_length // 2
        await response.content.readexactly(half)
        with pytest.raises(TimeoutError):
            await response.content.readexactly(1)


async def test_a_slow_body_arrives_whole_at_the_speed_asked_for(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """The body equals the fast one."""
    url = f"{simulator.urls.portfolio}/api/v1/portfolio/{simulator.world.portfolio_ids(0, 1)[0]}"
    right = await body(http, url)
    await simulator.inject(Service.PORTFOLIO, SlowBody(bytes_per_second=len(right) * 10))
    began = time.monotonic()
    assert await body(http, url) == right
    assert time.monotonic() - began >= 0.09


@pytest.mark.parametrize("mid_body", [False, True])
async def test_a_reset_breaks_the_connection(
    simulator: Simulator, http: aiohttp.ClientSession, *, mid_body: bool
) -> None:
    """The client sees a broken connection, before or within the body."""
    await simulator.inject(Service.PRICING, Reset(mid_body=mid_body))
    with pytest.raises(aiohttp.ClientError):
        await body(http, simulator.urls.pricing + PRICES)
    await simulator.heal()
    assert await statuses(http, simulator.urls.pricing + PRICES, 1) == [200]


@pytest.mark.parametrize(("mid_body", "kept"), [(False, 0), (True, 1)])
async def test_only_a_reset_in_the_response_comes_after_the_work_was_done(
    http: aiohttp.ClientSession, *, mid_body: bool, kept: int
) -> None:
    """A reset before it creates no order; one within the response leaves one."""
    order = {
        "blotterId": 1, "statusId": 1, "portfolioId": "0" * 24, "orderTypeId": 1, "securityId": "0" * 24,
        "quantity": 1, "orderTimestamp": "2025-08-10T13:23:37Z", "version": 1,
    }  # fmt: skip
    async with running_simulator(SimulatorSettings(portfolios=1)) as simulator:
        await simulator.inject(Service.ORDER, Reset(mid_body=mid_body))
        with pytest.raises(aiohttp.ClientError):
            async with http.post(simulator.urls.order + "/api/v1/orders", json=[order]) as response:
                await response.read()
        assert len(simulator.orders.orders) == kept


async def test_a_refusing_service_drops_connections_and_comes_back_on_the_same_port(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """Running calls break, new ones are refused, and healing reopens the port."""
    url = simulator.urls.pricing + PRICES
    await simulator.inject(Service.PRICING, Hang())
    # On a connection that was used before, this client would send a lost call again of its own accord.
    hanging = asyncio.create_task(body(http, url))
    await simulator.calls.wait_for(simulator.calls.count(Service.PRICING) + 1, Service.PRICING)
    await simulator.inject(Service.PRICING, Refuse())
    with pytest.raises(aiohttp.ClientError):
        await hanging
    for _ in range(2):
        await simulator.inject(Service.PRICING, Refuse())
        with pytest.raises(aiohttp.ClientConnectorError, match="Cannot connect"):
            await body(http, url)
        await simulator.inject(Service.PRICING, Refuse())
        await simulator.heal()
        assert simulator.urls.pricing + PRICES == url
        assert len(msgspec.json.decode(await body(http, url))) == 470


def garbage(kind: GarbageKind) -> Fault:
    return Garbage(kind=kind)


async def test_html_is_a_page_with_the_status_of_success(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """A proxy's error page arrives with status 200."""
    await simulator.inject(Service.PRICING, garbage(GarbageKind.HTML))
    async with http.get(simulator.urls.pricing + PRICES) as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert (await response.text()).startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("kind", [GarbageKind.EMPTY, GarbageKind.TRUNCATED_JSON, GarbageKind.NAN])
async def test_empty_truncated_and_nan_responses_are_complete_http_but_not_json(
    simulator: Simulator, http: aiohttp.ClientSession, kind: GarbageKind
) -> None:
    """The transfer succeeds, and decoding fails."""
    await simulator.inject(Service.PRICING, garbage(kind))
    response = await body(http, simulator.urls.pricing + PRICES)
    assert (b"NaN" in response) == (kind is GarbageKind.NAN)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(response)


async def test_a_deep_response_nests_beyond_any_decoder(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """Decoding it exceeds the recursion limit."""
    await simulator.inject(Service.PRICING, garbage(GarbageKind.DEEP))
    response = await body(http, simulator.urls.pricing + PRICES)
    with pytest.raises(RecursionError):
        msgspec.json.decode(response)


async def test_wrong_types_keep_the_keys_and_change_the_values(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """Texts become numbers and numbers texts."""
    await simulator.inject(Service.PRICING, garbage(GarbageKind.WRONG_TYPES))
    row = msgspec.json.decode(await body(http, simulator.urls.pricing + PRICES))[0]
    assert (row["ticker"], row["close"]) == (42, "wrong")


async def test_a_wrong_shape_swaps_arrays_and_objects(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """A list arrives as an object, and an object as a list."""
    await simulator.inject(Service.PORTFOLIO, garbage(GarbageKind.WRONG_SHAPE))
    await simulator.inject(Service.PRICING, garbage(GarbageKind.WRONG_SHAPE))
    assert isinstance(msgspec.json.decode(await body(http, simulator.urls.portfolio + "/api/v2/portfolios")), list)
    assert isinstance(msgspec.json.decode(await body(http, simulator.urls.pricing + PRICES)), dict)


@pytest.mark.parametrize(
    ("kind", "low", "high"), [(GarbageKind.NEGATIVE_PRICES, -10_000, -0.01), (GarbageKind.ZERO_PRICES, 0, 0)]
)
async def test_prices_can_be_negative_or_zero(
    simulator: Simulator, http: aiohttp.ClientSession, kind: GarbageKind, low: float, high: float
) -> None:
    """Every price of the list is affected."""
    await simulator.inject(Service.PRICING, garbage(kind))
    rows = msgspec.json.decode(await body(http, simulator.urls.pricing + PRICES))
    assert len(rows) == 470
    assert all(low <= row["close"] <= high for row in rows)


async def balances(simulator: Simulator, http: aiohttp.ClientSession, case: SpecialCase) -> Any:
    url = simulator.urls.portfolio_accounting + "/api/v1/balances"
    return msgspec.json.decode(await body(http, url, portfolio_id=simulator.world.case_id(case), limit="1000"))


@pytest.mark.parametrize(("kind", "text"), [(GarbageKind.NAN, "NaN"), (GarbageKind.HUGE, "1E+999999")])
async def test_quantities_can_be_texts_that_a_decimal_takes_and_arithmetic_does_not(
    simulator: Simulator, http: aiohttp.ClientSession, kind: GarbageKind, text: str
) -> None:
    """NaN and an enormous exponent pass the parser."""
    await simulator.inject(Service.PORTFOLIO_ACCOUNTING, garbage(kind))
    page = await balances(simulator, http, SpecialCase.SMALL)
    assert page["balances"][0]["quantityLong"] == text
    assert Decimal(text).is_nan() or Decimal(text).adjusted() == 999_999


async def test_duplicates_are_in_lists_and_in_pages(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """Each row occurs twice, and the total stays."""
    await simulator.inject(Service.PORTFOLIO_ACCOUNTING, garbage(GarbageKind.DUPLICATES))
    await simulator.inject(Service.PRICING, garbage(GarbageKind.DUPLICATES))
    page = await balances(simulator, http, SpecialCase.INVESTED)
    ids = [row.get("securityId") for row in page["balances"]]
    assert ids[::2] == ids[1::2]
    assert (len(ids), page["pagination"]["total"]) == (22, 11)
    assert len(msgspec.json.decode(await body(http, simulator.urls.pricing + PRICES))) == 940


async def test_endless_pages_always_promise_another(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """The last page says that there are more."""
    await simulator.inject(Service.PORTFOLIO_ACCOUNTING, garbage(GarbageKind.ENDLESS_PAGES))
    page = await balances(simulator, http, SpecialCase.SMALL)
    assert page["pagination"]["hasMore"] is True


async def test_a_million_rows_stream_until_the_client_has_enough(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """Rows are produced on demand, without a content length."""
    await simulator.inject(Service.PORTFOLIO, garbage(GarbageKind.MILLION_ROWS))
    url = simulator.urls.portfolio + "/api/v2/portfolios"
    async with http.get(url) as response:
        assert response.status == 200
        assert response.content_length is None
        start = await response.content.readexactly(1_000_000)
    row = msgspec.json.encode(
        {"portfolioId": simulator.world.portfolio_ids(0, 1)[0], "name": "Portfolio 1",
         "dateCreated": "2025-08-10T13:23:37", "version": 1}
    )  # fmt: skip
    assert start.startswith(b'{"portfolios":[' + row + b"," + row)
    assert start.count(row) == len(start) // len(row + b",")


async def test_a_million_rows_are_a_million(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """A client that reads to the end gets exactly that number."""
    await simulator.inject(Service.ORDER, garbage(GarbageKind.MILLION_ROWS))
    rows = msgspec.json.decode(await body(http, simulator.urls.order + "/api/v1/orders"))["content"]
    assert len(rows) == 1_000_000


async def test_garbage_takes_the_place_of_errors_too(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """The body of a 404 is garbled like any JSON, with the status of success."""
    url = f"{simulator.urls.security}/api/v1/security"
    await simulator.inject(Service.SECURITY, garbage(GarbageKind.DUPLICATES))
    assert msgspec.json.decode(await body(http, f"{url}/{'0' * 24}")) == [{"detail": "Security not found"}] * 2


async def test_stopping_does_not_wait_for_calls_that_hang(http: aiohttp.ClientSession) -> None:
    """The simulator ends in seconds, and the hanging call breaks."""
    async with running_simulator(SimulatorSettings(portfolios=1)) as simulator:
        await simulator.inject(Service.PRICING, Hang())
        hanging = asyncio.create_task(body(http, simulator.urls.pricing + PRICES))
        await simulator.calls.wait_for(1)
        began = time.monotonic()
    assert time.monotonic() - began < 30
    with pytest.raises(aiohttp.ClientError):
        await hanging


async def test_a_repeated_response_arrives_once_more_on_the_same_connection(simulator: Simulator) -> None:
    """The copy has the same status and body, and follows after the time."""
    await simulator.inject(Service.PRICING, Repeat(seconds=0.02, calls=1))
    host, port = simulator.urls.pricing.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"GET /api/v1/price/nobody HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(60):
            heads, bodies = [], []
            for _ in range(2):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(re.search(r"(?i)content-length: (\d+)", head)[1])  # type: ignore[index] # always sent
                heads.append(head.splitlines()[0])
                bodies.append(await reader.readexactly(length))
    finally:
        writer.close()
    assert heads == ["HTTP/1.1 404 Not Found"] * 2
    assert bodies[0] == bodies[1] != b""
