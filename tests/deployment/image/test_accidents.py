"""What happens to a container happens to no acknowledged work: kills, signals, a full memory, a restarted database."""

import signal
import time

import httpx
import pytest

from tests.deployment.image.conftest import StartService
from tests.deployment.image.engine import Container, until
from tests.deployment.image.work import create_model, in_background, is_solving, metric, rebalance, under_load
from tests.harness.balancer import running_balancer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

PROCESSES = (
    "import psutil; children = psutil.Process(1).children(); "
    "worker = max(children, key=lambda each: len(each.children(recursive=True))); "
    "solvers = [s for f in worker.children() for s in f.children()]; "
)
"""Finds the worker, which has started all others, and the solver processes, which a fork server has forked."""


def kill(service: Container, what: str) -> None:
    """Send SIGKILL to the worker or to a solver process."""
    service.python(f"{PROCESSES} {what}.kill()")


def test_a_rebalance_survives_sigterm(start_service: StartService) -> None:
    """The server finishes what it has begun and ends with 0."""
    service = start_service("test-terminated")
    model_id = create_model(service.url, 1000, 50)
    with in_background(lambda: rebalance(service.url, model_id)) as rebalancing:
        until(lambda: is_solving(service.url), 30, lambda: "the rebalance does not begin")
        assert service.stop(90) == 0
        assert rebalancing.result() == {"COMPLETED": 1000}


def test_a_killed_solver_process_costs_no_portfolio(service: Container) -> None:
    """Another process solves what it had."""
    model_id = create_model(service.url, 1000, 50)
    with in_background(lambda: rebalance(service.url, model_id)) as rebalancing:
        until(lambda: is_solving(service.url), 30, lambda: "the rebalance does not begin")
        kill(service, "solvers[0]")
        assert rebalancing.result() == {"COMPLETED": 1000}
    assert metric(service.url, "order_generation_solver_restarts_total") >= 1


def test_a_killed_worker_is_replaced_within_the_container(service: Container) -> None:
    """The container goes on, models are still there, and the start time of the process shows what happened."""
    model_id = create_model(service.url, 3, 10)
    started = metric(service.url, "process_start_time_seconds")
    kill(service, "worker")
    until(lambda: not service.ready(), 10, lambda: "the worker is still there")
    service.await_ready()
    assert rebalance(service.url, model_id) == {"COMPLETED": 3}
    assert metric(service.url, "process_start_time_seconds") > started
    assert service.engine.inspect(service.name)["RestartCount"] == 0


def test_a_full_memory_leaves_no_damage(service: Container) -> None:
    """Another process in the container takes all its memory: the kernel kills something, and afterwards all is well."""
    model_id = create_model(service.url, 3, 10)
    hog = service.engine.start("exec", service.name, "python", "-c", "print(len(b'x' * 2_000_000_000))")
    assert hog.returncode in {1, 128 + signal.SIGKILL}, hog
    until(lambda: service.engine.inspect(service.name)["State"]["Running"], 10, lambda: "the container ended")
    service.await_ready()
    assert rebalance(service.url, model_id) == {"COMPLETED": 3}


def test_a_restarted_database_loses_nothing_that_was_acknowledged(service: Container, mongodb: Container) -> None:
    """Requests fail in the meantime with 503, and the service recovers by itself."""
    model_id = create_model(service.url, 3, 10)
    with under_load(service.url, model_id, users=2) as seen:
        until(lambda: seen[200] > 10, 30, lambda: f"no load: {seen}")
        mongodb.engine("restart", "--time", "20", mongodb.name)
        service.await_ready()
        before = seen[200]
        until(lambda: seen[200] > before + 10, 30, lambda: f"no recovery: {seen}")
    assert set(seen) <= {200, 503}, seen
    assert httpx.get(f"{service.url}/api/v1/model/{model_id}").status_code == 200


def test_a_replica_is_replaced_under_load_without_losing_a_request(start_service: StartService) -> None:
    """As a cluster does it: the new one gets requests when it is ready, the old one none before it is stopped."""
    first, second = start_service("test-first"), start_service("test-second")
    with running_balancer() as balancer:
        balancer.add(first.url)
        balancer.add(second.url)
        model_id = create_model(second.url, 10, 10)
        with under_load(balancer.url, model_id, users=4) as seen:
            until(lambda: seen[200] > 20, 30, lambda: f"no load: {seen}")
            third = start_service("test-third")
            balancer.add(third.url)
            balancer.remove(first.url)
            time.sleep(2)  # The pod's sleep before SIGTERM, shorter as this balancer needs no time to learn of it.
            assert first.stop(90) == 0
            before = seen[200]
            until(lambda: seen[200] > before + 20, 30, lambda: f"no load: {seen}")
    assert set(seen) == {200}, seen
