"""Responses too large to be kept in memory: whole, as stored, and none at all where there is no room for them."""

import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from msgspec import Struct, json

from app.rebalancing.body import MEMORY_BYTES
from integrations.simulator import SimulatorSettings, World
from tests.app.conftest import Environment, running_service
from tests.harness.api import Api, ApiResponse
from tests.harness.bodies import Json, created, path, position

PORTFOLIOS = 700
POSITIONS = 100
WORLD = World(SimulatorSettings())


class Line(Struct, rename="camel", frozen=True):
    """What the response and the record both say of a position."""

    security_id: str
    original_quantity: Decimal
    adjusted_quantity: Decimal
    actual: Decimal


class Rebalanced(Struct, rename="camel"):
    """A portfolio of a response."""

    portfolio_id: str
    rebalance_id: str
    status: str
    drifts: list[Line]


class Stored(Struct, rename="camel"):
    """The same portfolio of the stored rebalance."""

    portfolio_id: str
    status: str
    positions: list[Line]


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """The service's directory for temporary files; its name is short, as that of a socket in it has to be."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def service(environment: Environment, temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service that is patient and has its own directory for temporary files."""
    settings = {"TMPDIR": str(temporary), "PORTFOLIO_ACCOUNTING_SERVICE_TIMEOUT_SECONDS": "10"}
    with running_service(environment, tmp_path_factory.mktemp("large") / "log", **settings) as api:
        yield api


@pytest.fixture(scope="module")
def large(service: Api) -> Json:
    """A model whose response to a rebalance is larger than what is kept in memory."""
    positions = [position(each, "0.005", "0.02", "0.02") for each in WORLD.priced_security_ids()[:POSITIONS]]
    return created(service, positions=positions, portfolios=WORLD.portfolio_ids(0, PORTFOLIOS))


def rebalanced(service: Api, model: Json) -> ApiResponse:
    """Rebalance a model, again if the database was too slow on a busy machine."""
    response = service.post(path(model, "/rebalance"))
    for _ in range(4):
        if response.status == 503 and response.code == "DATABASE_UNAVAILABLE":
            response = service.post(path(model, "/rebalance"))
    return response


def test_a_large_response_is_whole_and_says_what_is_stored(service: Api, large: Json) -> None:
    """A response that goes through a file on disk has every portfolio, equal to the stored ones."""
    text = rebalanced(service, large).expect(200).text
    assert len(text) > MEMORY_BYTES
    returned = json.decode(text, type=list[Rebalanced])
    assert [each.portfolio_id for each in returned] == WORLD.portfolio_ids(0, PORTFOLIOS)
    record = service.get(f"/rebalance/{returned[0].rebalance_id}/portfolios").expect(200).text
    stored = json.decode(record, type=list[Stored])
    assert stored == [Stored(each.portfolio_id, each.status, each.drifts) for each in returned]


def test_without_room_for_a_large_response_nothing_is_stored(service: Api, large: Json, temporary: Path) -> None:
    """The response is 503 OVERLOADED with Retry-After, and small rebalances still complete."""
    shutil.rmtree(temporary)
    before = service.get("/rebalances").expect(200).text
    last = service.get(path(large)).expect(200).body["lastRebalanceDate"]
    rejected = rebalanced(service, large).expect(503, "OVERLOADED")
    assert rejected.headers["Retry-After"] == str(rejected.error["details"]["retryAfterSeconds"])
    assert service.get("/rebalances").expect(200).text == before
    assert service.get(path(large)).expect(200).body["lastRebalanceDate"] == last
    one = service.post(f"/portfolio/{WORLD.portfolio_ids(0, 1)[0]}/rebalance?modelId={large['modelId']}")
    assert one.expect(200).body["status"] == "COMPLETED"
