"""Models in the database: what is stored, found, listed, changed and deleted."""

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from bson import ObjectId
from msgspec.structs import replace
from pymongo import MongoClient
from pymongo.asynchronous.database import AsyncDatabase

from persistence import (
    Database,
    DuplicateName,
    Model,
    ModelContent,
    ModelField,
    ModelNotFound,
    SortKey,
    VersionConflict,
)
from persistence.codec import Document
from tests.persistence.examples import NOON, change, model, models_of, position, security


async def test_a_model_comes_back_as_it_was_stored(database: Database) -> None:
    """All fields are equal, to the last digit."""
    stored = model(last_rebalance_date=NOON)
    await database.models.insert(stored, change())
    assert await database.models.get(stored.id) == stored


async def test_decimals_are_stored_as_decimal128_and_the_version_as_an_int32(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """The server sees these types."""
    await database.models.insert(model(), change())
    as_decimal = {"positions.target": {"$type": "decimal"}, "version": {"$type": "int"}}
    assert await stored["models"].count_documents(as_decimal) == 1


@pytest.mark.parametrize("text", ["$set", "a.b", "{$ne: null}", "\x00", "'; drop", "名前 📈", "x" * 255])
async def test_a_name_is_only_text(database: Database, text: str) -> None:
    """Operators, control characters and any script are stored as they are."""
    stored = model(text, portfolios=(text,))
    await database.models.insert(stored, change())
    changed = await database.models.replace(replace(stored, portfolios=(text, "$name")), change())
    assert changed == replace(stored, portfolios=(text, "$name"), version=2)
    assert await database.models.with_portfolio(text) == [changed]
    assert [entry.after and entry.after.name for entry in await database.models.history(stored.id, limit=9)] == [
        text
    ] * 2


async def test_a_name_belongs_to_one_model(database: Database) -> None:
    """Insert and replacement of another model raise DuplicateName."""
    first, second = model("Growth"), model("Value")
    await database.models.insert(first, change())
    await database.models.insert(second, change())
    with pytest.raises(DuplicateName) as of_insert:
        await database.models.insert(model("Growth"), change())
    assert of_insert.value.name == "Growth"
    with pytest.raises(DuplicateName):
        await database.models.replace(replace(second, name="Growth"), change())
    with pytest.raises(DuplicateName):
        await database.models.change(second.id, lambda current: replace(current, name="Growth"), change())
    assert await database.models.get(second.id) == second


async def test_what_is_not_there_is_not_found(database: Database) -> None:
    """Every route of an unknown rebalance is 404 with its id."""
    unknown = model()
    with pytest.raises(ModelNotFound) as of_get:
        await database.models.get(unknown.id)
    assert of_get.value.model_id == unknown.id
    with pytest.raises(ModelNotFound):
        await database.models.replace(unknown, change())
    with pytest.raises(ModelNotFound):
        await database.models.change(unknown.id, lambda current: current, change())
    with pytest.raises(ModelNotFound):
        await database.models.delete(unknown.id, 1, change())
    with pytest.raises(ModelNotFound):
        await database.models.history(unknown.id, limit=1)
    await database.models.touch_last_rebalance_date(unknown.id, NOON)
    assert await models_of(database) == []


async def test_a_replacement_needs_the_version_that_is_there(database: Database) -> None:
    """An old version raises the conflict with the current one."""
    first = model()
    await database.models.insert(first, change())
    second = await database.models.replace(replace(first, positions=()), change())
    assert second == replace(first, positions=(), version=2)
    with pytest.raises(VersionConflict) as conflict:
        await database.models.replace(replace(first, positions=(position(3),)), change())
    assert conflict.value.current == 2
    with pytest.raises(VersionConflict):
        await database.models.delete(first.id, 1, change())
    assert await database.models.get(first.id) == second


async def test_a_change_that_changes_nothing_makes_no_version(database: Database) -> None:
    """The model is returned as it is, without an entry."""
    unchanged = model()
    await database.models.insert(unchanged, change())
    assert await database.models.change(unchanged.id, lambda current: current, change()) == unchanged
    assert len(await database.models.history(unchanged.id, limit=10)) == 1


async def test_a_target_that_only_gains_a_zero_is_the_same_target(database: Database) -> None:
    """Contents are compared by value."""
    unchanged = model(positions=(position(1, "0.5"),))
    await database.models.insert(unchanged, change())
    same = (replace(position(1), target=Decimal("0.50")),)
    changed = await database.models.change(unchanged.id, lambda current: replace(current, positions=same), change())
    assert changed.version == 1


async def test_a_change_that_raises_changes_nothing(database: Database) -> None:
    """The exception reaches the caller, and the model stays."""
    unchanged = model()
    await database.models.insert(unchanged, change())

    def refuse(_: Model) -> Model:
        raise KeyError("position")

    with pytest.raises(KeyError):
        await database.models.change(unchanged.id, refuse, change())
    assert await database.models.get(unchanged.id) == unchanged


async def test_a_deleted_model_is_gone_and_its_name_is_free(
    database: Database, stored: AsyncDatabase[Document]
) -> None:
    """No document remains in the collection of models."""
    deleted = model()
    await database.models.insert(deleted, change())
    await database.models.delete(deleted.id, 1, change())
    with pytest.raises(ModelNotFound):
        await database.models.get(deleted.id)
    assert await models_of(database) == []
    assert await stored["models"].count_documents({}) == 0
    await database.models.insert(model(deleted.name), change())


async def test_the_last_rebalance_date_never_moves_back(database: Database) -> None:
    """Touching and replacing keep the latest date, without a version."""
    touched = model()
    await database.models.insert(touched, change())
    for hours in (0, 2, 1):
        await database.models.touch_last_rebalance_date(touched.id, NOON + timedelta(hours=hours))
    now = await database.models.get(touched.id)
    assert now == replace(touched, last_rebalance_date=NOON + timedelta(hours=2))
    later = NOON + timedelta(days=1)
    for given, kept in ((None, now.last_rebalance_date), (NOON, now.last_rebalance_date), (later, later)):
        now = await database.models.replace(replace(now, last_rebalance_date=given), change())
        assert now.last_rebalance_date == kept


async def test_a_rebalance_that_ends_during_a_change_is_not_undone(
    server_url: str, database: Database, database_name: str
) -> None:
    """And the audit entry knows of it."""
    first = model()
    await database.models.insert(first, change())

    def without_portfolios(current: Model) -> Model:
        with MongoClient[Document](server_url) as client:
            client[database_name]["models"].update_one({"_id": first.id}, {"$set": {"lastRebalanceDate": NOON}})
        return replace(current, portfolios=())

    changed = await database.models.change(first.id, without_portfolios, change())
    assert changed == replace(first, portfolios=(), last_rebalance_date=NOON, version=2)
    [entry, _] = await database.models.history(first.id, limit=10)
    assert entry.before == ModelContent(first.name, first.positions, first.portfolios, NOON)


async def test_models_are_found_by_a_portfolio(database: Database) -> None:
    """All models of the portfolio, in the order of their creation."""
    both = [model("A", portfolios=(security(1), security(2))), model("B", portfolios=(security(2),))]
    for each in (*both, model("C", portfolios=())):
        await database.models.insert(each, change())
    assert await database.models.with_portfolio(security(2)) == both
    assert await database.models.with_portfolio(security(1)) == both[:1]
    assert await database.models.with_portfolio(security(3)) == []


async def test_a_page_is_a_window_on_all_models(database: Database) -> None:
    """Offset and limit select a slice, and a limit of 0 nothing."""
    models = [model(f"Model {number}") for number in range(7)]
    for each in models:
        await database.models.insert(each, change())
    assert await models_of(database) == models
    assert await models_of(database, offset=5) == models[5:]
    assert await models_of(database, limit=3) == models[:3]
    assert await models_of(database, offset=2, limit=3) == models[2:5]
    assert await models_of(database, offset=7) == []
    assert await models_of(database, limit=0) == []


async def test_every_order_sorts_by_its_keys_and_then_by_id(database: Database) -> None:
    """Each combination of fields and directions equals Python's own sort."""
    dates = [None, NOON, NOON, NOON + timedelta(1), None, datetime(2024, 1, 1, tzinfo=UTC)]
    models = [
        model(name, last_rebalance_date=date, id=ObjectId(f"{number:024x}"))
        for name, date, number in zip("dbecfa", dates, (5, 1, 4, 2, 6, 3), strict=True)
    ]
    for each in models:
        await database.models.insert(each, change())
    value = {
        ModelField.MODEL_ID: lambda each: each.id,
        ModelField.NAME: lambda each: each.name,
        ModelField.LAST_REBALANCE_DATE: lambda each: each.last_rebalance_date or datetime.min.replace(tzinfo=UTC),
    }
    for fields in itertools.chain(*(itertools.permutations(ModelField, length) for length in (1, 2, 3))):
        for descending in itertools.product((False, True), repeat=len(fields)):
            sort = [SortKey(field, down) for field, down in zip(fields, descending, strict=True)]
            expected = sorted(models, key=lambda each: each.id, reverse=sort[-1].descending)
            for key in reversed(sort):
                expected.sort(key=value[key.field], reverse=key.descending)
            assert await models_of(database, sort=sort) == expected, sort
