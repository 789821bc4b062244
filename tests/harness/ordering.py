"""A service that sends orders, on a real database and a simulated Order Service, and the oracle of what was created."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import httpx
import msgspec
import psutil
from bson import ObjectId
from pymongo.collection import Collection

from app.commands.stack import running_service_process
from integrations.simulator import Fault, Service, SimulatorSettings, SimulatorUrls, World
from tests.harness.api import PATIENCE_SECONDS

type Json = Any

FAST: Mapping[str, str] = {
    "ORDERS_ENABLED": "true",
    "ORDER_SERVICE_TIMEOUT_SECONDS": "0.8",
    "ORDER_LEASE_SECONDS": "1.6",
    "ORDER_QUIET_SECONDS": "0.5",
    "ORDER_QUERY_INTERVAL_SECONDS": "0.1",
    "ORDER_SWEEP_SECONDS": "0.2",
    "ORDER_RESPONSE_SECONDS": "6",
    "EXTERNAL_SERVICE_RETRIES": "0",
    "CIRCUIT_BREAKER_FAILURES": "1000",
    "CIRCUIT_BREAKER_RESET_SECONDS": "0.3",
    "SOLVER_PROCESSES": "1",
    "PRICE_CACHE_TTL_SECONDS": "600",
    "LOG_LEVEL": "INFO",
}
"""Durations that are a fiftieth of the defaults, in the same order."""

CASH = "1000000"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
_POSTED = ("portfolioId", "orderTypeId", "securityId", "quantity", "blotterId", "version")
BOUGHT = 4
"""Positions of a model: one portfolio has as many BUYs, and the same number of SELLs if it holds others."""


class OrderServiceControl:
    """The simulated Order Service: its faults and everything that it created."""

    def __init__(self, urls: SimulatorUrls) -> None:
        self.urls = urls
        self.world = World(SimulatorSettings(price_spread=Decimal(0)))
        self._client = httpx.Client(base_url=f"{urls.control}/control", timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        self._client.close()

    def inject(self, *faults: Fault) -> None:
        """Replace the faults of the Order Service."""
        self._request("PUT", f"/faults/{Service.ORDER}", faults)

    def heal(self) -> None:
        """Remove every fault."""
        self._request("DELETE", "/faults")

    def orders(self, *portfolio_ids: str) -> list[Json]:
        """Return every created order of these portfolios."""
        created = self._client.get("/orders").raise_for_status().json()
        return [order for order in created if order["portfolioId"] in portfolio_ids]

    def calls(self, route: str) -> int:
        """Return how many calls of a route arrived since the last `forget_calls`."""
        routes = self._client.get("/calls").raise_for_status().json()["routes"]
        return sum(each["count"] for each in routes if each["route"] == route)

    def await_calls(self, route: str, count: int, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until a route has received this many calls."""
        until = time.monotonic() + seconds
        while self.calls(route) < count:
            assert time.monotonic() < until, f"{route} has received only {self.calls(route)} of {count} calls"
            time.sleep(0.01)

    def forget_calls(self) -> None:
        self._request("DELETE", "/calls")

    def portfolio(self, *, sells: int = 0, cash: str = CASH) -> str:
        """Return a new portfolio with cash, and holdings outside the model that a rebalance sells."""
        portfolio_id = uuid4().hex[:24]
        held = self.world.priced_security_ids()[-1 - sells : -1]
        rows = [{"securityId": each, "quantity": "10"} for each in held]
        self._request("PUT", f"/portfolios/{portfolio_id}", {"name": None, "cash": cash, "holdings": rows})
        return portfolio_id

    def put_holding(self, portfolio_id: str, security_id: str, quantity: str, *, cash: str) -> None:
        """Make a portfolio hold exactly this."""
        rows = [{"securityId": security_id, "quantity": quantity}]
        self._request("PUT", f"/portfolios/{portfolio_id}", {"name": None, "cash": cash, "holdings": rows})

    def create_again(self, orders: Sequence[Json], microseconds: int) -> None:
        """Create copies of orders with this timestamp, as the Order Service does with a post that it had queued."""
        moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
        fresh = {"statusId": 1, "orderTimestamp": f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"}
        posts = [{name: order[name] for name in _POSTED} | fresh for order in orders]
        httpx.post(f"{self.urls.order}/api/v1/orders", json=posts).raise_for_status()

    def correlation_ids(self) -> set[str | None]:
        """Return the correlation ids of the last calls that any simulated service received."""
        last = self._client.get("/calls").raise_for_status().json()["last"]
        return {call["correlationId"] for call in last if call["service"] == Service.ORDER}

    def _request(self, method: str, path: str, body: object = None) -> None:
        content = None if body is None else msgspec.json.encode(body)
        self._client.request(method, path, content=content).raise_for_status()


class OrderingService:
    """A running service, and what a caller does with it."""

    def __init__(self, url: str, process: psutil.Process, log: Path) -> None:
        self.url = url
        self.process = process
        self.log = log
        self._client = httpx.Client(base_url=f"{url}/api/v1", timeout=PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def call(self, method: str, path: str, body: Json = None, **headers: str) -> httpx.Response:
        """Call a path below `/api/v1`."""
        spelled = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.request(method, path, json=body, headers=spelled)

    def rebalance(self, portfolio_ids: Sequence[str], world: World, positions: int = BOUGHT) -> str:
        """Create a model of these portfolios, rebalance it and return the rebalance's id."""
        target = Decimal("0.95") / positions // Decimal("0.005") * Decimal("0.005")
        model = {
            "name": f"orders {uuid4().hex}",
            "positions": [
                {"securityId": each, "target": f"{target}", "highDrift": "0.1", "lowDrift": "0.1"}
                for each in world.priced_security_ids()[:positions]
            ],
            "portfolios": list(portfolio_ids),
        }
        created = self.call("POST", "/models", model)
        assert created.status_code == 201, created.text
        path = f"/model/{created.json()['modelId']}/rebalance"
        rebalanced = self.call("POST", path)
        for _ in range(4):
            if rebalanced.status_code == 503:  # the database was too slow on a busy machine
                rebalanced = self.call("POST", path)
        assert rebalanced.status_code == 200, rebalanced.text
        return str(rebalanced.json()[0]["rebalanceId"])

    def send(self, rebalance_id: str, body: Json = None, **headers: str) -> httpx.Response:
        """Request the orders of a rebalance."""
        return self.call("POST", f"/rebalance/{rebalance_id}/orders", body, **headers)

    def metric(self, name: str) -> float:
        """Return the value of one of the service's metrics, by its name with labels."""
        lines = self._client.get(f"{self.url}/metrics").raise_for_status().text.splitlines()
        return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))

    def state(self, rebalance_id: str) -> Json:
        """Return the state of the orders of a rebalance."""
        response = self.call("GET", f"/rebalance/{rebalance_id}/orders")
        assert response.status_code == 200, response.text
        return response.json()

    def until(self, rebalance_id: str, reached: Callable[[Json], bool], seconds: float = PATIENCE_SECONDS) -> Json:
        """Wait until the state satisfies a condition, and return it."""
        until = time.monotonic() + seconds
        while True:
            try:
                state = self.state(rebalance_id)
                if reached(state):
                    return state
            except (httpx.HTTPError, AssertionError):
                state = None
            assert time.monotonic() < until, f"not reached: {state}"
            time.sleep(0.05)

    def finished(self, rebalance_id: str, seconds: float = PATIENCE_SECONDS) -> Json:
        """Wait until every order has an outcome, and return the state."""
        return self.until(rebalance_id, lambda state: not state["pending"] and not state["unknown"], seconds)

    def send_from_many(self, rebalance_id: str, callers: int) -> None:
        """Request the orders of a rebalance from many callers at once, whatever each of them gets."""

        def send(_: int) -> None:
            with contextlib.suppress(httpx.HTTPError):
                self.send(rebalance_id)

        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(send, range(callers)))

    def is_ready(self) -> bool:
        """Return whether the service is ready."""
        try:
            return self._client.get(f"{self.url}/health/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def worker(self) -> psutil.Process:
        """Return the process that serves HTTP."""
        return next(child for child in self.process.children() if child.status() != psutil.STATUS_ZOMBIE)


@contextmanager
def ordering_service(environment: Mapping[str, str], directory: Path, **settings: str) -> Iterator[OrderingService]:
    """Run a service for as long as the block lasts."""
    log = directory / f"service-{uuid4().hex}.log"
    with (
        running_service_process({**environment, **settings}, log) as (url, process),
        OrderingService(url, psutil.Process(process.pid), log) as service,
    ):
        yield service


def repeat_at_once(plans: Collection[Json], rebalance_id: str) -> None:
    """Have posts that clearly created nothing repeated now, instead of after the usual seconds."""
    plans.update_many(
        {"rebalanceId": ObjectId(rebalance_id), "retryAt": {"$exists": True}},
        {"$set": {"due": LONG_AGO}, "$unset": {"retryAt": ""}},
    )


def statuses(state: Json) -> Counter[str]:
    """Count the orders of a state by status."""
    return Counter(order["status"] for portfolio in state["portfolios"] for order in portfolio["orders"])


def check_created(state: Json, created: Sequence[Json]) -> None:
    """Check that the Order Service has exactly the orders that the state shows as created: none twice, none lost."""
    expected = Counter(
        (portfolio["portfolioId"], order["securityId"], order["transactionType"], Decimal(str(order["quantity"])))
        for portfolio in state["portfolios"]
        for order in portfolio["orders"]
        if order["status"] in ("CREATED", "SUBMITTED")
    )
    actual = Counter(
        (
            order["portfolioId"],
            order["securityId"],
            {1: "BUY", 2: "SELL"}[order["orderTypeId"]],
            Decimal(str(order["quantity"])),
        )
        for order in created
    )
    assert actual == expected, f"too many: {actual - expected}, missing: {expected - actual}"
    assert state["created"] == sum(expected.values())
    ids = {order["orderId"] for portfolio in state["portfolios"] for order in portfolio["orders"] if order["orderId"]}
    assert ids == {order["id"] for order in created}
