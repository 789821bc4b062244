"""Thousands of orders under random faults and kills: `./run test -m slow -s tests/app/orders/test_campaign.py`.

`CAMPAIGN_SEED` repeats a run as far as the machine's timing allows, `CAMPAIGN_REBALANCES` makes it longer.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from integrations.simulator import (
    Creation,
    Delay,
    ErrorStatus,
    Fault,
    Garbage,
    Hang,
    OrderFault,
    OrderResponse,
    Reset,
)
from tests.harness.faults import ORDER_POST, ORDER_QUERY, POST_FAULTS, QUERY_FAULTS
from tests.harness.killable import KillableService, Surroundings, surroundings
from tests.harness.ordering import check_created, statuses

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SEED = int(os.environ.get("CAMPAIGN_SEED", "1"))
REBALANCES = int(os.environ.get("CAMPAIGN_REBALANCES", "17"))
PORTFOLIOS, REQUESTED, SELLS, BUYS = 10, 9, 4, 10
"""Of a rebalance: its portfolios, those whose orders are requested, and the trades of each."""
LATER_SECONDS = 0.15
"""Well within the quiet time, as the guarantee presupposes."""

FAULTS: tuple[OrderFault | ErrorStatus | Reset | Garbage | Delay | Hang, ...] = (
    *(OrderFault(responds=responds, creates=creates, every=every, later_seconds=LATER_SECONDS)
      for responds in (OrderResponse.CUT_BEFORE, OrderResponse.CUT_DURING, OrderResponse.MINUS_ONE, OrderResponse.SHORT,
                       OrderResponse.FAILURE, OrderResponse.ERROR)
      for creates in Creation
      for every in (1, 2)),
    OrderFault(responds=OrderResponse.CUT_AFTER),
    OrderFault(responds=OrderResponse.OVERLOAD),
    OrderFault(responds=OrderResponse.HANG),
    OrderFault(delay_seconds=0.5),
    OrderFault(delay_seconds=1.2),
    *(row.fault for row in POST_FAULTS if not isinstance(row.fault, OrderFault)),
    *QUERY_FAULTS.values(),
    Delay(seconds=0.5, route=ORDER_QUERY),
)  # fmt: skip


def drawn_faults(draw: random.Random) -> list[Fault]:
    """Draw some faults, each for a few calls; an order is never delayed or hidden for good."""
    chosen = draw.sample(FAULTS, draw.randint(1, 5))
    return [replace(fault, calls=draw.randint(1, 3), rate=draw.choice((0.5, 1.0))) for fault in chosen]


def kills(around: Surroundings, services: list[KillableService]) -> dict[str, Callable[[], None]]:
    """Return the kills by name, each of which ends when its victim is back."""
    first, second = services

    def freeze() -> None:
        worker = first.freeze()
        time.sleep(2.5)
        worker.resume()

    return {
        "first worker": first.kill_worker,
        "second worker": second.kill_worker,
        "second service": second.kill,
        "mongod": lambda: around.restart_mongod(0.3),
        "freeze": freeze,
    }


class Callers(threading.Thread):
    """Callers that request every rebalance several times from both services, whatever they get."""

    def __init__(self, services: list[KillableService], requests: dict[str, list[str]], seed: int) -> None:
        super().__init__(daemon=True)
        self._services, self._requests = services, requests
        self._draw = random.Random(f"callers of {seed}")
        self.results: Counter[str] = Counter()

    def run(self) -> None:
        calls = [rebalance_id for rebalance_id in self._requests for _ in range(self._draw.randint(2, 4))]
        self._draw.shuffle(calls)
        for rebalance_id in calls:
            service = self._draw.choice(self._services)
            with suppress(httpx.HTTPError, RuntimeError):
                response = service.api.send(rebalance_id, {"portfolios": self._requests[rebalance_id]})
                self.results[str(response.status_code)] += 1
            time.sleep(self._draw.uniform(0, 2.4))


def test_no_order_is_created_twice_and_none_is_lost(tmp_path: Path) -> None:
    """While anything fails at random, every requested order is created once in the end, and no other order."""
    draw = random.Random(SEED)
    with (
        surroundings(tmp_path) as around,
        around.service(ORDER_RESPONSE_SECONDS="0.5") as first,
        around.service(ORDER_RESPONSE_SECONDS="0.5") as second,
    ):
        control, services = around.order_service, [first, second]
        requests: dict[str, list[str]] = {}
        unrequested: list[str] = []
        for _ in range(REBALANCES):
            portfolios = [control.portfolio(sells=SELLS) for _ in range(PORTFOLIOS)]
            requests[first.api.rebalance(portfolios, control.world, BUYS)] = portfolios[:REQUESTED]
            unrequested += portfolios[REQUESTED:]
        callers = Callers(services, requests, SEED)
        injected: Counter[str] = Counter()
        killed: Counter[str] = Counter()
        victims = kills(around, services)
        callers.start()
        while callers.is_alive():
            for _ in range(draw.randint(2, 6)):
                faults = drawn_faults(draw)
                injected.update(type(fault).__name__ for fault in faults)
                control.inject(*faults)
                time.sleep(draw.uniform(0.1, 0.5))
            name = draw.choice(list(victims))
            victims[name]()
            killed[name] += 1
        control.heal()
        # A caller whose call failed calls again, as the portal does.
        for rebalance_id, portfolios in requests.items():
            while first.api.send(rebalance_id, {"portfolios": portfolios}).status_code not in (200, 202):
                time.sleep(0.5)
        total: Counter[str] = Counter()
        for rebalance_id, portfolios in requests.items():
            state = first.api.finished(rebalance_id, 300)
            check_created(state, control.orders(*portfolios))
            assert (statuses(state)["REFUSED"], state["duplicates"]) == (0, 0)
            total += statuses(state)
        assert total == {"CREATED": REBALANCES * REQUESTED * (SELLS + BUYS)}
        assert control.orders(*unrequested) == []
        posts, queries = control.calls(ORDER_POST), control.calls(ORDER_QUERY)
        print(
            f"\nseed {SEED}: {total['CREATED']} orders created once by {posts} posts and {queries} queries; "
            f"faults {dict(injected)}; kills {dict(killed)}; calls {dict(callers.results)}"
        )
