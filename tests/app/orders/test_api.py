"""The API of orders: what is sent, what is rejected, and what a second call returns."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bson import ObjectId
from pymongo import MongoClient
from pymongo.collection import Collection

from integrations.simulator import Creation, Hang, OrderFault, OrderResponse, Refuse
from tests.harness.ordering import (
    BOUGHT,
    Json,
    OrderingService,
    OrderServiceControl,
    check_created,
    repeat_at_once,
    statuses,
)

POST, QUERY, SUBMIT = "POST /api/v1/orders", "GET /api/v1/orders", "POST /api/v1/orders/batch/submit"


def test_every_trade_is_sent_once_and_a_second_call_sends_nothing(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """SELLs and BUYs of each portfolio are posted, and repeating the call only returns the state."""
    seller, buyer = order_service.portfolio(sells=3), order_service.portfolio()
    rebalance_id = service.rebalance([seller, buyer], order_service.world)
    assert service.call("GET", f"/rebalance/{rebalance_id}/orders").json()["error"]["code"] == "NOT_FOUND"
    first = service.send(rebalance_id)
    assert (first.status_code, first.json()["status"], first.json()["total"]) == (200, "COMPLETED", 3 + 2 * BOUGHT)
    check_created(first.json(), order_service.orders(seller, buyer))
    assert order_service.calls(POST) == 3
    trades = service.call("GET", f"/rebalance/{rebalance_id}").json()["portfolios"][0]["positions"]
    sent = {order["securityId"]: order for order in first.json()["portfolios"][0]["orders"]}
    assert {each["securityId"] for each in trades if each["tradeQuantity"]} == set(sent)
    for each in trades:
        if each["tradeQuantity"]:
            order = sent[each["securityId"]]
            assert (order["transactionType"], order["quantity"]) == (each["transactionType"], each["tradeQuantity"])
    again = service.send(rebalance_id)
    assert (again.status_code, again.json()) == (200, first.json())
    assert service.state(rebalance_id) == first.json()
    assert (order_service.calls(POST), order_service.calls(QUERY)) == (3, 0)


def test_the_suite_s_dialect_has_the_same_fields_in_snake_case(
    service: OrderingService, portal: OrderingService, order_service: OrderServiceControl
) -> None:
    """Names are in snake_case in requests and responses."""
    portfolio = order_service.portfolio()
    rebalance_id = service.rebalance([portfolio], order_service.world)
    sent = portal.send(rebalance_id, {"portfolios": [portfolio], "submit": True}).json()
    assert sent["rebalance_id"] == rebalance_id
    assert sent["portfolios"][0]["portfolio_id"] == portfolio
    assert set(sent["portfolios"][0]["orders"][0]) == {
        "security_id", "ticker", "transaction_type", "quantity", "status", "order_id", "message"
    }  # fmt: skip
    assert statuses(sent) == {"SUBMITTED": BOUGHT}
    assert portal.send(rebalance_id, {"portfolios": []}).json()["detail"]


def test_portfolios_can_be_requested_one_by_one(service: OrderingService, order_service: OrderServiceControl) -> None:
    """Only requested portfolios are sent; the state shows all that were ever requested."""
    portfolios = [order_service.portfolio() for _ in range(3)]
    rebalance_id = service.rebalance(portfolios, order_service.world)
    one = service.send(rebalance_id, {"portfolios": [portfolios[1]]}).json()
    assert [each["portfolioId"] for each in one["portfolios"]] == [portfolios[1]]
    assert order_service.orders(portfolios[0], portfolios[2]) == []
    rest = service.send(rebalance_id).json()
    assert [each["portfolioId"] for each in rest["portfolios"]] == portfolios
    assert rest["total"] == 3 * BOUGHT
    check_created(rest, order_service.orders(*portfolios))


def test_a_failed_portfolio_and_one_without_trades_send_nothing(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """Both are shown without orders, and the call succeeds."""
    empty, fine = order_service.portfolio(cash="0"), order_service.portfolio()
    rebalance_id = service.rebalance([empty, fine], order_service.world)
    response = service.send(rebalance_id, {"portfolios": [empty]})
    assert (response.status_code, response.json()["total"], response.json()["status"]) == (200, 0, "COMPLETED")
    assert response.json()["portfolios"] == [{"portfolioId": empty, "status": "COMPLETED", "orders": []}]
    assert service.state(rebalance_id) == service.send(rebalance_id, {"portfolios": [empty]}).json() == response.json()
    assert order_service.orders(empty) == []
    assert service.call("DELETE", f"/rebalance/{rebalance_id}?version=1").status_code == 200
    assert service.call("GET", f"/rebalance/{rebalance_id}/orders").json()["error"]["code"] == "REBALANCE_NOT_FOUND"


def test_a_portfolio_without_trades_is_shown_after_those_with_orders(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """Once it was requested, GET shows it as POST does, and a repeated call changes nothing."""
    empty, fine = order_service.portfolio(cash="0"), order_service.portfolio()
    rebalance_id = service.rebalance([empty, fine], order_service.world)
    first = service.send(rebalance_id, {"portfolios": [fine]}).json()
    assert [each["portfolioId"] for each in first["portfolios"]] == [fine]
    both = service.send(rebalance_id)
    assert [each["portfolioId"] for each in both.json()["portfolios"]] == [fine, empty]
    assert (both.status_code, both.json()["total"]) == (200, BOUGHT)
    assert service.state(rebalance_id) == service.send(rebalance_id).json() == both.json()
    deleted = service.call("DELETE", f"/rebalance/{rebalance_id}?version=1")
    assert deleted.json()["error"]["code"] == "ORDERS_SENT"


def test_wrong_requests_are_rejected_before_anything_is_planned(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """Each mistake has its status and code, and nothing is sent."""
    portfolio = order_service.portfolio()
    rebalance_id = service.rebalance([portfolio], order_service.world)
    for body, status, code in (
        ({"portfolios": []}, 400, "VALIDATION_ERROR"),
        ({"portfolios": ["x"]}, 400, "VALIDATION_ERROR"),
        ({"portfolio": [portfolio]}, 400, "VALIDATION_ERROR"),
        ({"submit": "yes"}, 400, "VALIDATION_ERROR"),
        ({"portfolios": [portfolio, "0" * 24]}, 404, "PORTFOLIO_NOT_FOUND"),
    ):
        response = service.send(rebalance_id, body)
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    named = service.send(rebalance_id, {"portfolios": ["x", portfolio, "y!"], "z": 1}).json()["error"]["details"]
    assert [each["field"] for each in named["errors"]] == ["z", "portfolios[0]", "portfolios[2]"]
    assert service.send("0" * 24).json()["error"]["code"] == "REBALANCE_NOT_FOUND"
    assert service.send("nonsense").json()["error"]["code"] == "VALIDATION_ERROR"
    assert service.call("GET", f"/rebalance/{'0' * 24}/orders").json()["error"]["code"] == "REBALANCE_NOT_FOUND"
    assert order_service.orders(portfolio) == []
    assert service.call("DELETE", f"/rebalance/{rebalance_id}?version=1").status_code == 200


def test_a_browser_on_another_site_cannot_send_orders(
    service: OrderingService, portal: OrderingService, order_service: OrderServiceControl
) -> None:
    """`Sec-Fetch-Site: cross-site` is 403 unless the origin is listed by name."""
    portfolio = order_service.portfolio()
    rebalance_id = service.rebalance([portfolio], order_service.world)
    crossing = {"Sec_Fetch_Site": "cross-site", "Origin": "https://desk.example"}
    response = service.send(rebalance_id, **crossing)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "CROSS_SITE")
    assert order_service.orders(portfolio) == []
    assert portal.send(rebalance_id, Sec_Fetch_Site="cross-site", Origin="https://x.example").status_code == 403
    assert portal.send(rebalance_id, **crossing).status_code == 200
    assert service.send(rebalance_id, Sec_Fetch_Site="same-origin").status_code == 200


def test_an_old_rebalance_is_rejected_unless_its_orders_were_requested_before(
    ordering: Mapping[str, str], service: OrderingService, order_service: OrderServiceControl
) -> None:
    """The age counts when a portfolio is requested for the first time."""
    sent, unsent = order_service.portfolio(), order_service.portfolio()
    rebalance_id = service.rebalance([sent, unsent], order_service.world)
    service.send(rebalance_id, {"portfolios": [sent]})
    with MongoClient[dict[str, object]](ordering["MONGODB_URL"]) as client:
        rebalances = client[ordering["DATABASE_NAME"]]["rebalances"]
        stored = {"createdAt": datetime.now(UTC) - timedelta(hours=25)}
        rebalances.update_one({"_id": ObjectId(rebalance_id)}, {"$set": stored})
    response = service.send(rebalance_id)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "REBALANCE_TOO_OLD")
    assert service.send(rebalance_id, {"portfolios": [sent]}).status_code == 200
    assert order_service.orders(unsent) == []


def test_a_rebalance_is_superseded_by_later_or_unfinished_orders_of_its_portfolio(
    service: OrderingService, order_service: OrderServiceControl, plans: Collection[Json]
) -> None:
    """The whole call is rejected, names the portfolios, and the others can be requested by name."""
    shared, other = order_service.portfolio(), order_service.portfolio()
    older = service.rebalance([shared, other], order_service.world)
    newer = service.rebalance([shared], order_service.world)
    assert service.send(newer).status_code == 200
    response = service.send(older)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "SUPERSEDED")
    assert response.json()["error"]["details"]["portfolios"] == [
        {"portfolioId": shared, "rebalanceId": newer, "reason": "SENT_LATER"}
    ]
    assert shared in response.json()["error"]["message"]
    assert order_service.orders(other) == []
    assert service.send(older, {"portfolios": [other]}).status_code == 200
    latest = service.rebalance([shared], order_service.world)
    order_service.inject(Refuse())
    unfinished = service.rebalance([shared], order_service.world)
    assert service.send(unfinished).status_code == 202
    response = service.send(latest)
    assert response.json()["error"]["details"]["portfolios"][0]["reason"] == "UNFINISHED"
    order_service.heal()
    repeat_at_once(plans, unfinished)
    service.finished(unfinished)


def test_orders_with_outcomes_do_not_supersede_while_they_are_submitted(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """Another rebalance of the portfolio can be sent once every order is created, also if the submission hangs."""
    portfolio = order_service.portfolio()
    first = service.rebalance([portfolio], order_service.world)
    order_service.inject(Hang(route=SUBMIT, calls=1))
    with ThreadPoolExecutor(1) as pool:
        submitting = pool.submit(service.send, first, {"submit": True})
        order_service.await_calls(SUBMIT, 1)
        assert service.state(first)["created"] == BOUGHT
        second = service.rebalance([portfolio], order_service.world)
        assert service.send(second).status_code == 200
        assert submitting.result().status_code == 200


def test_of_two_rebalances_sent_at_once_one_is_superseded(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """The plan of a portfolio claims it: the other rebalance sends nothing for any of its portfolios."""
    shared, first, second = (order_service.portfolio() for _ in range(3))
    rebalances = [service.rebalance([each, shared], order_service.world) for each in (first, second)]
    with ThreadPoolExecutor(2) as pool:
        responses = list(pool.map(service.send, rebalances))
    codes = sorted(response.status_code for response in responses)
    assert codes == [200, 409]
    loser = (first, second)[[response.status_code for response in responses].index(409)]
    assert order_service.orders(loser) == []
    assert len(order_service.orders(shared)) == BOUGHT


def test_twenty_callers_at_once_send_each_order_once(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """Every caller gets the same orders, and each exists once."""
    portfolios = [order_service.portfolio(sells=2) for _ in range(3)]
    rebalance_id = service.rebalance(portfolios, order_service.world)
    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(lambda _: service.send(rebalance_id), range(20)))
    assert {response.status_code for response in responses} <= {200, 202}
    state = service.finished(rebalance_id)
    assert statuses(state) == {"CREATED": 3 * (2 + BOUGHT)}
    check_created(state, order_service.orders(*portfolios))
    assert order_service.calls(POST) == 6


def test_a_rebalance_whose_orders_were_sent_cannot_be_deleted(
    service: OrderingService, order_service: OrderServiceControl, plans: Collection[Json]
) -> None:
    """DELETE is 409, before and after the orders have outcomes."""
    rebalance_id = service.rebalance([order_service.portfolio()], order_service.world)
    order_service.inject(Refuse())
    pending = service.send(rebalance_id)
    assert (pending.status_code, statuses(pending.json())) == (202, {"PENDING": BOUGHT})
    assert {each["message"] for each in pending.json()["portfolios"][0]["orders"]} == {
        "Not created yet; the last attempt failed: connection refused."
    }
    for _ in range(2):
        response = service.call("DELETE", f"/rebalance/{rebalance_id}?version=1")
        assert (response.status_code, response.json()["error"]["code"]) == (409, "ORDERS_SENT")
        order_service.heal()
        repeat_at_once(plans, rebalance_id)
        service.finished(rebalance_id)


def test_submission_is_shown_as_the_order_service_shows_it(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """`submit` submits created orders once, also those that were created by an earlier call."""
    portfolio = order_service.portfolio(sells=1)
    rebalance_id = service.rebalance([portfolio], order_service.world)
    service.send(rebalance_id)
    submitted = service.send(rebalance_id, {"submit": True})
    assert (submitted.status_code, statuses(submitted.json())) == (200, {"SUBMITTED": 1 + BOUGHT})
    assert submitted.json()["created"] == 1 + BOUGHT
    service.send(rebalance_id, {"submit": True})
    assert [order["trades"] for order in order_service.orders(portfolio)] == [1] * (1 + BOUGHT)
    assert order_service.calls(SUBMIT) == 1


def test_refused_sells_hold_back_the_buys_that_nothing_pays_for(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """BUYs are kept in order while cash and created SELLs pay for them; the others are REFUSED with the reason."""
    world = order_service.world
    held = world.priced_security_ids()[-2:-1]
    portfolio = order_service.portfolio(sells=1, cash="300")
    order_service.put_holding(portfolio, held[0], "1000", cash="300")
    rebalance_id = service.rebalance([portfolio], world)
    order_service.inject(
        OrderFault(
            responds=OrderResponse.FAILURE, creates=Creation.NO, order_type=2, message="Quantity must be positive"
        )
    )
    state = service.send(rebalance_id).json()
    orders = state["portfolios"][0]["orders"]
    assert (orders[0]["transactionType"], orders[0]["status"]) == ("SELL", "REFUSED")
    assert {order["status"] for order in orders[1:]} <= {"REFUSED", "CREATED"}
    paid = sum(
        Decimal(str(order["quantity"])) * Decimal(world.by_id[order["securityId"]].mean or 0) / 100
        for order in orders[1:]
        if order["status"] == "CREATED"
    )
    assert paid <= 300
    refused = [order for order in orders[1:] if order["status"] == "REFUSED"]
    assert refused
    assert all("Held back" in order["message"] for order in refused)
    check_created(state, order_service.orders(portfolio))


def test_who_requested_orders_is_recorded(
    service: OrderingService, order_service: OrderServiceControl, ordering: Mapping[str, str]
) -> None:
    """The plan has the correlation id and the user, and the Order Service gets the correlation id."""
    portfolio = order_service.portfolio()
    rebalance_id = service.rebalance([portfolio], order_service.world)
    service.send(rebalance_id, X_Correlation_ID="audit-1", X_Forwarded_User="jane")
    with MongoClient[dict[str, object]](ordering["MONGODB_URL"]) as client:
        plan = client[ordering["DATABASE_NAME"]]["order_plans"].find_one({"portfolioId": portfolio})
    assert plan is not None
    assert (plan["correlationId"], plan["user"]) == ("audit-1", "jane")
    assert '"user":"jane"' in service.log.read_text()
    assert "audit-1" in order_service.correlation_ids()


def test_a_quantity_that_cannot_be_stored_is_refused_before_it_is_sent(
    service: OrderingService, order_service: OrderServiceControl
) -> None:
    """What decimal(18,8) cannot hold never reaches the Order Service."""
    world = order_service.world
    portfolio = order_service.portfolio()
    order_service.put_holding(portfolio, world.priced_security_ids()[-2], "10000000000", cash="0")
    rebalance_id = service.rebalance([portfolio], world)
    state = service.send(rebalance_id).json()
    sell = state["portfolios"][0]["orders"][0]
    assert (sell["transactionType"], sell["status"]) == ("SELL", "REFUSED")
    assert "cannot store" in sell["message"]
    assert [order for order in order_service.orders(portfolio) if order["orderTypeId"] == 2] == []
