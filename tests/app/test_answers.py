"""The parts of an answer are collected in any order and bounded memory, and given in the right order."""

import msgspec
import pytest

from app.http import streaming
from app.rebalancing import answers
from app.rebalancing.answers import Answers


@pytest.fixture(params=[1 << 20, 100], ids=["in memory", "in a file"])
def collected(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Fifty parts, of places in no order."""
    monkeypatch.setattr(answers, "MEMORY_BYTES", request.param)
    collected = Answers()
    for place in sorted(range(50), key=lambda place: place * 7 % 50):
        collected.add(place, b"[%d]" % place)
    return collected


def test_parts_come_in_the_order_of_their_places(collected: Answers) -> None:
    assert list(collected.parts()) == [b"[%d]" % place for place in range(50)]


async def test_an_array_comes_in_blocks_that_are_worth_sending(
    collected: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 40)
    sent = [block async for block in streaming.blocks(collected.array())]
    assert all(40 <= len(block) < 50 for block in sent[:-1])
    assert msgspec.json.decode(b"".join(sent)) == [[place] for place in range(50)]


def test_its_length_is_known(collected: Answers) -> None:
    assert len(collected) == sum(map(len, collected.parts()))


async def test_no_parts_are_an_empty_array() -> None:
    assert [part async for part in Answers().array()] == [b"[]"]


async def test_it_is_closed_when_it_was_read_or_given_up(collected: Answers) -> None:
    file = collected._file
    async for _ in collected.array():
        pass
    assert file.closed
    given_up = Answers()
    given_up.close()
    assert given_up._file.closed
