"""The audit trail: one entry for every version that ever was, whoever races or dies."""

import asyncio
import itertools
from datetime import timedelta

import pytest
from bson import ObjectId
from msgspec.structs import replace
from pymongo.asynchronous.database import AsyncDatabase

from persistence import (
    AuditNote,
    Database,
    Model,
    ModelAction,
    ModelContent,
    ModelNotFound,
    VersionConflict,
)
from persistence.codec import Document
from tests.harness.databases import open_patiently
from tests.harness.proxy import Proxy
from tests.persistence.examples import NOON, change, model, models_of, position, security
from tests.persistence.pod import Pod, life_of_a_model


def _content(of: Model) -> ModelContent:
    return ModelContent(of.name, of.positions, of.portfolios, of.last_rebalance_date)


async def test_every_change_is_told_with_who_when_what_before_and_after(database: Database) -> None:
    """Each entry has the note of its change and both contents."""
    first = model()
    await database.models.insert(first, AuditNote(ModelAction.CREATED, NOON, "alice"))
    later = NOON + timedelta(minutes=1)
    second = await database.models.replace(replace(first, name="Value"), AuditNote(ModelAction.REPLACED, later, "bob"))
    await database.models.touch_last_rebalance_date(first.id, NOON)
    third = await database.models.change(
        first.id, lambda now: replace(now, portfolios=()), AuditNote(ModelAction.PORTFOLIOS_REMOVED, later, "carol")
    )
    await database.models.delete(first.id, 3, AuditNote(ModelAction.DELETED, later, "dave"))

    told = [
        (entry.version, entry.action, entry.at, entry.correlation_id, entry.before, entry.after)
        for entry in await database.models.history(first.id, limit=10)
    ]
    touched = replace(_content(second), last_rebalance_date=NOON)
    assert told == [
        (4, ModelAction.DELETED, later, "dave", _content(third), None),
        (3, ModelAction.PORTFOLIOS_REMOVED, later, "carol", touched, _content(third)),
        (2, ModelAction.REPLACED, later, "bob", _content(first), _content(second)),
        (1, ModelAction.CREATED, NOON, "alice", None, _content(first)),
    ]


async def test_history_comes_in_pages_and_outlives_its_model(database: Database) -> None:
    """The newest entries come first, and the deletion has one."""
    now = model()
    await database.models.insert(now, change())
    for _ in range(5):
        now = await database.models.replace(now, change())
    await database.models.delete(now.id, 6, change())
    pages = [await database.models.history(now.id, offset=offset, limit=3) for offset in (0, 3, 6, 9)]
    assert [[entry.version for entry in page] for page in pages] == [[7, 6, 5], [4, 3, 2], [1], []]


async def test_a_refused_change_leaves_no_entry(database: Database, stored: AsyncDatabase[Document]) -> None:
    """A version conflict writes nothing to the history."""
    first = model()
    await database.models.insert(first, change())
    with pytest.raises(VersionConflict):
        await database.models.replace(replace(first, version=2), change())
    with pytest.raises(VersionConflict):
        await database.models.delete(first.id, 2, change())
    assert await stored["model_history"].count_documents({}) == 1


async def test_of_50_writers_of_one_version_exactly_one_wins(
    server_url: str, database: Database, database_name: str
) -> None:
    """On two connections, the others get VersionConflict, and history has one entry more."""
    first = model()
    await database.models.insert(first, change())
    async with open_patiently(server_url, database_name) as other_pod:
        outcomes = await asyncio.gather(
            *(
                pod.models.replace(replace(first, name=f"Writer {number}"), change(correlation_id=str(number)))
                for number in range(25)
                for pod in (database, other_pod)
            ),
            return_exceptions=True,
        )
    winners = [outcome for outcome in outcomes if isinstance(outcome, Model)]
    assert [winner.version for winner in winners] == [2]
    assert {type(outcome) for outcome in outcomes} == {Model, VersionConflict}
    assert await database.models.get(first.id) == winners[0]
    assert len(await database.models.history(first.id, limit=100)) == 2


async def test_50_concurrent_changes_make_50_versions_and_50_entries(
    server_url: str, database: Database, database_name: str
) -> None:
    """No change is lost, and entries connect without gaps."""
    first = model(positions=())
    await database.models.insert(first, change())
    async with open_patiently(server_url, database_name) as other_pod:

        async def add(number: int) -> Model:
            def with_position(current: Model) -> Model:
                return replace(current, positions=(*current.positions, position(number)))

            pod = other_pod if number % 2 else database
            return await pod.models.change(first.id, with_position, change(correlation_id=str(number)))

        made = await asyncio.gather(*(add(number) for number in range(50)))
    now = await database.models.get(first.id)
    assert sorted(each.version for each in made) == list(range(2, 52))
    assert {each.security_id for each in now.positions} == {security(number) for number in range(50)}
    history = await database.models.history(first.id, limit=100)
    assert [entry.version for entry in history] == list(range(51, 0, -1))
    for newer, older in itertools.pairwise(history):
        assert newer.before == older.after
    assert {entry.correlation_id for entry in history[:-1]} == {str(number) for number in range(50)}


_WRITES = 9
"""Three changes, each of three: the model, the entry's copy, the clean-up."""


@pytest.mark.parametrize("killed_before", range(_WRITES + 1))
async def test_a_process_killed_between_any_two_writes_costs_no_entry(
    server_url: str, database: Database, database_name: str, stored: AsyncDatabase[Document], killed_before: int
) -> None:
    """Model and history agree after the next read, wherever the process died."""
    model_id = ObjectId()
    async with (
        Proxy.to(server_url) as proxy,
        Pod.start(life_of_a_model, proxy.url, database_name, str(model_id)) as pod,
    ):
        proxy.before_write = pod.killed_before(killed_before)
        await pod.go()
        assert pod.process.returncode == (0 if killed_before == _WRITES else -9)

    # What the dead process left, before anybody completes it: no version is told twice or not at all.
    versions = -(-killed_before // 3)
    document = await stored["models"].find_one({"_id": model_id}) or {}
    copied = [entry["version"] async for entry in stored["model_history"].find({"modelId": model_id})]
    pending = [entry["version"] for entry in document.get("pending", [])]
    assert set(copied) | set(pending) == set(range(1, versions + 1))

    completion = ("reader", "writer", "sweep")[killed_before % 3]
    if completion == "writer" and 0 < versions < 3:
        await database.models.change(model_id, lambda now: replace(now, portfolios=()), change())
        versions += 1
    elif completion == "reader" and versions:
        await database.models.history(model_id, limit=10)
    else:
        await database.models.sweep(timedelta(0))
    entries = [entry["version"] async for entry in stored["model_history"].find(sort=[("version", 1)])]
    assert entries == list(range(1, versions + 1))
    assert await stored["models"].count_documents({"pending.version": {"$exists": True}}) == 0
    if versions in (0, 3) and killed_before in (0, *range(7, _WRITES + 1)):
        with pytest.raises(ModelNotFound):
            await database.models.get(model_id)
        assert await stored["models"].count_documents({}) == 0
    else:
        assert (await database.models.get(model_id)).version == versions


async def test_nobody_sees_a_model_whose_deletion_was_interrupted(
    server_url: str, database: Database, database_name: str
) -> None:
    """Reads and lists treat it as deleted, and its name is free."""
    model_id = ObjectId()
    async with (
        Proxy.to(server_url) as proxy,
        Pod.start(life_of_a_model, proxy.url, database_name, str(model_id)) as pod,
    ):
        proxy.before_write = pod.killed_before(7)
        await pod.go()
    with pytest.raises(ModelNotFound):
        await database.models.get(model_id)
    with pytest.raises(ModelNotFound):
        await database.models.replace(model(id=model_id, version=3), change())
    with pytest.raises(ModelNotFound):
        await database.models.delete(model_id, 3, change())
    assert await models_of(database) == []
    assert await database.models.with_portfolio(security(7)) == []
    await database.models.insert(model("Value"), change())
    assert [entry.version for entry in await database.models.history(model_id, limit=10)] == [3, 2, 1]


async def test_a_killed_process_is_completed_by_the_next_start(
    server_url: str, database: Database, database_name: str, stored: AsyncDatabase[Document]
) -> None:
    """The first sweep of a process completes it, without any request for the model."""
    model_id = ObjectId()
    async with (
        Proxy.to(server_url) as proxy,
        Pod.start(life_of_a_model, proxy.url, database_name, str(model_id)) as pod,
    ):
        proxy.before_write = pod.killed_before(1)
        await pod.go()
    assert await stored["model_history"].count_documents({}) == 0
    async with open_patiently(server_url, database_name, lease=timedelta(0)) as opened:
        await opened.sweep()
    assert await stored["model_history"].count_documents({}) == 1
