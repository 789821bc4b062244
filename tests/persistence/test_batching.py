"""Calls that arrive while one is under way are made together."""

import asyncio

import pytest

from persistence import DatabaseUnavailable
from persistence.batching import Batching


class Recorder:
    """A function of many that records its calls and can be held."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def together(self, items: list[int]) -> list[int | Exception]:
        """Negate each; 0 is a mistake, and 13 one of the whole call."""
        self.calls.append(items)
        await self.gate.wait()
        if 13 in items:
            raise RuntimeError("thirteen")
        if 14 in items:
            raise DatabaseUnavailable("fourteen")
        return [-item if item else ValueError("zero") for item in items]


async def test_a_call_alone_is_made_at_once() -> None:
    """Without others to join, each item is one call."""
    recorder = Recorder()
    negated = Batching(recorder.together)
    assert [await negated(1), await negated(2)] == [-1, -2]
    assert recorder.calls == [[1], [2]]


async def test_calls_wait_for_the_one_under_way_and_go_together_and_each_gets_its_own_result() -> None:
    """A failed item of a batch fails only its own caller."""
    recorder = Recorder()
    recorder.gate.clear()
    negated = Batching(recorder.together)
    tasks = [asyncio.create_task(negated(item)) for item in (1, 2, 0, 4)]
    await asyncio.sleep(0.01)
    late = asyncio.create_task(negated(5))
    recorder.gate.set()
    results = await asyncio.gather(*tasks, late, return_exceptions=True)
    assert [result if isinstance(result, int) else repr(result) for result in results] == [
        -1,
        -2,
        "ValueError('zero')",
        -4,
        -5,
    ]
    assert recorder.calls == [[1, 2, 0, 4], [5]]


async def test_no_more_than_fifty_go_together() -> None:
    """A batch has an upper limit."""
    recorder = Recorder()
    negated = Batching(recorder.together)
    await asyncio.gather(*(negated(item) for item in range(100, 220)))
    assert list(map(len, recorder.calls)) == [50, 50, 20]


async def test_what_goes_wrong_with_all_of_them_everybody_learns_and_nobody_after_them() -> None:
    """An error of the whole batch is raised for each of its items."""
    recorder = Recorder()
    negated = Batching(recorder.together)
    results = await asyncio.gather(negated(13), negated(15), return_exceptions=True)
    assert [str(result) for result in results] == ["thirteen", "thirteen"]
    assert await negated(16) == -16


async def test_an_outage_is_told_to_those_that_waited_through_it_without_trying_again() -> None:
    """The waiting calls fail with the same error, and no further call is made."""
    recorder = Recorder()
    recorder.gate.clear()
    negated = Batching(recorder.together)
    first = asyncio.create_task(negated(14))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(negated(15))
    await asyncio.sleep(0.01)
    recorder.gate.set()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert [str(result) for result in results] == ["The database is unavailable: fourteen."] * 2
    assert await negated(16) == -16
    assert recorder.calls == [[14], [16]]


async def test_a_call_cancelled_before_its_turn_is_not_made_and_one_under_way_does_not_take_the_others_along() -> None:
    """Cancellation concerns the cancelled caller only."""
    recorder = Recorder()
    recorder.gate.clear()
    negated = Batching(recorder.together)
    first, second = asyncio.create_task(negated(1)), asyncio.create_task(negated(2))
    await asyncio.sleep(0.01)
    third, fourth = asyncio.create_task(negated(3)), asyncio.create_task(negated(4))
    await asyncio.sleep(0.01)
    first.cancel()
    third.cancel()
    recorder.gate.set()
    assert [await second, await fourth] == [-2, -4]
    assert recorder.calls == [[1, 2], [4]]
    with pytest.raises(asyncio.CancelledError):
        await first
