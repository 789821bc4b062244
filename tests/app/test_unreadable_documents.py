"""Documents that this service did not write affect nothing but themselves, and can be removed."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from bson import Decimal128, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database

from tests.app.conftest import Environment, running_service
from tests.harness.api import Api
from tests.harness.bodies import created, path, position
from tests.harness.upstreams import Upstreams, fresh_id

type Document = dict[str, Any]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of the service."""
    return tmp_path_factory.mktemp("unreadable") / "log"


@pytest.fixture(scope="module")
def stored(mongodb_url: str) -> Iterator[Database[Document]]:
    """The database of the service, which belongs to this module alone."""
    with MongoClient[Document](mongodb_url) as client:
        database = client[f"test_{uuid4().hex}"]
        yield database
        client.drop_database(database)


@pytest.fixture(scope="module")
def service(environment: Environment, stored: Database[Document], log: Path) -> Iterator[Api]:
    """A service on that database."""
    with running_service(environment, log, DATABASE_NAME=stored.name, ORDERS_ENABLED="true") as api:
        yield api


def _position(**fields: Any) -> Document:
    share = Decimal128("0.1")
    return {"securityId": fresh_id(), "target": share, "highDrift": share, "lowDrift": share} | fields


MODELS: dict[str, Document] = {
    "snake_case positions of the original service": {
        "positions": [{"security_id": fresh_id(), "target": Decimal128("0.5"), "high_drift": 0.1, "low_drift": 0.1}]
    },
    "version as text": {"version": "1"},
    "version as double": {"version": 1.5},
    "positions missing": {"positions": None},
    "portfolios not an array": {"portfolios": "none"},
    "portfolios of numbers": {"portfolios": [7]},
    "target NaN": {"positions": [_position(target=Decimal128("NaN"))]},
    "target infinite": {"positions": [_position(target=Decimal128("Infinity"))]},
    "target a double": {"positions": [_position(target=0.5)]},
    "target above 1": {"positions": [_position(target=Decimal128("55"))]},
    "drift missing": {"positions": [{"securityId": fresh_id(), "target": Decimal128("0.1")}]},
    "a position that is a number": {"positions": [7]},
    "date as text": {"lastRebalanceDate": "yesterday"},
    "name a number": {"name": 7},
    "pending not an array": {"pending": "none"},
}


def _foreign_model(faults: Document) -> Document:
    whole = {
        "_id": ObjectId(),
        "name": f"Foreign {uuid4().hex}",
        "positions": [_position()],
        "portfolios": [fresh_id()],
        "lastRebalanceDate": None,
        "version": 1,
    } | faults
    return {name: value for name, value in whole.items() if value is not None or name == "lastRebalanceDate"}


@pytest.mark.parametrize("faults", MODELS.values(), ids=MODELS.keys())
def test_an_unreadable_model_is_left_out_of_lists_reported_when_requested_and_removed_by_any_version(
    service: Api, stored: Database[Document], log: Path, upstreams: Upstreams, faults: Document
) -> None:
    """Good models are listed, read together with it, and rebalanced; the log names it once."""
    fund = upstreams.portfolio("100000.00")
    good = created(service, portfolios=[fund])
    before = service.get("/models")
    foreign = _foreign_model(faults)
    model_id = str(foreign["_id"])
    stored["models"].insert_one(foreign)
    for _ in range(2):
        listed = service.get("/models").expect(200)
        assert model_id not in [each["modelId"] for each in listed.body]
        assert len(listed.body) == len(before.body) == int(listed.headers["X-Total-Count"])
        page = service.get("/models", offset=len(before.body) - 1, limit=2, sort_by="model_id").expect(200)
        assert len(page.body) == 1
        unreadable = service.get(f"/model/{model_id}").expect(409, "DOCUMENT_UNREADABLE")
        assert unreadable.error["details"] == {"kind": "model", "id": model_id}
    with ThreadPoolExecutor(10) as callers:
        wanted = [path(good), f"/model/{model_id}"] * 20
        for requested, response in zip(wanted, callers.map(service.get, wanted), strict=True):
            response.expect(200 if requested == path(good) else 409)
    service.post(f"{path(good)}/rebalance").expect(200)
    service.post(f"/model/{model_id}/rebalance").expect(409, "DOCUMENT_UNREADABLE")
    portfolios = foreign.get("portfolios")
    if isinstance(portfolios, list) and isinstance(portfolios[0], str):
        service.post(f"/portfolio/{portfolios[0]}/rebalance").expect(409, "DOCUMENT_UNREADABLE")
        stored["models"].update_one({"_id": foreign["_id"]}, {"$set": {"portfolios": [fund]}})
        service.post(f"/portfolio/{fund}/rebalance").expect(200)
    assert len(re.findall(f"Unreadable document.*models.*{model_id}", log.read_text())) == 1
    service.delete(f"/model/{model_id}", version=99).expect(204)
    service.get(f"/model/{model_id}").expect(404, "MODEL_NOT_FOUND")
    assert stored["models"].find_one({"_id": foreign["_id"]}) is None
    assert [each["action"] for each in service.get(f"/model/{model_id}/history").body] == ["DELETED"]


def test_a_date_that_no_calendar_has_and_text_that_is_not_utf8_affect_only_their_model(
    service: Api, stored: Database[Document]
) -> None:
    """The driver cannot decode such values, so that they would break every document of their batch."""
    good = created(service)
    foreign = _foreign_model({"lastRebalanceDate": datetime(9999, 12, 31, tzinfo=UTC), "name": "Foreign \ufeff-date"})
    raw = RawBSONDocument(_encoded(foreign))
    stored["models"].insert_one(raw)
    assert str(foreign["_id"]) not in [each["modelId"] for each in service.get("/models").expect(200).body]
    assert service.get(path(good)).expect(200).body["modelId"] == good["modelId"]
    service.get(f"/model/{foreign['_id']}").expect(409, "DOCUMENT_UNREADABLE")
    service.delete(f"/model/{foreign['_id']}", version=1).expect(204)


def _encoded(document: Document) -> bytes:
    """Encode a document, with its date moved beyond the last year of the calendar and its name not UTF-8."""
    from bson import encode  # noqa: PLC0415 - next to its only use

    last = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000).to_bytes(8, "little")
    beyond = (2**60).to_bytes(8, "little")
    encoded = encode(document)
    assert encoded.count(last) == 1
    return encoded.replace(last, beyond).replace("\ufeff".encode(), b"\xff\xfe\xfd")


HEADERS: dict[str, Document] = {
    "version as text": {"version": "1"},
    "version as double": {"version": 1.5},
    "name a number": {"modelName": 7},
    "date as text": {"rebalanceDate": "yesterday"},
    "snapshot time a boolean": {"pricedAt": True},
    "number of portfolios as text": {"numberOfPortfolios": "1"},
    "rules with NaN": {"rules": {"minimumCash": Decimal128("NaN")}},
}


def _rebalanced(service: Api, upstreams: Upstreams, portfolios: int = 1, **fields: Any) -> str:
    model = created(service, portfolios=[upstreams.portfolio("100000.00") for _ in range(portfolios)], **fields)
    return str(service.post(f"{path(model)}/rebalance").expect(200).body[0]["rebalanceId"])


@pytest.mark.parametrize("faults", HEADERS.values(), ids=HEADERS.keys())
def test_an_unreadable_rebalance_is_left_out_of_lists_reported_when_requested_and_removed_by_any_version(
    service: Api, stored: Database[Document], log: Path, upstreams: Upstreams, faults: Document
) -> None:
    """Other rebalances are listed and counted as before, in every order."""
    good = _rebalanced(service, upstreams)
    bad = _rebalanced(service, upstreams)
    count = int(service.get("/rebalances").headers["X-Total-Count"]) - 1
    stored["rebalances"].update_one({"_id": ObjectId(bad)}, {"$set": faults})
    for sort in ("-rebalance_date", "rebalance_id", "model_name,rebalance_date"):
        listed = service.get("/rebalances", limit=100, sort_by=sort).expect(200)
        ids = [each["rebalanceId"] for each in listed.body]
        assert good in ids
        assert bad not in ids
        assert len(ids) == int(listed.headers["X-Total-Count"]) == count
    service.get(f"/rebalance/{good}").expect(200)
    for route in ("", "/portfolios"):
        service.get(f"/rebalance/{bad}{route}").expect(409, "DOCUMENT_UNREADABLE")
    assert len(re.findall(f"Unreadable document.*rebalances.*{bad}", log.read_text())) == 1
    service.delete(f"/rebalance/{bad}", version=99).expect(200)
    service.get(f"/rebalance/{bad}").expect(404, "REBALANCE_NOT_FOUND")
    assert stored["rebalances"].count_documents({"_id.rebalanceId": ObjectId(bad)}) == 0


def test_a_rebalance_of_the_original_service_is_reported_when_requested_and_removed(
    service: Api, stored: Database[Document]
) -> None:
    """It has another format altogether, and no list shows it."""
    foreign = stored["rebalances"].insert_one({"model_id": ObjectId(), "rebalance_date": datetime.now(UTC)}).inserted_id
    service.get("/rebalances").expect(200)
    service.get(f"/rebalance/{foreign}").expect(409, "DOCUMENT_UNREADABLE")
    service.delete(f"/rebalance/{foreign}", version=1).expect(200)
    service.get(f"/rebalance/{foreign}").expect(404, "REBALANCE_NOT_FOUND")


PORTFOLIOS: dict[str, Document] = {
    "price NaN": {"positions.0.price": Decimal128("NaN")},
    "quantity a double": {"positions.0.adjustedQuantity": 1.5},
    "positions not an array": {"positions": "none"},
    "status unknown": {"status": "MAYBE"},
    "day not a date": {"tradeDate": "yesterday"},
    "market value as text": {"marketValue": "1"},
    "way of solving unknown": {"solve.path": "QUANTUM"},
    "failure unknown": {
        "failure": {
            "code": "MARKET_CLOSED",
            "message": "m",
            "details": {},
            "timestamp": datetime.now(UTC),
            "traceId": "t",
        }
    },
    "warning unknown": {"warnings": [{"code": "MARKET_CLOSED", "message": "m", "securityIds": []}]},
    "restraint unknown": {"positions.0.restraint": "MARKET_CLOSED"},
    "traded without a price": {"positions.0.price": None},
    "price beyond every limit": {"positions.0.price": Decimal128("1E+6000")},
    "market value too small to be divided by": {"marketValue": Decimal128("1E-6000")},
}


@pytest.mark.parametrize("faults", PORTFOLIOS.values(), ids=PORTFOLIOS.keys())
def test_an_unreadable_portfolio_affects_only_itself_and_its_rebalance_can_be_removed(
    service: Api, stored: Database[Document], log: Path, upstreams: Upstreams, faults: Document
) -> None:
    """Lists show the rebalance without the portfolio; the rebalance as a whole is an error that names it."""
    security_id = upstreams.securities(1)[0]
    bad = _rebalanced(service, upstreams, portfolios=3, positions=[position(security_id, "0.5")])
    ids = [each["portfolioId"] for each in service.get(f"/rebalance/{bad}/portfolios").expect(200).body]
    stored["rebalances"].update_one({"_id": {"rebalanceId": ObjectId(bad), "place": 1}}, {"$set": faults})
    [listed] = [each for each in service.get("/rebalances").expect(200).body if each["rebalanceId"] == bad]
    assert [each["portfolioId"] for each in listed["portfolios"]] == [ids[0], ids[2]]
    for whole in ("", "/portfolios", "/trades", "/trades?format=csv", f"/portfolio/{ids[1]}/positions"):
        service.get(f"/rebalance/{bad}{whole}").expect(409, "DOCUMENT_UNREADABLE")
    service.get(f"/rebalance/{bad}/portfolio/{ids[1]}/proof").expect(409, "DOCUMENT_UNREADABLE")
    service.post(f"/rebalance/{bad}/orders").expect(409, "DOCUMENT_UNREADABLE")
    service.get(f"/rebalance/{bad}/portfolio/{ids[0]}/positions").expect(200)
    assert len(re.findall(f"Unreadable document.*rebalances.*{bad}/1", log.read_text())) == 1
    service.delete(f"/rebalance/{bad}", version=99).expect(200)
    service.get(f"/rebalance/{bad}").expect(404, "REBALANCE_NOT_FOUND")


def test_an_unreadable_portfolio_far_into_a_large_rebalance_is_still_a_complete_response(
    service: Api, stored: Database[Document], upstreams: Upstreams
) -> None:
    """The error comes in place of the response, not in the middle of it; lists omit only that portfolio."""
    positions = [position(each, "0.015") for each in upstreams.securities(60)]
    bad = _rebalanced(service, upstreams, portfolios=30, positions=positions)
    whole = service.get(f"/rebalance/{bad}").expect(200)
    assert len(whole.text) > 500_000
    assert len(service.get(f"/rebalance/{bad}/trades").expect(200).text) > 300_000
    key = {"rebalanceId": ObjectId(bad), "place": 29}
    stored["rebalances"].update_one({"_id": key}, {"$set": {"positions.59.price": None}})
    for route in ("", "/portfolios", "/trades", "/trades?format=csv"):
        service.get(f"/rebalance/{bad}{route}").expect(409, "DOCUMENT_UNREADABLE")
    [listed] = [each for each in service.get("/rebalances").expect(200).body if each["rebalanceId"] == bad]
    assert listed["portfolios"] == whole.body["portfolios"][:29]
    service.delete(f"/rebalance/{bad}", version=1).expect(200)


def test_unreadable_documents_are_counted(service: Api, stored: Database[Document]) -> None:
    """Each once, by collection."""

    def counted() -> float:
        metrics = service.raw("GET", "/metrics").text
        found = re.search(r'order_generation_unreadable_documents_total\{collection="models"\} (\S+)', metrics)
        assert found
        return float(found[1])

    before = counted()
    foreign = stored["models"].insert_one({"name": "Foreign and counted"}).inserted_id
    for _ in range(3):
        service.get("/models").expect(200)
        service.get(f"/model/{foreign}").expect(409, "DOCUMENT_UNREADABLE")
    assert counted() == before + 1
    service.delete(f"/model/{foreign}", version=1).expect(204)


def test_pending_audit_entries_of_the_wrong_shape_do_no_harm(service: Api, stored: Database[Document]) -> None:
    """The model is read, changed and removed, and its history has the entries that are readable."""
    good = created(service)
    foreign = [{"at": datetime(2025, 1, 1, tzinfo=UTC)}, 7, {"version": "x", "at": datetime(2025, 1, 1, tzinfo=UTC)}]
    stored["models"].update_one({"_id": ObjectId(good["modelId"])}, {"$push": {"pending": {"$each": foreign}}})
    service.get(path(good)).expect(200)
    service.post(f"{path(good)}/portfolio", {"portfolios": [fresh_id()]}).expect(200)
    history = service.get(f"{path(good)}/history").expect(200).body
    assert [each["version"] for each in history] == [2, 1]
    service.delete(path(good), version=2).expect(204)
    service.get(path(good)).expect(404)
