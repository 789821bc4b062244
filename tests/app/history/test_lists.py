"""Lists of stored rebalances that are too large to be read before they are sent."""

import re
from typing import Any

from bson import ObjectId
from pymongo import MongoClient

from app.history.complete import MOST_LIST_BYTES
from tests.harness.api import Api
from tests.harness.bodies import created, path, position
from tests.harness.raw_http import RawConnection
from tests.harness.upstreams import Upstreams

POSITIONS = 100
RECEIVE_BUFFER = 64 * 1024
PATIENCE_SECONDS = 120
"""For the list to be collected on a busy machine."""
BEYOND_BYTES = 12 * 1024 * 1024
"""More than the kernel and the server hold of a response that nobody reads."""


def test_a_list_that_cannot_be_completed_ends_without_its_last_chunk(
    standard: Api, upstreams: Upstreams, mongodb_url: str, shared_database_name: str
) -> None:
    """A client notices that a list is incomplete if a rebalance is deleted after much of the list was sent."""
    securities = upstreams.securities(POSITIONS)
    portfolio = upstreams.portfolio()
    positions = [position(each, "0.005", "0.02", "0.02") for each in securities]
    model = created(standard, positions=positions, portfolios=[portfolio])
    small, large = (standard.post(path(model, "/rebalance")).expect(200).body[0]["rebalanceId"] for _ in range(2))
    one = len(standard.get(f"/rebalance/{large}").expect(200).text)
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        _enlarge(client[shared_database_name]["rebalances"], ObjectId(large), (MOST_LIST_BYTES + BEYOND_BYTES) // one)
    body = f'{{"portfolios": ["{portfolio}"]}}'.encode()
    with RawConnection(standard.url.removesuffix("/api/v1"), RECEIVE_BUFFER, PATIENCE_SECONDS) as connection:
        connection.request("POST", "/api/v1/rebalances/portfolios", body, Content_Type="application/json")
        begun = connection.response()
        assert (begun.status, begun.headers["transfer-encoding"]) == (200, "chunked")
        standard.delete(f"/rebalance/{small}", version=1).expect(200)
        received = connection.all_bytes()
    assert len(received) > MOST_LIST_BYTES
    assert small.encode() not in received
    assert not received.endswith(b"0\r\n\r\n")
    listed = standard.post("/rebalances/portfolios", {"portfolios": [portfolio]}).expect(200)
    assert set(re.findall(r'"rebalanceId":"(\w+)"', listed.text)) == {large}


def _enlarge(stored: Any, rebalance: ObjectId, portfolios: int) -> None:
    """Store copies of the only portfolio of a rebalance."""
    [first] = stored.find({"_id.rebalanceId": rebalance})
    stored.insert_many({**first, "_id": {"rebalanceId": rebalance, "place": place}} for place in range(1, portfolios))
    stored.update_one({"_id": rebalance}, {"$set": {"numberOfPortfolios": portfolios}})
