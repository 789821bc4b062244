"""Calls a service from inside of the cluster for some time, and fails if a request has no outcome in the end.

python client.py rebalance URL SECONDS     portfolios of the simulated world, with an idempotency key each
python client.py optimize URL SECONDS      portfolios in the request

A request that is cut off, as by a killed pod, is sent again with its key, as every caller of the service may do. A key
whose first request was lost is 409 until that request can no longer be stored: for the deadline and half a minute. Only
packages of the image are needed.
"""

import http.client
import json
import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from integrations.simulator import SimulatorSettings
from integrations.simulator.world import World

USERS = 4
OUTCOME_SECONDS = 150.0
"""For a request, longer than a lost key is in progress."""
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 30.0


class Client:
    """Sends requests to one service and counts what became of them."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self.seen: Counter[str] = Counter()

    def call(self, path: str, body: Callable[[], object] = lambda: None) -> Any:
        """Send a POST request until it has an outcome, and return the body of the response.

        Args:
            path: below `/api/v1`.
            body: makes the body of each attempt.

        Raises:
            RuntimeError: if the service rejects it, or it has no outcome in time.
        """
        headers = {"Content-Type": "application/json"}
        if path.endswith("/rebalance"):
            headers["Idempotency-Key"] = uuid.uuid4().hex
        end = time.monotonic() + OUTCOME_SECONDS
        while time.monotonic() < end:
            connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_SECONDS)
            try:
                content = body()
                text = None if content is None else json.dumps(content)
                connection.request("POST", f"/api/v1{path}", text, headers)
                response = connection.getresponse()
                status, received = response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                self.seen[type(error).__name__] += 1
                time.sleep(PAUSE_SECONDS)
                continue
            finally:
                connection.close()
            self.seen[str(status)] += 1
            if status < 400:
                return json.loads(received)
            # Being computed still, or a pod that cannot serve: both are worth another attempt.
            if status not in {409, 503}:
                raise RuntimeError(f"{path}: {status} {received[:500]!r}")
            time.sleep(PAUSE_SECONDS)
        raise RuntimeError(f"{path} has no outcome: {dict(self.seen)}")


def rebalancing(client: Client) -> Callable[[], None]:
    """Return a call that rebalances a new model of three portfolios and checks that every one is completed."""
    world = World(SimulatorSettings())

    def once() -> None:
        first = random.randrange(9_000)
        positions = [
            {"securityId": each, "target": "0.095", "highDrift": "0.05", "lowDrift": "0.05"}
            for each in world.priced_security_ids()[:10]
        ]
        model = {"portfolios": world.portfolio_ids(first, 3), "positions": positions}
        # An attempt that was cut off may have created its model, so each has a name of its own.
        created = client.call("/models", lambda: model | {"name": uuid.uuid4().hex})
        portfolios = client.call(f"/model/{created['modelId']}/rebalance")
        assert [each["status"] for each in portfolios] == ["COMPLETED"] * 3, portfolios

    return once


def optimizing(client: Client) -> Callable[[], None]:
    """Return a call that has 200 portfolios of 50 securities computed and checks that every one is completed."""
    securities = [f"S{number}" for number in range(50)]
    positions = [{"securityId": each, "target": "0.019", "highDrift": "0.1", "lowDrift": "0.1"} for each in securities]
    prices = [{"securityId": each, "price": str(10 + place)} for place, each in enumerate(securities)]
    portfolios = [{"portfolioId": f"P{number}", "cash": str(500_000 + number), "holdings": []} for number in range(200)]

    def once() -> None:
        body = {"positions": positions, "prices": prices, "portfolios": portfolios}
        computed = client.call("/optimizations", lambda: body)
        assert [each["status"] for each in computed] == ["COMPLETED"] * 200

    return once


def main() -> None:
    """Run some users for some time and print what they saw."""
    kind, url, seconds = sys.argv[1:]
    client = Client(url)
    once = {"rebalance": rebalancing, "optimize": optimizing}[kind](client)
    failures: list[Exception] = []
    end = time.monotonic() + float(seconds)

    def use() -> None:
        try:
            while time.monotonic() < end:
                once()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run has failed
            failures.append(error)

    users = [threading.Thread(target=use) for _ in range(USERS)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    print(json.dumps(client.seen), *failures, sep="\n", flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
