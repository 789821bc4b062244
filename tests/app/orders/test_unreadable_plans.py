"""Order plans that this service did not write, or that were corrupted, affect nothing but themselves."""

import re
from typing import Any
from uuid import uuid4

from bson import Decimal128, ObjectId
from pymongo.collection import Collection

from integrations.simulator import Refuse
from tests.harness.ordering import BOUGHT, LONG_AGO, OrderingService, OrderServiceControl, repeat_at_once, statuses

type Document = dict[str, Any]

POST = {"timestamp": 1, "orders": [0], "state": "UNKNOWN", "startedAt": LONG_AGO, "endedAt": LONG_AGO}
FAULTS: dict[str, Document] = {
    "orders missing": {"orders": None},
    "orders not an array": {"orders": "none"},
    "an order that is a number": {"orders": [7]},
    "unknown state of an order": {"orders.0.state": "MAYBE"},
    "quantity a double": {"orders.0.quantity": 1.5},
    "quantity NaN": {"orders.0.quantity": Decimal128("NaN")},
    "quantity 0": {"orders.0.quantity": Decimal128("0")},
    "created without an id": {"orders.0.state": "CREATED"},
    "posts not an array": {"posts": "none"},
    "unknown state of a post": {"posts": [POST | {"timestamp": 11, "state": "MAYBE"}]},
    "post without an end": {"posts": [POST | {"timestamp": 12, "endedAt": None}]},
    "end of a post as text": {"posts": [POST | {"timestamp": 13, "endedAt": "yesterday"}]},
    "post of an order that does not exist": {"posts": [POST | {"timestamp": 14, "orders": [99]}]},
    "post of a time that no calendar has": {"posts": [POST | {"timestamp": 2**62}]},
    "cash as text": {"cash": "1"},
    "revision as text": {"revision": "1"},
    "revision at its limit": {"revision": 2**63 - 1},
    "lease start as text": {"leaseFrom": "now", "cash": None},
    "lease duration as text": {"leaseFrom": LONG_AGO, "leaseMilliseconds": "1", "cash": None},
    "creation as text": {"createdAt": "yesterday"},
    "due as text": {"due": "now", "cash": None},
    "due in an array": {"due": [LONG_AGO], "cash": None},
    "portfolio missing": {"portfolioId": None},
}


def pending(service: OrderingService, order_service: OrderServiceControl, portfolios: int = 1) -> tuple[str, list[str]]:
    """Return a rebalance whose first portfolio has a plan of PENDING orders, and its portfolios."""
    ids = [order_service.portfolio() for _ in range(portfolios)]
    rebalance_id = service.rebalance(ids, order_service.world)
    order_service.inject(Refuse())
    assert service.send(rebalance_id, {"portfolios": ids[:1]}).status_code == 202
    return rebalance_id, ids


def corrupt(plans: Collection[Document], plan_id: object, faults: Document) -> None:
    """Change fields of a stored plan; None removes one."""
    wrong = {name: value for name, value in faults.items() if value is not None}
    missing = {name: "" for name, value in faults.items() if value is None}
    update = {name: value for name, value in (("$set", wrong), ("$unset", missing)) if value}
    assert plans.update_one({"_id": plan_id}, update).modified_count == 1


def test_unreadable_plans_are_reported_once_and_keep_no_other_plan_from_being_sent(
    service: OrderingService, order_service: OrderServiceControl, plans: Collection[Document]
) -> None:
    """All of them are due before any other plan; each is 409 for who requests it, and none is sent."""
    rebalance_id, [portfolio] = pending(service, order_service)
    template = plans.find_one({"portfolioId": portfolio})
    assert template is not None
    failures = service.metric("order_generation_order_failures_total")
    foreign: list[ObjectId] = []
    portfolios: list[str] = []
    for number, faults in enumerate(FAULTS.values()):
        other, portfolio_id = ObjectId(), uuid4().hex[:24]
        copied = {"_id": f"{other}/{portfolio_id}", "rebalanceId": other, "portfolioId": portfolio_id, "due": LONG_AGO}
        # Nobody works on a draft, so that it is corrupt before anybody does; not one that could be discarded.
        plans.insert_one(template | copied | {"sequence": number + 1, "draft": "none"})
        corrupt(plans, copied["_id"], {**faults, "draft": None})
        foreign.append(other)
        portfolios.append(portfolio_id)
    order_service.heal()
    repeat_at_once(plans, rebalance_id)
    assert statuses(service.finished(rebalance_id)) == {"CREATED": BOUGHT}
    fresh = service.rebalance([order_service.portfolio()], order_service.world)
    assert service.send(fresh).json()["created"] == BOUGHT
    for other, name in zip(foreign, FAULTS, strict=True):
        response = service.call("GET", f"/rebalance/{other}/orders")
        assert (response.status_code, response.json()["error"]["code"]) == (409, "DOCUMENT_UNREADABLE"), name
        assert response.json()["error"]["details"]["kind"] == "order plan"
        assert len(re.findall(f"Unreadable document.*order_plans.*{other}/", service.log.read_text())) == 1, name
    assert order_service.orders(*portfolios) == []
    assert service.metric("order_generation_order_failures_total") == failures
    counted = 'order_generation_unreadable_documents_total{collection="order_plans"}'
    assert service.metric(counted) >= len(FAULTS)


def test_a_request_beside_an_unreadable_plan_of_its_rebalance_plans_nothing(
    service: OrderingService, order_service: OrderServiceControl, plans: Collection[Document]
) -> None:
    """The error names the plan; the rebalance cannot be deleted; once the plan is repaired, its orders are sent."""
    rebalance_id, portfolios = pending(service, order_service, 2)
    plan_id = f"{rebalance_id}/{portfolios[0]}"
    corrupt(plans, plan_id, {"orders.0.state": "MAYBE"})
    order_service.heal()
    for body in (None, {"portfolios": portfolios[1:]}, {"submit": True}):
        response = service.send(rebalance_id, body)
        assert (response.status_code, response.json()["error"]["code"]) == (409, "DOCUMENT_UNREADABLE")
        assert response.json()["error"]["details"]["id"] == plan_id
    assert plans.count_documents({"rebalanceId": ObjectId(rebalance_id)}) == 1
    assert order_service.orders(*portfolios) == []
    deleted = service.call("DELETE", f"/rebalance/{rebalance_id}?version=1")
    assert (deleted.status_code, deleted.json()["error"]["code"]) == (409, "ORDERS_SENT")
    corrupt(plans, plan_id, {"orders.0.state": "PENDING"})
    repeat_at_once(plans, rebalance_id)
    assert service.send(rebalance_id).status_code in (200, 202)
    assert service.finished(rebalance_id)["created"] == 2 * BOUGHT


def test_another_rebalance_of_the_portfolio_of_an_unreadable_plan_is_rejected(
    service: OrderingService, order_service: OrderServiceControl, plans: Collection[Document]
) -> None:
    """Nothing is sent on a guess: its orders may be unfinished, or may have been sent later."""
    rebalance_id, [portfolio] = pending(service, order_service)
    plan_id = f"{rebalance_id}/{portfolio}"
    order_service.heal()
    repeat_at_once(plans, rebalance_id)
    service.finished(rebalance_id)
    later = service.rebalance([portfolio], order_service.world)
    corrupt(plans, plan_id, {"orders": "none", "open": True})
    assert service.send(later).json()["error"]["code"] == "SUPERSEDED"
    for faults in ({"lastSentAt": "yesterday"}, {"rebalanceId": "none"}, {"sequence": "1"}):
        corrupt(plans, plan_id, faults)
        response = service.send(later)
        assert (response.status_code, response.json()["error"]["code"]) == (409, "DOCUMENT_UNREADABLE")
    assert len(order_service.orders(portfolio)) == BOUGHT


def test_a_plan_that_does_not_name_its_rebalance_is_not_sent_again(
    service: OrderingService, order_service: OrderServiceControl, plans: Collection[Document]
) -> None:
    """Its id alone keeps the same orders from being planned a second time."""
    rebalance_id, [portfolio] = pending(service, order_service)
    order_service.heal()
    repeat_at_once(plans, rebalance_id)
    service.finished(rebalance_id)
    corrupt(plans, f"{rebalance_id}/{portfolio}", {"rebalanceId": None, "portfolioId": uuid4().hex[:24]})
    response = service.send(rebalance_id)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "DOCUMENT_UNREADABLE")
    assert len(order_service.orders(portfolio)) == BOUGHT
