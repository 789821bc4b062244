"""A rebalance has so many portfolios in flight, a quarter of them beside a smaller one."""

import asyncio

import pytest

from app.rebalancing.precedence import Precedence


class Flights:
    """Portfolios in flight, each of which lands when it is told to."""

    def __init__(self) -> None:
        self.landings: list[asyncio.Event] = []
        self.started: list[int] = []
        self.in_flight = 0

    async def work(self, place: int, _portfolio_id: str) -> None:
        landing = asyncio.Event()
        self.landings.append(landing)
        self.started.append(place)
        self.in_flight += 1
        try:
            await landing.wait()
        finally:
            self.in_flight -= 1

    async def land(self, count: int) -> None:
        for landing in self.landings[:count]:
            landing.set()
        del self.landings[:count]
        # Everything happens that can: nothing here waits for the outside.
        for _ in range(50):
            await asyncio.sleep(0)


async def test_as_many_as_allowed_are_in_flight_and_they_take_off_in_order() -> None:
    flights, precedence = Flights(), Precedence(8)
    with precedence.rebalance(20) as large:
        rebalancing = asyncio.create_task(large.each(flights.work, ["P"] * 20))
        await flights.land(0)
        assert flights.in_flight == 8
        await flights.land(3)
        assert flights.in_flight == 8
        while flights.landings:
            await flights.land(1)
        await rebalancing
    assert flights.started == list(range(20))


async def test_beside_a_smaller_one_a_quarter_are_in_flight_until_that_has_ended() -> None:
    flights, precedence = Flights(), Precedence(8)
    with precedence.rebalance(30) as large:
        rebalancing = asyncio.create_task(large.each(flights.work, ["P"] * 30))
        await flights.land(0)
        with precedence.rebalance(1):
            await flights.land(6)
            assert flights.in_flight == 2
            await flights.land(1)
            assert flights.in_flight == 2
        await flights.land(0)
        assert flights.in_flight == 8
        rebalancing.cancel()
        await asyncio.wait([rebalancing])


async def test_the_smallest_and_its_like_are_not_held_up() -> None:
    flights, precedence = Flights(), Precedence(8)
    with precedence.rebalance(10) as one, precedence.rebalance(10) as other, precedence.rebalance(500):
        rebalancing = [asyncio.create_task(each.each(flights.work, ["P"] * 10)) for each in (one, other)]
        await flights.land(0)
        assert flights.in_flight == 16
        for each in rebalancing:
            each.cancel()
        await asyncio.wait(rebalancing)


async def test_one_portfolio_may_always_take_off() -> None:
    flights, precedence = Flights(), Precedence(1)
    with precedence.rebalance(1), precedence.rebalance(3) as large:
        rebalancing = asyncio.create_task(large.each(flights.work, ["P"] * 3))
        for _ in range(3):
            await flights.land(0)
            assert flights.in_flight == 1
            await flights.land(1)
        await rebalancing


async def test_the_first_failure_ends_the_others_and_is_raised_as_it_is() -> None:
    flights, precedence = Flights(), Precedence(4)

    async def work(place: int, portfolio_id: str) -> None:
        if place == 2:
            raise ConnectionError("gone")
        await flights.work(place, portfolio_id)

    with precedence.rebalance(9) as large, pytest.raises(ConnectionError, match="gone"):
        await large.each(work, ["P"] * 9)
    assert (flights.started, flights.in_flight) == ([0, 1, 3], 0)
