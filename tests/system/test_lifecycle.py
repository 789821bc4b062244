"""Stopping and replacing instances while they work."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from app.commands.stack import Stack, running_service_process, running_stack
from integrations.simulator import SimulatorSettings, World
from tests.harness.api import PATIENCE_SECONDS
from tests.harness.balancer import Balancer, running_balancer
from tests.harness.service import until

WORLD = World(SimulatorSettings())


def create_model(service_url: str, portfolios: int) -> str:
    model = {
        "name": f"Lifecycle {time.monotonic_ns()}",
        "positions": [
            {"securityId": each, "target": "0.095", "highDrift": "0.02", "lowDrift": "0.02"}
            for each in WORLD.priced_security_ids()[:10]
        ],
        "portfolios": WORLD.portfolio_ids(0, portfolios),
    }
    response = httpx.post(f"{service_url}/api/v1/models", json=model, timeout=PATIENCE_SECONDS).raise_for_status()
    model_id: str = response.json()["modelId"]
    return model_id


@contextmanager
def slow_stack(mongodb_url: str, log: Path, seconds: float, **settings: str) -> Iterator[Stack]:
    """A stack whose Portfolio Accounting takes its time."""
    with running_stack(log=log, mongodb_url=mongodb_url, settings=settings) as stack:
        faults = [{"fault": "delay", "seconds": seconds}]
        control = f"{stack.simulator.control}/control"
        httpx.put(f"{control}/faults/portfolio-accounting", json=faults, timeout=PATIENCE_SECONDS).raise_for_status()
        yield stack


def await_upstream_call(stack: Stack) -> None:
    """Wait until the request under way has called Portfolio Accounting."""
    calls = f"{stack.simulator.control}/control/calls"
    with httpx.Client(timeout=PATIENCE_SECONDS) as client:
        until(lambda: "portfolio-accounting" in client.get(calls).text)


def refuses_connections(url: str) -> bool:
    """Return whether nothing listens at the URL."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), PATIENCE_SECONDS).close()
    except ConnectionRefusedError:
        return True
    return False


class InBackground(threading.Thread):
    """A request on its way while the test goes on."""

    def __init__(self, method: str, url: str) -> None:
        super().__init__()
        self.method, self.url = method, url
        self.response: httpx.Response | None = None
        self.start()

    def run(self) -> None:
        try:
            self.response = httpx.request(self.method, self.url, timeout=PATIENCE_SECONDS)
        except httpx.TransportError:
            self.response = None


def test_a_rebalance_under_way_is_finished_and_stored_before_the_server_stops(mongodb_url: str, tmp_path: Path) -> None:
    """After SIGTERM new connections are refused, and the running request completes."""
    with slow_stack(mongodb_url, tmp_path / "log", 2.0) as stack:
        model_id = create_model(stack.service_url, 3)
        request = InBackground("POST", f"{stack.service_url}/api/v1/model/{model_id}/rebalance")
        await_upstream_call(stack)
        stack.service.send_signal(signal.SIGTERM)
        until(lambda: refuses_connections(stack.service_url))
        request.join()
        assert stack.service.wait(PATIENCE_SECONDS) == 0
        assert request.response is not None
        assert request.response.status_code == 200
        assert [each["status"] for each in request.response.json()] == ["COMPLETED"] * 3


def test_an_interrupt_that_is_repeated_at_the_terminal_cuts_nothing_off(mongodb_url: str, tmp_path: Path) -> None:
    """It reaches every process of the group: the server, its worker and the solver processes."""
    with slow_stack(mongodb_url, tmp_path / "log", 2.0) as stack:
        model_id = create_model(stack.service_url, 3)
        request = InBackground("POST", f"{stack.service_url}/api/v1/model/{model_id}/rebalance")
        await_upstream_call(stack)
        os.killpg(stack.service.pid, signal.SIGINT)
        until(lambda: refuses_connections(stack.service_url))
        with suppress(ProcessLookupError):
            os.killpg(stack.service.pid, signal.SIGINT)
        request.join()
        assert stack.service.wait(PATIENCE_SECONDS) == 0
        assert request.response is not None
        assert [each["status"] for each in request.response.json()] == ["COMPLETED"] * 3


def test_a_request_that_outlasts_the_drain_is_cut_off(mongodb_url: str, tmp_path: Path) -> None:
    """The server ends after DRAIN_SECONDS, with or without the response."""
    with slow_stack(mongodb_url, tmp_path / "log", 60.0, DRAIN_SECONDS="1") as stack:
        model_id = create_model(stack.service_url, 1)
        request = InBackground("POST", f"{stack.service_url}/api/v1/model/{model_id}/rebalance")
        await_upstream_call(stack)
        stack.service.send_signal(signal.SIGTERM)
        stack.service.wait(PATIENCE_SECONDS)
        request.join()
        assert request.response is None


@pytest.mark.slow
def test_replacing_both_instances_under_load_loses_no_request(mongodb_url: str, tmp_path: Path) -> None:
    """Each instance leaves the balancer first, as an endpoint does during a pod's preStop sleep, and then stops."""
    with ExitStack() as parts:
        first = parts.enter_context(running_stack(log=tmp_path / "first", mongodb_url=mongodb_url))
        model_id = create_model(first.service_url, 1)
        environment = {
            "MONGODB_URL": mongodb_url,
            **{f"{name.upper()}_SERVICE_URL": url for name, url in _upstreams(first).items()},
        }
        balancer = parts.enter_context(running_balancer())
        balancer.add(first.service_url)
        old = [(first.service_url, first.service)]
        url, process = parts.enter_context(running_service_process(environment, tmp_path / "second"))
        balancer.add(url)
        old.append((url, process))
        with _load(balancer, f"/api/v1/model/{model_id}/rebalance") as statuses:
            for number, (old_url, old_process) in enumerate(old):
                new_url, _ = parts.enter_context(running_service_process(environment, tmp_path / f"new{number}"))
                balancer.add(new_url)
                balancer.remove(old_url)
                time.sleep(0.5)
                old_process.send_signal(signal.SIGTERM)
                assert old_process.wait(30) == 0
                time.sleep(1)
        assert len(statuses) > 50
        assert set(statuses) == {200}


def _upstreams(stack: Stack) -> dict[str, str]:
    simulator = stack.simulator
    return {
        "portfolio_accounting": simulator.portfolio_accounting,
        "pricing": simulator.pricing,
        "portfolio": simulator.portfolio,
        "security": simulator.security,
        "order": simulator.order,
    }


@contextmanager
def _load(balancer: Balancer, path: str) -> Iterator[list[int]]:
    """Four clients that rebalance again and again; gives the statuses, 0 for a broken connection."""
    statuses: list[int] = []
    stopped = threading.Event()

    def client() -> None:
        with httpx.Client(base_url=balancer.url, timeout=30) as caller:
            while not stopped.is_set():
                statuses.append(_status(caller, path))

    clients = [threading.Thread(target=client) for _ in range(4)]
    for each in clients:
        each.start()
    try:
        yield statuses
    finally:
        stopped.set()
        for each in clients:
            each.join()


def _status(caller: httpx.Client, path: str) -> int:
    try:
        return caller.post(path).status_code
    except httpx.TransportError:
        return 0
