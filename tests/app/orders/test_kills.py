"""Orders survive the death of any process at each step of their life: none is created twice, none is lost."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bson import ObjectId
from msgspec import Struct
from pymongo import MongoClient

from integrations.simulator import Creation, Delay, ErrorStatus, Fault, OrderFault, OrderResponse, Refuse
from tests.harness.killable import KillableService, Surroundings, surroundings
from tests.harness.ordering import BOUGHT, OrderServiceControl, check_created, statuses

pytestmark = pytest.mark.slow

POST, QUERY, SUBMIT = "POST /api/v1/orders", "GET /api/v1/orders", "POST /api/v1/orders/batch/submit"
SELLS = 2
HELD_SECONDS = 5.0


class Step(Struct, frozen=True):
    """A moment in the life of orders: the faults that hold it, and how it is recognised."""

    faults: tuple[Fault, ...]
    reached: Callable[[OrderServiceControl, str, Any], bool]
    submit: bool = False


NOTHING_CREATED = OrderFault(responds=OrderResponse.CUT_BEFORE, creates=Creation.NO, calls=1)
STEPS = {
    "planned": Step((Refuse(),), lambda _, __, state: bool(state["pending"] == SELLS + BOUGHT)),
    "sending, before the order is created": Step(
        (Delay(seconds=HELD_SECONDS, route=POST),), lambda control, _, __: control.calls(POST) > 0
    ),
    "sending, after the order is created": Step(
        (OrderFault(delay_seconds=HELD_SECONDS),), lambda control, portfolio, __: bool(control.orders(portfolio))
    ),
    "unknown": Step(
        (NOTHING_CREATED, ErrorStatus(status=404, route=QUERY)), lambda _, __, state: bool(state["unknown"] == SELLS)
    ),
    "being queried": Step(
        (NOTHING_CREATED, Delay(seconds=HELD_SECONDS, route=QUERY)), lambda control, _, __: control.calls(QUERY) > 0
    ),
    "absent, to be sent again": Step(
        (NOTHING_CREATED, OrderFault(responds=OrderResponse.OVERLOAD)), lambda control, _, __: control.calls(POST) > 1
    ),
    "SELLs created, BUYs to be sent": Step(
        (OrderFault(order_type=2, calls=1), OrderFault(responds=OrderResponse.OVERLOAD)),
        lambda _, __, state: bool(state["created"] == SELLS),
    ),
    "being submitted": Step(
        (Delay(seconds=HELD_SECONDS, route=SUBMIT),), lambda control, _, __: control.calls(SUBMIT) > 0, submit=True
    ),
}
VICTIMS: dict[str, Callable[[Surroundings, KillableService], None]] = {
    "worker": lambda _, service: service.kill_worker(),
    "service": lambda _, service: service.kill(),
    "mongod": lambda around, _: around.restart_mongod(),
}


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    with surroundings(tmp_path_factory.mktemp("kills")) as running:
        yield running


@pytest.fixture(scope="module")
def service(around: Surroundings) -> Iterator[KillableService]:
    with around.service(ORDER_RESPONSE_SECONDS="0.1") as running:
        yield running


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("victim", VICTIMS.values(), ids=VICTIMS)
def test_a_death_at_any_step_neither_loses_nor_repeats_an_order(
    around: Surroundings,
    service: KillableService,
    step: Step,
    victim: Callable[[Surroundings, KillableService], None],
) -> None:
    """The process is killed while the orders are at this step; once all is well again, each order exists once."""
    control = around.order_service
    control.heal()
    control.forget_calls()
    portfolio = control.portfolio(sells=SELLS)
    rebalance_id = service.api.rebalance([portfolio], control.world)
    control.inject(*step.faults)
    service.api.send(rebalance_id, {"submit": step.submit})
    service.api.until(rebalance_id, lambda state: step.reached(control, portfolio, state))
    victim(around, service)
    control.heal()
    state = service.api.finished(rebalance_id, 40)
    if step.submit:
        state = service.api.until(rebalance_id, lambda state: statuses(state)["SUBMITTED"] == SELLS + BOUGHT, 40)
    else:
        assert statuses(state) == {"CREATED": SELLS + BOUGHT}
    assert state["duplicates"] == 0
    check_created(state, control.orders(portfolio))


def test_a_process_that_stands_still_while_it_sends_does_not_repeat_what_another_has_resolved(
    around: Surroundings, service: KillableService
) -> None:
    """A second service takes over when the lease has expired; the first one wakes up and changes nothing."""
    control = around.order_service
    control.heal()
    control.forget_calls()
    portfolio = control.portfolio()
    rebalance_id = service.api.rebalance([portfolio], control.world)
    control.inject(OrderFault(delay_seconds=HELD_SECONDS))
    service.api.send(rebalance_id)
    service.api.until(rebalance_id, lambda _: len(control.orders(portfolio)) == BOUGHT)
    frozen = service.freeze()
    try:
        with around.service() as second:
            state = second.api.finished(rebalance_id, 40)
            check_created(state, control.orders(portfolio))
            frozen.resume()
            service.api.until(rebalance_id, lambda again: again == state)
            time.sleep(2)
            assert second.api.state(rebalance_id) == state
    finally:
        frozen.resume()
    check_created(state, control.orders(portfolio))
    assert control.calls(POST) == 1


def test_a_database_that_fails_after_the_plan_was_stored_does_not_fail_the_call(
    around: Surroundings, service: KillableService
) -> None:
    """The call returns the orders as they were recorded, and they continue when the database is back."""
    control = around.order_service
    control.heal()
    control.forget_calls()
    portfolio = control.portfolio(sells=SELLS)
    with around.service(ORDER_RESPONSE_SECONDS="20") as patient:
        rebalance_id = patient.api.rebalance([portfolio], control.world)
        control.inject(OrderFault(delay_seconds=HELD_SECONDS))
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(patient.api.send, rebalance_id)
            until = time.monotonic() + 20
            while not control.orders(portfolio):
                assert time.monotonic() < until
                time.sleep(0.01)
            around.mongod.kill()
            response = sending.result()
            around.mongod.restart()
        assert (response.status_code, response.json()["total"]) == (202, SELLS + BOUGHT)
        control.heal()
        check_created(patient.api.finished(rebalance_id, 40), control.orders(portfolio))


def test_many_callers_and_a_killed_worker_send_each_order_once(around: Surroundings, service: KillableService) -> None:
    """The callers that lost their connection call again and get the orders that the first call planned."""
    control = around.order_service
    control.heal()
    control.forget_calls()
    portfolios = [control.portfolio(sells=SELLS) for _ in range(5)]
    rebalance_id = service.api.rebalance(portfolios, control.world)
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(service.api.send_from_many, rebalance_id, 10)
        control.await_calls(POST, 1)
        service.kill_worker()
        calling.result()
    service.api.send_from_many(rebalance_id, 10)
    state = service.api.finished(rebalance_id, 40)
    check_created(state, control.orders(*portfolios))
    assert statuses(state) == {"CREATED": 5 * (SELLS + BOUGHT)}


def test_a_service_that_must_not_send_still_resolves_what_was_sent(around: Surroundings) -> None:
    """Without ORDERS_ENABLED, UNKNOWN orders are queried, PENDING ones wait for a service that sends."""
    control = around.order_service
    control.heal()
    control.forget_calls()
    portfolio = control.portfolio(sells=SELLS)
    with around.service(DATABASE_NAME="disabled") as sending:
        rebalance_id = sending.api.rebalance([portfolio], control.world)
        control.inject(OrderFault(responds=OrderResponse.CUT_BEFORE, calls=1), ErrorStatus(status=404, route=QUERY))
        sending.api.send(rebalance_id)
        sending.api.until(rebalance_id, lambda state: bool(state["unknown"] == SELLS))
    control.heal()
    with around.service(DATABASE_NAME="disabled", ORDERS_ENABLED="false") as reading:
        state = reading.api.until(rebalance_id, lambda state: not state["unknown"])
        assert statuses(state) == {"CREATED": SELLS, "PENDING": BOUGHT}
        assert reading.api.send(rebalance_id).status_code == 403
        await_revisions(around, rebalance_id, 3)
        assert control.calls(POST) == 1
    with around.service(DATABASE_NAME="disabled") as sending:
        check_created(sending.api.finished(rebalance_id), control.orders(portfolio))
    assert control.calls(POST) == 2


def await_revisions(around: Surroundings, rebalance_id: str, count: int) -> None:
    """Wait until the only plan of a rebalance was worked on this many times more."""
    with MongoClient[dict[str, Any]](around.mongod.url) as client:
        plans, wanted = client["disabled"]["order_plans"], {"rebalanceId": ObjectId(rebalance_id)}

        def revision() -> int:
            plan = plans.find_one(wanted)
            assert plan is not None
            return int(plan["revision"])

        first, until = revision(), time.monotonic() + 60
        while revision() < first + count:
            assert time.monotonic() < until
            time.sleep(0.05)
