"""The probes of a running service while its database, its solvers and its upstreams come and go."""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import httpx
import psutil
import pytest

from app.operations.readiness import Readiness, ReadinessFigures
from solver.pool import SolverPool
from tests.harness.mongod import RestartableMongod
from tests.harness.service import Service, until
from tests.harness.upstreams import Upstreams

KNOWN_SECONDS = 2.0
"""The promise: the probe says that something is gone within this time, unless the machine is busy."""
ATTEMPTS = 3
"""Outages of which one must be noticed within the promised time: a busy machine delays some."""


@contextmanager
def frozen(mongod: RestartableMongod) -> Iterator[None]:
    """A database that is there and does nothing."""
    mongod.freeze()
    try:
        yield
    finally:
        mongod.thaw()


def readiness(service: Service) -> httpx.Response:
    return service.client.get("/health/ready")


def is_ready(service: Service) -> bool:
    return readiness(service).status_code == 200


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """A process that is there and does nothing, as on a machine that hangs."""
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def seconds_until_unready(service: Service) -> float:
    """Wait until readiness reports an outage that has just begun; return how long that took."""
    gone = time.monotonic()
    until(lambda: not is_ready(service))
    return time.monotonic() - gone


def test_live_never_changes(untraced: Service) -> None:
    """Liveness depends on no database and no upstream: it always reports UP."""
    response = untraced.client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "UP"})


def test_a_database_that_hangs_is_noticed_in_time_and_so_is_its_return(
    untraced: Service, own_mongod: RestartableMongod
) -> None:
    """Liveness stays, and the probe itself waits for nothing."""

    def outage() -> float:
        until(lambda: is_ready(untraced))
        with frozen(own_mongod):
            noticed = seconds_until_unready(untraced)
            body = readiness(untraced).json()
            assert (body["status"], body["database"], body["solvers"]) == ("DOWN", "DOWN", "UP")
            assert untraced.client.get("/health/live").status_code == 200
            assert untraced.scrape().value("order_generation_up", part="database") == 0
            until(lambda: untraced.lines(event="database unreachable", level="error"))
        until(lambda: is_ready(untraced))
        until(lambda: untraced.scrape().value("order_generation_up", part="database") == 1)
        return noticed

    assert any(outage() < KNOWN_SECONDS for _ in range(ATTEMPTS))


def test_solvers_that_cannot_be_replaced_are_noticed_in_time_and_so_is_their_return(untraced: Service) -> None:
    """The fork server hangs while every solver process is killed."""

    def outage() -> float:
        until(lambda: is_ready(untraced))
        (fork_server,) = untraced.fork_servers()
        solvers = untraced.solvers()
        with stopped(fork_server):
            for solver in solvers:
                solver.kill()
            noticed = seconds_until_unready(untraced)
            body = readiness(untraced).json()
            assert (body["status"], body["database"], body["solvers"]) == ("DOWN", "UP", "DOWN")
            assert untraced.scrape().value("order_generation_up", part="solvers") == 0
        until(lambda: is_ready(untraced))
        until(lambda: len(untraced.solvers()) == len(solvers))
        return noticed

    assert any(outage() < KNOWN_SECONDS for _ in range(ATTEMPTS))


def test_an_upstream_that_is_away_is_told_of_and_changes_nothing(untraced: Service, upstreams: Upstreams) -> None:
    """Nobody listens where the Portfolio Service should be."""
    portfolios = [upstreams.portfolio() for _ in range(8)]
    model_id = untraced.create_model(upstreams.securities(1), portfolios)
    assert untraced.rebalance(model_id).status_code == 200
    body = until(lambda: (state := readiness(untraced).json())["upstreams"]["portfolio"] == "open" and state)
    assert body["status"] == "UP"
    assert body["upstreams"]["pricing"] == "closed"
    assert untraced.scrape().value("order_generation_upstream_breaker_state", service="portfolio") == 2


@pytest.mark.parametrize("probe", ["/health/live", "/health/ready"])
def test_probes_succeed_while_every_core_solves(untraced: Service, upstreams: Upstreams, probe: str) -> None:
    """In a small part of the time that one portfolio takes, the full integer program of which keeps a core busy."""
    model_id = untraced.create_model(upstreams.securities(10), [upstreams.portfolio() for _ in range(60)])
    with ThreadPoolExecutor(1) as caller:
        rebalance = caller.submit(untraced.rebalance, model_id, X_Correlation_ID=f"busy{probe.replace('/', '-')}")
        responses = []
        while not rebalance.done():
            responses.append(untraced.client.get(probe))
        assert rebalance.result().status_code == 200
    assert {response.status_code for response in responses} == {200}
    took = [response.elapsed.total_seconds() * 1000 for response in responses]
    lines = untraced.lines(event="portfolio rebalanced", correlation_id=f"busy{probe.replace('/', '-')}")
    solving = statistics.median(line["solver_milliseconds"] for line in lines)
    assert len(responses) > 5
    assert statistics.median(took) < solving / 2, (took, solving)


def test_a_killed_database_is_noticed_in_time_and_so_is_its_return(
    untraced: Service, own_mongod: RestartableMongod
) -> None:
    """Readiness turns unready within the documented time after mongod is killed."""

    def outage() -> float:
        until(lambda: is_ready(untraced))
        own_mongod.kill()
        try:
            return seconds_until_unready(untraced)
        finally:
            own_mongod.restart()

    assert any(outage() < KNOWN_SECONDS for _ in range(ATTEMPTS))
    until(lambda: is_ready(untraced))


def test_a_stateless_optimizer_shows_no_database() -> None:
    """So that an alert for a missing order generation service does not take an optimizer for one."""
    pool = cast("SolverPool[Any, Any]", SimpleNamespace(ready=True))
    (family,) = ReadinessFigures(Readiness(None, pool, None)).collect()
    assert [sample.labels for sample in family.samples] == [{"part": "solvers"}]
