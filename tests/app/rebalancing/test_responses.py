"""The parts of a response are collected in any order and bounded memory, and given in the right order."""

import resource
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

import msgspec
import pytest

from app.errors.codes import ErrorCode, OrderGenerationError
from app.http import streaming
from app.rebalancing import body
from app.rebalancing.body import ResponseBody


@pytest.fixture(params=[1 << 20, 100], ids=["in memory", "in a file"])
def collected(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResponseBody]:
    """Fifty parts, of places in no order."""
    monkeypatch.setattr(body, "MEMORY_BYTES", request.param)
    collected = ResponseBody()
    for place in sorted(range(50), key=lambda place: place * 7 % 50):
        collected.add(place, b"[%d]" % place)
    yield collected
    collected.close()


def test_parts_come_in_the_order_of_their_places(collected: ResponseBody) -> None:
    """Parts that were added out of order are read in order."""
    assert list(collected.parts()) == [b"[%d]" % place for place in range(50)]


async def test_an_array_comes_in_blocks_that_are_worth_sending(
    collected: ResponseBody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small parts are joined to blocks of the minimal size."""
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 40)
    sent = [block async for block in streaming.blocks(collected.array())]
    assert len(sent) > 2
    assert all(40 <= len(block) < 50 for block in sent[:-1])
    assert msgspec.json.decode(b"".join(sent)) == [[place] for place in range(50)]


def test_its_length_is_known(collected: ResponseBody) -> None:
    """The length is that of all parts together."""
    assert len(collected) == sum(map(len, collected.parts()))


async def test_no_parts_are_an_empty_array() -> None:
    """A body without parts is `[]`."""
    assert [part async for part in ResponseBody().array()] == [b"[]"]


async def test_its_file_is_closed_when_it_was_read_or_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a whole read, nor an interrupted one, nor none leaves a file open."""
    monkeypatch.setattr(body, "MEMORY_BYTES", 2)
    read, abandoned, given_up = ResponseBody(), ResponseBody(), ResponseBody()
    for each in (read, abandoned, given_up):
        for place in range(5):
            each.add(place, b"%d" % place)
    assert [part async for part in read.array()] == [b"[0", b",1", b",2", b",3", b",4", b"]"]
    async with aclosing(abandoned.array()) as reading:
        await anext(reading)
    given_up.close()
    files = [each._file for each in (read, abandoned, given_up)]
    assert all(file is not None and file.closed for file in files)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_part_for_which_there_is_no_room_is_rejected_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a small part is rejected when it is added, before the rebalance is stored, and nothing stays allocated."""
    monkeypatch.setattr(body, "MEMORY_BYTES", 2)
    used = ResponseBody.memory, ResponseBody.disk
    with files_of_at_most(100):
        collected = ResponseBody()
        collected.add(0, b"x" * 100)
        with pytest.raises(OrderGenerationError, match="no room for another large response") as raised:
            collected.add(1, b"x")
        collected.close()
    assert raised.value.code is ErrorCode.OVERLOADED
    assert raised.value.headers == {"Retry-After": "5"}
    assert (ResponseBody.memory, ResponseBody.disk) == used


def test_a_response_that_cannot_leave_the_memory_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is less room on the disk than the response already has in memory."""
    monkeypatch.setattr(body, "MEMORY_BYTES", 200_000)
    used = ResponseBody.memory, ResponseBody.disk
    with files_of_at_most(100_000):
        collected = ResponseBody()
        collected.add(0, b"x" * 200_000)
        with pytest.raises(OrderGenerationError, match="no room for another large response"):
            collected.add(1, b"x")
        collected.close()
    assert (ResponseBody.memory, ResponseBody.disk) == used
