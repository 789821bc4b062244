"""A rebalance has so many portfolios in flight, of which fewer are at work beside a smaller one."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import httpx
import pytest

from app.rebalancing.schedule import RunningRebalance, Schedule, ScheduleFigures
from integrations.simulator import Delay, Service
from tests.harness.api import Api
from tests.harness.bodies import created, path, position
from tests.harness.upstreams import Upstreams


class Flights:
    """Portfolios in flight: each waits for an upstream until that is told to respond, then works until told to land."""

    def __init__(self, *, upstreams_respond: bool = True) -> None:
        self.upstreams = asyncio.Event()
        if upstreams_respond:
            self.upstreams.set()
        self.landings: list[asyncio.Event] = []
        self.started: list[int] = []
        self.in_flight = 0
        self.at_work = 0

    def of(self, rebalance: RunningRebalance) -> Callable[[int, str], Coroutine[None, None, None]]:
        """What a rebalance does with each portfolio."""

        async def work(place: int, _portfolio_id: str) -> None:
            self.in_flight += 1
            try:
                await self.upstreams.wait()
                async with rebalance.turn():
                    await self._work(place)
            finally:
                self.in_flight -= 1

        return work

    async def _work(self, place: int) -> None:
        landing = asyncio.Event()
        self.landings.append(landing)
        self.started.append(place)
        self.at_work += 1
        try:
            await landing.wait()
        finally:
            self.at_work -= 1

    async def land(self, count: int) -> None:
        for landing in self.landings[:count]:
            landing.set()
        del self.landings[:count]
        await everything()


async def everything() -> None:
    """Let everything happen that can: nothing here waits for the outside."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_as_many_as_allowed_are_in_flight_and_they_take_off_in_order() -> None:
    """A portfolio that ends makes room for the next one, and never for more."""
    flights, schedule = Flights(), Schedule(8, 2)
    with schedule.rebalance(20) as large:
        rebalancing = asyncio.create_task(large.each(flights.of(large), ["P"] * 20))
        await flights.land(0)
        assert flights.in_flight == 8
        await flights.land(3)
        assert flights.in_flight == 8
        while flights.landings:
            await flights.land(1)
        await rebalancing
    assert flights.started == list(range(20))


async def test_beside_a_smaller_one_fewer_are_at_work_until_that_has_ended() -> None:
    """A large rebalance uses its small share while a smaller one runs, and its whole share afterwards."""
    flights, schedule = Flights(), Schedule(8, 2)
    with schedule.rebalance(30) as large:
        rebalancing = asyncio.create_task(large.each(flights.of(large), ["P"] * 30))
        await flights.land(0)
        with schedule.rebalance(1):
            await flights.land(6)
            assert flights.at_work == 2
            await flights.land(1)
            assert flights.at_work == 2
        await flights.land(0)
        assert flights.at_work == 8
        rebalancing.cancel()
        await asyncio.wait([rebalancing])


async def test_beside_a_smaller_one_as_many_as_ever_wait_for_slow_upstreams() -> None:
    """The small share limits computing, not waiting for upstreams."""
    flights, schedule = Flights(upstreams_respond=False), Schedule(8, 2)
    with schedule.rebalance(1), schedule.rebalance(30) as large:
        rebalancing = asyncio.create_task(large.each(flights.of(large), ["P"] * 30))
        await everything()
        assert (flights.in_flight, flights.at_work) == (8, 0)
        flights.upstreams.set()
        await everything()
        assert (flights.in_flight, flights.at_work) == (8, 2)
        while flights.landings:
            await flights.land(1)
        await rebalancing
    assert flights.started == list(range(30)), "turns come in the order of asking"


async def test_whoever_is_cancelled_leaves_the_turn_to_others() -> None:
    """While at work, while waiting for a turn, and between getting it and hearing of it."""
    flights, schedule = Flights(), Schedule(4, 1)
    with schedule.rebalance(1), schedule.rebalance(9) as large:
        work = flights.of(large)
        first, second, third = [asyncio.create_task(work(place, "P")) for place in range(3)]
        await everything()
        assert flights.started == [0]
        second.cancel()
        await everything()
        first.cancel()
        await asyncio.sleep(0)
        third.cancel()  # the turn is its own by now, and it has not heard of that
        await asyncio.wait([first, second, third])
        assert flights.at_work == 0
        fourth = asyncio.create_task(work(3, "P"))
        await everything()
        assert flights.started == [0, 3]
        fourth.cancel()
        await asyncio.wait([fourth])


async def test_the_smallest_and_its_like_are_not_held_up() -> None:
    """Rebalances of the smallest size that runs keep their whole share."""
    flights, schedule = Flights(), Schedule(8, 2)
    with schedule.rebalance(10) as one, schedule.rebalance(10) as other, schedule.rebalance(500):
        rebalancing = [asyncio.create_task(each.each(flights.of(each), ["P"] * 10)) for each in (one, other)]
        await flights.land(0)
        assert flights.at_work == 16
        for each in rebalancing:
            each.cancel()
        await asyncio.wait(rebalancing)


async def test_one_portfolio_may_always_be_at_work() -> None:
    """A concurrency of 1 still lets a large rebalance advance beside a smaller one."""
    flights, schedule = Flights(), Schedule(1, 2)
    with schedule.rebalance(1), schedule.rebalance(3) as large:
        rebalancing = asyncio.create_task(large.each(flights.of(large), ["P"] * 3))
        for _ in range(3):
            await flights.land(0)
            assert flights.at_work == 1
            await flights.land(1)
        await rebalancing


async def test_the_first_failure_ends_the_others_and_is_raised_as_it_is() -> None:
    """The exception keeps its type, what runs is cancelled, and nothing more starts."""
    flights, schedule = Flights(), Schedule(4, 1)
    with schedule.rebalance(9) as large:

        async def work(place: int, portfolio_id: str) -> None:
            if place == 2:
                raise ConnectionError("gone")
            await flights.of(large)(place, portfolio_id)

        with pytest.raises(ConnectionError, match="gone"):
            await large.each(work, ["P"] * 9)
    assert (flights.started, flights.in_flight) == ([0, 1, 3], 0)


def test_small_requests_do_not_hold_up_a_large_one_that_waits_for_slow_upstreams(
    standard: Api, upstreams: Upstreams
) -> None:
    """It takes about as long beside them as alone; of some attempts, for a busy machine may delay one."""
    positions = [position(each, target="0.4") for each in upstreams.securities(2)]
    large: Any = created(standard, positions=positions, portfolios=[upstreams.portfolio() for _ in range(48)])
    small: Any = created(standard, positions=positions, portfolios=[upstreams.portfolio()])
    upstreams.inject(Service.PORTFOLIO_ACCOUNTING, Delay(seconds=0.3))

    def take(model: Any) -> float:
        began = time.monotonic()
        httpx.post(f"{standard.url}/api/v1{path(model)}/rebalance", timeout=100).raise_for_status()
        return time.monotonic() - began

    def keep_asking(ended: Event) -> int:
        served = 0
        while not ended.is_set():
            take(small)
            served += 1
        return served

    def slowdown() -> float:
        ended = Event()
        alone = take(large)
        with ThreadPoolExecutor(3) as clients:
            asking = [clients.submit(keep_asking, ended) for _ in range(3)]
            try:
                beside = take(large)
            finally:
                ended.set()
            assert all(each.result() for each in asking)
        return beside / alone

    assert any(slowdown() < 2 for _ in range(3))


async def test_portfolios_in_flight_are_a_metric() -> None:
    """Of all rebalances together, each up to the limit; nothing stays when they have ended."""

    def value() -> float:
        (family,) = figures.collect()
        return float(family.samples[0].value)

    schedule = Schedule(concurrency=16, beside_smaller=2)
    figures = ScheduleFigures(schedule)
    flights = Flights(upstreams_respond=False)
    assert value() == 0
    with schedule.rebalance(1000) as large, schedule.rebalance(3) as small:
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(large.each(flights.of(large), ["p"] * 1000)),
                tasks.create_task(small.each(flights.of(small), ["p"] * 3)),
            ]
            await everything()
            assert value() == 19
            for each in running:
                each.cancel()
    assert value() == 0


async def test_work_that_may_wait_goes_on_when_no_rebalance_is_running() -> None:
    """Orders are sent between rebalances, or after a while beside them."""
    schedule = Schedule(concurrency=4, beside_smaller=2)
    await schedule.idle(0)
    with schedule.rebalance(1):
        waiting = asyncio.create_task(schedule.idle(60))
        with schedule.rebalance(2):
            await everything()
        await everything()
        assert not waiting.done()
        await schedule.idle(0.001)
    await asyncio.wait_for(waiting, 10)
