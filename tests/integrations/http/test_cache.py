"""A cache loads each key once at a time, and never passes on another caller's bad luck."""

import asyncio
import time

import pytest

from integrations.http.cache import LoadingCache
from integrations.http.client import ServiceClient
from integrations.http.errors import Cause, ServiceError
from tests.integrations.conftest import MakeClient, Notebook


class Source:
    """What a cache loads from: counts loads, and holds them up or fails them on request."""

    def __init__(self) -> None:
        self.loads = 0
        self.failures = 0
        self.open = asyncio.Event()
        self.open.set()
        self.busy = asyncio.Event()

    async def load(self) -> int:
        self.loads += 1
        number = self.loads
        self.busy.set()
        await self.open.wait()
        if self.failures:
            self.failures -= 1
            raise ServiceError("pricing", Cause.STATUS, "returned 503", status=503)
        return number


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def client(make_client: MakeClient) -> ServiceClient:
    return make_client("http://127.0.0.1:9")


@pytest.fixture
def source() -> Source:
    return Source()


def cache(
    client: ServiceClient, ttl_seconds: float = 60, max_entries: float = 10, clock: Clock | None = None
) -> LoadingCache[str, int]:
    return LoadingCache(
        "prices", client, max_entries=max_entries, ttl_seconds=ttl_seconds, clock=clock or time.monotonic
    )


async def test_a_value_is_kept_until_its_time_is_over(
    client: ServiceClient, source: Source, notebook: Notebook
) -> None:
    """A read within the time is a hit, and the first one after it loads again."""
    clock = Clock()
    prices = cache(client, clock=clock)
    assert await prices.get("a", source.load, deadline=None) == 1
    clock.now += 59.9
    assert await prices.get("a", source.load, deadline=None) == 1
    clock.now += 0.1
    assert await prices.get("a", source.load, deadline=None) == 2
    assert notebook.cache_reads == [("prices", False), ("prices", True), ("prices", False)]


async def test_zero_seconds_turn_it_off(client: ServiceClient, source: Source, notebook: Notebook) -> None:
    """Every read loads, and none is counted as a hit or a miss."""
    prices = cache(client, ttl_seconds=0)
    assert [await prices.get("a", source.load, deadline=None) for _ in range(3)] == [1, 2, 3]
    assert notebook.cache_reads == []


async def test_it_holds_no_more_than_it_may(client: ServiceClient, source: Source) -> None:
    """The least recently used value is dropped for a new one."""
    prices = cache(client, max_entries=2)
    for key in ("a", "b", "c", "a"):
        await prices.get(key, source.load, deadline=None)
    assert source.loads == 4
    await prices.get("c", source.load, deadline=None)
    assert source.loads == 4


async def test_concurrent_callers_of_one_key_wait_for_one_load(
    client: ServiceClient, source: Source, notebook: Notebook
) -> None:
    """Fifty callers cost one load, and 49 of them are hits."""
    prices = cache(client)
    source.open.clear()
    callers = [asyncio.create_task(prices.get("a", source.load, deadline=None)) for _ in range(50)]
    await source.busy.wait()
    source.open.set()
    assert await asyncio.gather(*callers) == [1] * 50
    assert notebook.cache_reads.count(("prices", True)) == 49


async def test_different_keys_load_at_the_same_time(client: ServiceClient, source: Source) -> None:
    """A load of one key does not hold up another's."""
    prices = cache(client)
    source.open.clear()
    callers = [asyncio.create_task(prices.get(key, source.load, deadline=None)) for key in "abc"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert source.loads == 3
    source.open.set()
    assert await asyncio.gather(*callers) == [1, 2, 3]


async def test_a_failed_load_is_its_callers_alone_and_is_not_kept(client: ServiceClient, source: Source) -> None:
    """The next waiting caller loads again, and the others get its value."""
    prices = cache(client)
    source.failures = 1
    outcomes = await asyncio.gather(
        *(prices.get("a", source.load, deadline=None) for _ in range(3)), return_exceptions=True
    )
    assert isinstance(outcomes[0], ServiceError)
    assert outcomes[1:] == [2, 2]


async def test_a_cancelled_load_passes_to_the_next_caller(client: ServiceClient, source: Source) -> None:
    """A caller that gives up takes nobody's value along."""
    prices = cache(client)
    source.open.clear()
    first = asyncio.create_task(prices.get("a", source.load, deadline=None))
    second = asyncio.create_task(prices.get("a", source.load, deadline=None))
    await source.busy.wait()
    first.cancel()
    source.open.set()
    assert await second == 2
    assert first.cancelled()


async def test_a_deadline_ends_the_wait_for_another_callers_load_and_names_the_service(
    client: ServiceClient, source: Source
) -> None:
    """The waiting caller fails at its own deadline, and the load goes on."""
    prices = cache(client)
    source.open.clear()
    first = asyncio.create_task(prices.get("a", source.load, deadline=None))
    await source.busy.wait()
    with pytest.raises(ServiceError) as raised:
        await prices.get("a", source.load, deadline=time.monotonic() + 0.05)
    assert (raised.value.service, raised.value.cause) == ("pricing", Cause.DEADLINE)
    source.open.set()
    assert await first == 1
    assert source.loads == 1


async def test_none_is_a_value_like_any_other(client: ServiceClient) -> None:
    """A loaded None is a hit at the next read."""
    left: list[int | None] = [None]

    async def load() -> int | None:
        return left.pop()

    prices: LoadingCache[str, int | None] = LoadingCache("prices", client, max_entries=1, ttl_seconds=60)
    assert [await prices.get("a", load, deadline=None) for _ in range(2)] == [None, None]
