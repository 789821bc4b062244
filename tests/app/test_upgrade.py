"""The service on the data that the release of 2026-11-23 stored."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.app.conftest import Environment, running_service
from tests.harness import earlier_release
from tests.harness.api import Api


@pytest.fixture
def upgraded(mongodb_url: str, environment: Environment, tmp_path: Path) -> Iterator[Api]:
    """This release of the service on a database of the earlier release."""
    name = f"test_{uuid.uuid4().hex}"
    earlier_release.load(mongodb_url, name)
    with running_service(environment, tmp_path / "log", DATABASE_NAME=name) as api:
        yield api
    with MongoClient[dict[str, object]](mongodb_url) as client:
        client.drop_database(name)


def test_every_response_has_the_values_that_the_earlier_release_returned(upgraded: Api) -> None:
    """Fields may be new; every field that the earlier release returned has the same value."""
    recorded = earlier_release.responses()
    assert_contains(upgraded.get("/models", sort_by="name").expect(200).body, recorded["models"])
    for model_id, history in recorded["histories"].items():
        assert_contains(upgraded.get(f"/model/{model_id}/history", limit=100).expect(200).body, history)
    listing = upgraded.get("/rebalances", limit=100).expect(200).body
    assert_contains(listing, recorded["rebalances"])
    for rebalance in recorded["rebalances"]:
        rebalance_id = rebalance["rebalanceId"]
        assert_contains(upgraded.get(f"/rebalance/{rebalance_id}").expect(200).body, rebalance)
    for path, proof in recorded["proofs"].items():
        rebalance_id, portfolio_id = path.split("/")
        shown = upgraded.get(f"/rebalance/{rebalance_id}/portfolio/{portfolio_id}/proof").expect(200).body
        assert_contains(shown, proof)
    replayed = upgraded.call(
        "POST",
        f"/model/{recorded['idempotent']['target']}/rebalance",
        headers={"Idempotency-Key": recorded["idempotent"]["key"]},
    )
    assert_contains(replayed.expect(200).body, recorded["idempotent"]["body"])


def assert_contains(shown: Any, recorded: Any, path: str = "$") -> None:
    """Compare recursively; objects may have more fields than were recorded."""
    if isinstance(recorded, dict):
        for name, value in recorded.items():
            assert name in shown, f"{path}.{name} is missing"
            assert_contains(shown[name], value, f"{path}.{name}")
    elif isinstance(recorded, list):
        assert len(shown) == len(recorded), path
        for index, (inner, value) in enumerate(zip(shown, recorded, strict=True)):
            assert_contains(inner, value, f"{path}[{index}]")
    else:
        assert shown == recorded, path
