"""This release reads, lists and sweeps the data that the release of 2026-11-23 stored."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from bson import ObjectId
from pymongo import MongoClient

from persistence import AlreadyStored, KeyInProgress, ModelAction, ModelNotFound, RebalanceNotFound
from persistence.codec import Document
from tests.harness import earlier_release
from tests.harness.databases import open_patiently

LEASE = timedelta(seconds=90)


@pytest.fixture
def restored(server_url: str) -> Iterator[str]:
    """A database with the data of the earlier release."""
    name = f"test_{uuid.uuid4().hex}"
    earlier_release.load(server_url, name)
    yield name
    with MongoClient[Document](server_url) as client:
        client.drop_database(name)


async def test_every_document_of_the_earlier_release_is_read(server_url: str, restored: str) -> None:
    """Models, histories, rebalances, portfolios and positions have the values that the earlier release returned."""
    recorded = earlier_release.responses()
    async with open_patiently(server_url, restored) as database:
        models = [model async for model in database.models.each()]
        assert sorted((str(each.id), each.name, each.version) for each in models) == sorted(
            (each["modelId"], each["name"], each["version"]) for each in recorded["models"]
        )
        for model_id, entries in recorded["histories"].items():
            history = await database.models.history(ObjectId(model_id), limit=100)
            assert [(each.version, str(each.action)) for each in history] == [
                (each["version"], each["action"]) for each in entries
            ]
        headers = await database.rebalances.page(limit=100)
        assert [str(each.id) for each in headers] == [each["rebalanceId"] for each in recorded["rebalances"]]
        for header, shown in zip(headers, recorded["rebalances"], strict=True):
            assert header.rules is None
            portfolios = [each async for each in database.rebalances.portfolios(header)]
            assert len(portfolios) == header.number_of_portfolios == shown["numberOfPortfolios"]
            for portfolio, expected in zip(portfolios, shown["portfolios"], strict=True):
                assert portfolio.portfolio_id == expected["portfolioId"]
                assert portfolio.status == expected["status"]
                assert portfolio.market_value == expected["marketValue"]
                assert (portfolio.fees, portfolio.drift_before, portfolio.warnings) == (None, None, ())
                assert [
                    (each.security_id, each.price, each.adjusted_quantity, each.ticker, each.restraint)
                    for each in portfolio.positions
                ] == [
                    (each["securityId"], Decimal(each["price"]), each["adjustedQuantity"], None, None)
                    for each in expected["positions"]
                ]


async def test_a_sweep_completes_what_crashes_of_the_earlier_release_left(server_url: str, restored: str) -> None:
    """Orphaned portfolios and half deleted documents are removed, and audit entries are copied to the history."""
    crashed = {name: ObjectId(each) for name, each in earlier_release.responses()["crashed"].items()}
    async with open_patiently(server_url, restored) as database:
        await database.models.sweep(LEASE)
        await database.rebalances.sweep(LEASE)
        history = await database.models.history(crashed["changed"], limit=10)
        assert [entry.action for entry in history] == [ModelAction.REPLACED, ModelAction.CREATED]
        history = await database.models.history(crashed["deleted"], limit=10)
        assert [entry.action for entry in history] == [ModelAction.DELETED, ModelAction.CREATED]
        with pytest.raises(ModelNotFound):
            await database.models.get(crashed["deleted"])
        with pytest.raises(RebalanceNotFound):
            await database.rebalances.get(crashed["hidden"])
    with MongoClient[Document](server_url) as client:
        owners = client[restored]["rebalances"].distinct("_id.rebalanceId")
        assert crashed["orphan"] not in owners
        assert crashed["hidden"] not in owners
        assert len(owners) == len(earlier_release.responses()["rebalances"])
        assert client[restored]["models"].count_documents({"pending.0": {"$exists": True}}) == 0


async def test_the_idempotency_keys_of_the_earlier_release_are_honoured(server_url: str, restored: str) -> None:
    """A completed key refers to its rebalance, and a key whose owner died is free for the same target."""
    recorded = earlier_release.responses()["idempotent"]
    target = f"model/{recorded['target']}"
    async with open_patiently(server_url, restored) as database:
        replayed = await database.idempotency.claim(recorded["key"], target, ObjectId())
        assert isinstance(replayed, AlreadyStored)
        assert str(replayed.rebalance_id) == recorded["body"][0]["rebalanceId"]
        await database.idempotency.claim("owner-died", target, ObjectId())
        with pytest.raises(KeyInProgress):
            await database.idempotency.claim("owner-died", target, ObjectId())
