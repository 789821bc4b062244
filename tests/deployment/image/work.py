"""What the tests have the service do: models of the simulated world, rebalances, and many of them at a time."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import httpx

from integrations.simulator import SimulatorSettings
from integrations.simulator.world import World

WORLD = World(SimulatorSettings())
TIMEOUT_SECONDS = 85


def create_model(url: str, portfolios: int, positions: int, first: int = 0) -> str:
    """Create a model of the first securities and some portfolios, and return its id."""
    target = int(0.95 / positions / 0.005) * 0.005
    model = {
        "name": f"image test {time.time_ns()}",
        "portfolios": WORLD.portfolio_ids(first, portfolios),
        "positions": [
            {"securityId": security_id, "target": f"{target:.3f}", "highDrift": "0.02", "lowDrift": "0.02"}
            for security_id in WORLD.priced_security_ids()[:positions]
        ],
    }
    created = httpx.post(f"{url}/api/v1/models", json=model, timeout=TIMEOUT_SECONDS)
    assert created.status_code == 201, created.text
    return str(created.json()["modelId"])


def rebalance(url: str, model_id: str) -> Counter[str]:
    """Rebalance a model and return how many portfolios have which status."""
    response = httpx.post(f"{url}/api/v1/model/{model_id}/rebalance", timeout=TIMEOUT_SECONDS)
    assert response.status_code == 200, response.text
    return Counter(portfolio["status"] for portfolio in response.json())


def metric(url: str, name: str) -> float:
    """Return the sum of the samples of a metric without labels."""
    lines = httpx.get(f"{url}/metrics", timeout=TIMEOUT_SECONDS).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def is_solving(url: str) -> bool:
    """Return whether a solver process is at work or portfolios wait for one."""
    return metric(url, "order_generation_solver_busy") + metric(url, "order_generation_solver_queue_depth") > 0


@contextmanager
def in_background[T](call: Callable[[], T]) -> Iterator[Future[T]]:
    """Run a call beside the block."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool.submit(call)


@contextmanager
def under_load(url: str, model_id: str, users: int) -> Iterator[Counter[int]]:
    """Have some users rebalance and read a model for as long as the block lasts; count the statuses, 0 for none."""
    seen: Counter[int] = Counter()
    ended = Event()

    def use() -> None:
        with httpx.Client(base_url=f"{url}/api/v1", timeout=TIMEOUT_SECONDS) as client:
            while not ended.is_set():
                for method, path in (("POST", f"/model/{model_id}/rebalance"), ("GET", f"/model/{model_id}")):
                    try:
                        seen[client.request(method, path).status_code] += 1
                    except httpx.TransportError:
                        seen[0] += 1

    with ThreadPoolExecutor(max_workers=users) as pool:
        running = [pool.submit(use) for _ in range(users)]
        try:
            yield seen
        finally:
            ended.set()
    for user in running:
        user.result()
