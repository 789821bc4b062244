"""When a circuit breaker opens, what it lets through, and when it closes again."""

import asyncio
import time

import pytest
from aiohttp import web

from integrations.http.client import ServiceClient
from integrations.http.errors import Cause, ServiceError
from tests.integrations.conftest import MakeClient, Notebook, serving


class Switchboard:
    """A handler whose next responses are set by hand: a status, or None to keep the caller waiting until released."""

    def __init__(self) -> None:
        self.status: int | None = 503
        self.arrivals = 0
        self.arrived = asyncio.Event()
        self.released = asyncio.Event()

    async def __call__(self, _: web.Request) -> web.Response:
        self.arrivals += 1
        self.arrived.set()
        if self.status is None:
            await self.released.wait()
            return web.json_response([])
        return web.json_response([], status=self.status)


@pytest.fixture
def service() -> Switchboard:
    return Switchboard()


async def ask(client: ServiceClient, deadline: float | None = None) -> Cause | None:
    """Asks once; responses why it failed, or None."""
    try:
        await client.get("/x", expect=list[int], deadline=deadline)
    except ServiceError as error:
        return error.cause
    return None


async def test_it_opens_after_five_consecutive_failures_and_then_asks_no_more(
    make_client: MakeClient, notebook: Notebook, service: Switchboard
) -> None:
    """Afterwards a hundred calls fail at once without a request."""
    async with serving(service) as server:
        client = make_client(server.url, retries=0)
        assert [await ask(client) for _ in range(4)] == [Cause.STATUS] * 4
        assert client.state == "closed"
        assert await ask(client) is Cause.STATUS
        assert client.state == "open"
        started = time.monotonic()
        assert [await ask(client) for _ in range(100)] == [Cause.CIRCUIT_OPEN] * 100
        assert time.monotonic() - started < 5
        with pytest.raises(ServiceError) as raised:
            await client.get("/x", expect=list[int], deadline=None)
    assert service.arrivals == 5
    assert notebook.states == ["open"]
    assert len(notebook.rejections) == 101
    assert raised.value.retry_after is not None
    assert 25 < raised.value.retry_after <= 30
    assert raised.value.reason.startswith("no request for another ")
    assert raised.value.reason.endswith("after repeated failures, the last: returned 503")
    assert not raised.value.sent


async def test_retries_count_and_end_when_it_opens(
    make_client: MakeClient, service: Switchboard, no_waits: None
) -> None:
    """The second call's first request is the fifth failure, so its first retry already meets an open breaker."""
    async with serving(service) as server:
        client = make_client(server.url)
        assert [await ask(client), await ask(client)] == [Cause.STATUS, Cause.CIRCUIT_OPEN]
    assert service.arrivals == 5


async def test_one_success_begins_the_count_anew(make_client: MakeClient, service: Switchboard) -> None:
    """Only consecutive failures count."""
    async with serving(service) as server:
        client = make_client(server.url, retries=0)
        for status in (503, 503, 503, 503, 200, 503, 503, 503, 503):
            service.status = status
            await ask(client)
        assert client.state == "closed"
        service.status = 503
        await ask(client)
        assert client.state == "open"


@pytest.mark.parametrize("status", [400, 401, 404, 408, 409, 422, 429])
async def test_responses_of_4xx_never_open_it(make_client: MakeClient, service: Switchboard, status: int) -> None:
    """A service that rejects requests is healthy."""
    service.status = status
    async with serving(service) as server:
        client = make_client(server.url, retries=0)
        assert [await ask(client) for _ in range(20)] == [Cause.STATUS] * 20
        assert client.state == "closed"
    assert service.arrivals == 20


async def test_responses_that_do_not_fit_the_contract_never_open_it(make_client: MakeClient) -> None:
    """Such errors are not retried and do not open the breaker: the service responds, and a retry would fail again."""

    async def response(_: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    async with serving(response) as server:
        client = make_client(server.url)
        assert [await ask(client) for _ in range(10)] == [Cause.BAD_PAYLOAD] * 10
        assert client.state == "closed"


async def test_cancellations_and_deadlines_never_open_it(make_client: MakeClient, service: Switchboard) -> None:
    """They say that the caller lost patience, not that the service failed; nor do they hide four real failures."""
    async with serving(service) as server:
        client = make_client(server.url, retries=0)
        for _ in range(4):
            await ask(client)
        service.status = None
        for _ in range(5):
            call = asyncio.create_task(ask(client))
            service.arrived.clear()
            await service.arrived.wait()
            call.cancel()
            await asyncio.wait([call])
        assert [await ask(client, time.monotonic() + 0.1) for _ in range(5)] == [Cause.DEADLINE] * 5
        assert client.state == "closed"
        service.status = 503
        await ask(client)
        assert client.state == "open"
        service.released.set()


async def opened(client: ServiceClient, service: Switchboard) -> None:
    """Opens the breaker and waits until it would admit a probe."""
    service.status = 503
    await asyncio.gather(*(ask(client) for _ in range(5)))
    assert client.state == "open"
    await asyncio.sleep(0.25)


async def test_after_the_reset_time_it_admits_one_probe_and_closes_on_its_success(
    make_client: MakeClient, notebook: Notebook, service: Switchboard
) -> None:
    """While the probe runs, other callers without retries fail at once."""
    async with serving(service) as server:
        client = make_client(server.url, retries=0, breaker_reset_seconds=0.2)
        await opened(client, service)
        service.status = None
        service.arrived.clear()
        probe = asyncio.create_task(ask(client))
        await service.arrived.wait()
        assert client.state == "half_open"
        assert await asyncio.gather(*(ask(client) for _ in range(20))) == [Cause.CIRCUIT_OPEN] * 20
        assert service.arrivals == 6
        service.released.set()
        assert await probe is None
        assert client.state == "closed"
        assert await asyncio.gather(*(ask(client) for _ in range(20))) == [None] * 20
    assert notebook.states == ["open", "half_open", "closed"]


async def test_callers_wait_for_a_probe_so_that_a_whole_rebalance_survives_the_recovery(
    make_client: MakeClient, service: Switchboard
) -> None:
    """A hundred callers meet a breaker that is ready to probe: one asks, the others follow its success."""
    async with serving(service) as server:
        client = make_client(server.url, breaker_reset_seconds=0.2, retries=0)
        await opened(client, service)
        service.status = 200
        assert await asyncio.gather(*(ask(client) for _ in range(100))) == [None] * 100


async def test_a_probe_that_fails_opens_it_again_for_the_whole_reset_time(
    make_client: MakeClient, notebook: Notebook, service: Switchboard
) -> None:
    """The states in order are open, half open, open, half open, closed."""
    async with serving(service) as server:
        client = make_client(server.url, retries=0, breaker_reset_seconds=0.2)
        await opened(client, service)
        assert [await ask(client), await ask(client)] == [Cause.STATUS, Cause.CIRCUIT_OPEN]
        assert service.arrivals == 6
        await asyncio.sleep(0.25)
        service.status = 200
        assert await ask(client) is None
    assert notebook.states == ["open", "half_open", "open", "half_open", "closed"]


async def test_a_cancelled_probe_leaves_the_next_one_its_turn(make_client: MakeClient, service: Switchboard) -> None:
    """A probe that ends without a result blocks no later one."""
    async with serving(service) as server:
        client = make_client(server.url, retries=0, breaker_reset_seconds=0.2)
        await opened(client, service)
        service.status = None
        assert await ask(client, time.monotonic() + 0.1) is Cause.DEADLINE
        assert client.state == "half_open"
        service.status = 200
        assert await ask(client) is None
        assert client.state == "closed"
        service.released.set()


async def test_those_who_wait_for_a_probe_that_is_cancelled_send_the_next_one(
    make_client: MakeClient, service: Switchboard
) -> None:
    """All waiting callers succeed after the second probe."""
    async with serving(service) as server:
        client = make_client(server.url, retries=0, breaker_reset_seconds=0.2)
        await opened(client, service)
        service.status = None
        probe = asyncio.create_task(ask(client, time.monotonic() + 0.2))
        service.arrived.clear()
        await service.arrived.wait()
        service.status = 200
        assert await asyncio.gather(*(ask(client) for _ in range(20))) == [None] * 20
        assert await probe is Cause.DEADLINE
        service.released.set()


async def test_one_services_breaker_leaves_the_others_alone(make_client: MakeClient, service: Switchboard) -> None:
    """An open breaker of one service does not affect another."""

    async def well(_: web.Request) -> web.Response:
        return web.json_response([])

    async with serving(service) as failing, serving(well) as other:
        ill, healthy = make_client(failing.url, "pricing", retries=0), make_client(other.url, "security", retries=0)
        for _ in range(5):
            await ask(ill)
        assert (ill.state, healthy.state) == ("open", "closed")
        assert await ask(healthy) is None


async def test_a_storm_of_callers_against_a_service_that_is_down_costs_it_few_requests(
    make_client: MakeClient, service: Switchboard
) -> None:
    """A hundred callers at once: no more requests arrive than there are connections, and all end after one wait."""
    async with serving(service) as server:
        client = make_client(server.url, connections=8)
        started = time.monotonic()
        outcomes = await asyncio.gather(*(ask(client) for _ in range(100)))
    assert outcomes == [Cause.CIRCUIT_OPEN] * 100
    assert 5 <= service.arrivals <= 12
    assert 1 <= time.monotonic() - started < 20


async def test_a_hanging_service_costs_a_hundred_callers_one_time_out_not_a_hundred(
    make_client: MakeClient, service: Switchboard
) -> None:
    """Calls that wait for a connection fail as soon as the breaker opens."""
    service.status = None
    async with serving(service) as server:
        client = make_client(server.url, connections=8, timeout_seconds=0.5)
        started = time.monotonic()
        outcomes = await asyncio.gather(*(ask(client) for _ in range(100)))
        assert outcomes == [Cause.CIRCUIT_OPEN] * 100
        assert time.monotonic() - started < 10
        service.released.set()
    assert service.arrivals <= 12


async def test_a_flapping_service_never_costs_a_caller_who_has_retries_left(
    make_client: MakeClient, no_waits: None
) -> None:
    """Two failures in three do not open the breaker."""

    async def flap(_: web.Request) -> web.Response:
        return web.json_response([], status=200 if len(server.requests) % 3 == 0 else 503)

    async with serving(flap) as server:
        client = make_client(server.url)
        assert [await ask(client) for _ in range(50)] == [None] * 50
        assert client.state == "closed"
