"""A clock that is ahead does no lasting harm: its times are trusted only as far as they can be true."""

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId
from msgspec.structs import replace
from pymongo.asynchronous.database import AsyncDatabase

from persistence import Claimed, Database, KeyInProgress, clocks
from persistence.codec import Document
from tests.persistence.conftest import on_one_server
from tests.persistence.examples import (
    change,
    id_made,
    leave_orphan,
    model,
    portfolio_owners,
    portfolios_of,
    rebalance,
    store,
)

pytestmark = on_one_server

LEASE = timedelta(seconds=60)
AHEAD = timedelta(days=400)
NEVER = datetime(9999, 12, 31, tzinfo=UTC)


def _now() -> datetime:
    """The present, in the milliseconds that are stored."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


@pytest.mark.parametrize(
    "until", [datetime.now(UTC) + AHEAD, NEVER, "2028", None, 7], ids=["400 days", "9999", "text", "null", "number"]
)
async def test_a_sweep_that_was_recorded_in_the_future_does_not_stop_later_sweeps(
    database: Database, stored: AsyncDatabase[Document], until: object
) -> None:
    """The next sweep searches everything again, and records a time that can be true."""
    await stored["sweeps"].insert_one({"_id": "rebalances", "until": until})
    await leave_orphan(stored, id_made(timedelta(days=30)), 2)
    await leave_orphan(stored, id_made(timedelta(seconds=70)), 2)
    await database.rebalances.sweep(LEASE)
    assert await portfolio_owners(stored) == set()
    recorded = await stored["sweeps"].find_one({"_id": "rebalances"})
    assert recorded
    assert _now() - timedelta(minutes=2) < recorded["until"] <= _now()


async def test_orphans_and_hidden_rebalances_of_a_clock_that_was_ahead_are_removed(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """What is stored under such an id stays."""
    kept = await store(database, rebalance(2, made=-AHEAD))
    await leave_orphan(stored, id_made(-AHEAD), 2)
    hidden = await store(database, rebalance(1))
    update = {"$set": {"hiddenSince": datetime.now(UTC) + AHEAD}, "$unset": {"visible": ""}}
    await stored["rebalances"].update_one({"_id": hidden.id}, update)
    await database.rebalances.sweep(LEASE)
    assert await portfolio_owners(stored) == {kept.id}
    assert len(await portfolios_of(database, kept)) == 2
    assert await stored["rebalances"].find_one({"_id": hidden.id}) is None


async def test_an_audit_entry_of_a_clock_that_was_ahead_is_copied_by_the_sweep(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """As if it were old."""
    some = model()
    ahead = replace(change(), at=datetime.now(UTC) + AHEAD)
    await database.models.insert(some, ahead)
    entry = await stored["model_history"].find_one_and_delete({"modelId": some.id})
    await stored["models"].update_one({"_id": some.id}, {"$push": {"pending": entry}})
    await database.models.sweep(LEASE)
    assert await stored["model_history"].count_documents({"modelId": some.id}) == 1


@pytest.mark.parametrize("ahead", [NEVER, datetime.now(UTC).replace(microsecond=0) + AHEAD], ids=["9999", "400 days"])
async def test_a_date_of_a_rebalance_in_the_future_gives_way_to_the_next_rebalance(
    database: Database, ahead: datetime
) -> None:
    """However it was set; afterwards the date does not move back again."""
    some = model()
    await database.models.insert(some, change())
    now = _now()
    set_ahead = await database.models.replace(replace(some, last_rebalance_date=ahead), change())
    assert set_ahead.last_rebalance_date == ahead
    await database.models.touch_last_rebalance_date(some.id, now)
    assert (await database.models.get(some.id)).last_rebalance_date == now
    await database.models.touch_last_rebalance_date(some.id, now - timedelta(days=1))
    assert (await database.models.get(some.id)).last_rebalance_date == now


async def test_a_date_in_the_future_gives_way_to_a_replacement_and_not_to_none(database: Database) -> None:
    """A replacement without a date keeps what is stored."""
    some = model(last_rebalance_date=NEVER)
    await database.models.insert(some, change())
    kept = await database.models.replace(replace(some, last_rebalance_date=None), change())
    assert kept.last_rebalance_date == NEVER
    now = _now()
    replaced = await database.models.replace(replace(kept, last_rebalance_date=now), change())
    assert replaced.last_rebalance_date == now


async def test_a_rebalance_of_an_instance_whose_clock_is_ahead_is_dated_by_the_server(database: Database) -> None:
    """The date is at most minutes ahead."""
    some = model()
    await database.models.insert(some, change())
    await database.models.touch_last_rebalance_date(some.id, datetime.now(UTC) + AHEAD)
    touched = (await database.models.get(some.id)).last_rebalance_date
    assert touched
    assert touched <= datetime.now(UTC) + timedelta(minutes=6)


async def test_a_key_whose_lease_ends_in_the_far_future_can_be_taken_over(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """A lease that can be true is respected."""
    await database.idempotency.claim("key", "model/1", ObjectId())
    with pytest.raises(KeyInProgress):
        await database.idempotency.claim("key", "model/1", ObjectId())
    await stored["idempotency_keys"].update_one({"_id": "key"}, {"$set": {"leaseUntil": datetime.now(UTC) + AHEAD}})
    mine = ObjectId()
    assert await database.idempotency.claim("key", "model/1", mine) == Claimed("key", mine)


async def test_an_instance_whose_own_clock_is_ahead_removes_nothing_that_is_young(
    database: Database, stored: AsyncDatabase[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's clock decides what is old, so a rebalance that is being stored survives."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # the stub's tz is narrower
            return datetime.now(UTC) + AHEAD

    header = rebalance(1)
    await leave_orphan(stored, header.id, 1)
    monkeypatch.setattr(clocks, "datetime", Ahead)
    await database.sweep()
    assert await portfolio_owners(stored) == {header.id}


async def test_a_clock_may_be_ahead_by_as_much_as_clocks_of_servers_differ(database: Database) -> None:
    """A date slightly in the future is a real one, which no replacement moves back; one far ahead is not."""
    for ahead, kept in ((clocks.CLOCK_TOLERANCE / 2, True), (2 * clocks.CLOCK_TOLERANCE, False)):
        first = model(f"ahead by {ahead}", last_rebalance_date=_now() + ahead)
        await database.models.insert(first, change())
        earlier = _now() - timedelta(days=1)
        replaced = await database.models.replace(replace(first, last_rebalance_date=earlier), change())
        assert replaced.last_rebalance_date == (first.last_rebalance_date if kept else earlier)
