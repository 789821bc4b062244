"""A service that does not send orders, as by default: it rejects requests for them and shows those that exist."""

from collections.abc import Iterator
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from pymongo import MongoClient
from pymongo.collection import Collection

from tests.app.conftest import Environment
from tests.harness.api import Api, Json
from tests.harness.bodies import created, position
from tests.harness.ordering import LONG_AGO
from tests.harness.upstreams import Upstreams, fresh_id


@pytest.fixture
def plans(environment: Environment) -> Iterator[Collection[dict[str, Any]]]:
    """The collection of order plans, which is empty after the test."""
    with MongoClient[dict[str, Any]](environment["MONGODB_URL"]) as client:
        plans = client[environment["DATABASE_NAME"]]["order_plans"]
        yield plans
        plans.delete_many({})


def test_a_request_is_rejected_before_anything_else_is_checked(
    api: Api, upstreams: Upstreams, plans: Collection[dict[str, Any]]
) -> None:
    """Without ORDERS_ENABLED it is 403, whatever its body, and nothing is planned."""
    securities, portfolios = upstreams.securities(1), [upstreams.portfolio()]
    model_id = created(api, positions=[position(securities[0])], portfolios=portfolios)["modelId"]
    rebalance_id = api.post(f"/model/{model_id}/rebalance").expect(200).body[0]["rebalanceId"]
    bodies: tuple[Json, ...] = (None, {"portfolios": []}, {"submit": True})
    for body in bodies:
        api.post(f"/rebalance/{rebalance_id}/orders", body).expect(403, "ORDERS_DISABLED")
    api.post(f"/rebalance/{ObjectId()}/orders").expect(403, "ORDERS_DISABLED")
    api.get(f"/rebalance/{rebalance_id}/orders").expect(404, "NOT_FOUND")
    assert plans.count_documents({"rebalanceId": ObjectId(rebalance_id)}) == 0
    api.delete(f"/rebalance/{rebalance_id}?version=1").expect(200)


def test_orders_of_another_time_are_shown(api: Api, plans: Collection[dict[str, Any]]) -> None:
    """The state is that of a service which sends orders."""
    rebalance_id, portfolio_id, security_ids = ObjectId(), fresh_id(), [fresh_id() for _ in range(2)]
    order = {"ticker": "T", "side": "SELL", "price": Decimal128("2"), "message": None, "absences": 0, "duplicates": []}
    plans.insert_one(
        {
            "_id": f"{rebalance_id}/{portfolio_id}",
            "rebalanceId": rebalance_id,
            "portfolioId": portfolio_id,
            "place": 0,
            "sequence": 1,
            "orders": [
                order
                | {"securityId": security_ids[0], "quantity": Decimal128("5"), "state": "CREATED", "orderId": 7}
                | {"timestamp": 1},
                order
                | {"securityId": security_ids[1], "quantity": Decimal128("0.5"), "state": "PENDING", "orderId": None}
                | {"side": "BUY", "timestamp": None},
            ],
            "posts": [
                {"timestamp": 1, "orders": [0], "state": "CLOSED", "startedAt": LONG_AGO, "endedAt": LONG_AGO}
                | {"queriedAt": None, "missedAt": None}
            ],
            "cash": Decimal128("1"),
            "feeRate": Decimal128("0"),
            "feePerOrder": Decimal128("0"),
            "submit": False,
            "submissions": 0,
            "correlationId": "c",
            "createdAt": LONG_AGO,
            "updatedAt": LONG_AGO,
            "revision": 3,
            "failures": 0,
            "open": True,
            "due": LONG_AGO,
        }
    )
    state = api.get(f"/rebalance/{rebalance_id}/orders").expect(200).body
    assert (state["status"], state["total"], state["created"], state["pending"]) == ("PENDING", 2, 1, 1)
    shown = [
        (each["securityId"], each["transactionType"], str(each["quantity"]), each["status"], each["orderId"])
        for each in state["portfolios"][0]["orders"]
    ]
    assert shown == [(security_ids[0], "SELL", "5", "CREATED", 7), (security_ids[1], "BUY", "0.5", "PENDING", None)]
