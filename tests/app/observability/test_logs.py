"""The log of a running service: what is in it, in which form, and what is not."""

import json
import re
import subprocess
import sys

import httpx
import pytest
from bson import ObjectId
from pymongo import MongoClient

from app.observability.logs import LEADING
from persistence.embedded import free_port
from tests.harness.api import PATIENCE_SECONDS
from tests.harness.commands import running
from tests.harness.service import Service
from tests.harness.upstreams import Upstreams

CASH = "10013.37"
"""Of a portfolio too small for one share of an expensive security."""


@pytest.fixture(scope="module")
def model_id(traced: Service, upstreams: Upstreams) -> str:
    """A model of three portfolios, of which one cannot be rebalanced."""
    world = upstreams.world
    securities = [world.expensive_security.security_id, *upstreams.securities(5)]
    portfolios = [*world.portfolio_ids(0, 2), upstreams.portfolio(CASH)]
    return traced.create_model(securities, portfolios, drift="0.005")


def test_each_line_is_an_object_with_the_same_leading_keys(traced: Service) -> None:
    """Those of the server and of libraries, too."""
    response = traced.client.get("/health/live")
    traced.line(event="request", correlation_id=response.headers["X-Correlation-ID"])
    lines = traced.lines()
    for line in lines:
        assert tuple(line)[: len(LEADING)] == LEADING
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])
        assert line["level"] in {"debug", "info", "warning", "error", "critical"}
        assert isinstance(line["event"], str)
        assert isinstance(line["logger"], str)
    assert {"_granian", "app.observability.http_requests"} <= {line["logger"] for line in lines}


@pytest.mark.parametrize(
    ("method", "path", "template", "status"),
    [
        ("GET", "/health/live", "/health/live", 200),
        ("GET", "/metrics", "/metrics", 200),
        ("GET", "/api/v1/model/000000000000000000000000", "/api/v1/model/{model_id}", 404),
        ("GET", "/api/v1/model/000000000000000000000000/position", "/api/v1/model/{model_id}/position", 405),
        ("POST", "/api/v1/models", "/api/v1/models", 400),
        ("GET", "/no/such/route", "unknown", 404),
        ("BREW", "/api/v1/models", "/api/v1/models", 405),
    ],
)
def test_each_request_is_one_line(traced: Service, method: str, path: str, template: str, status: int) -> None:
    """The line has the method, the route's template instead of the path, the status and the duration."""
    response = traced.client.request(method, path, json={} if method == "POST" else None)
    line = traced.line(event="request", correlation_id=response.headers["X-Correlation-ID"])
    assert (line["method"], line["path"], line["status"]) == (method.replace("BREW", "OTHER"), template, status)
    assert line["milliseconds"] > 0


def test_a_rebalance_can_be_followed_by_its_id(traced: Service, model_id: str) -> None:
    """One line for each portfolio and one for the whole, all with the ids of the request and its trace."""
    response = traced.rebalance(model_id, X_Correlation_ID="follow-me").json()
    (rebalance_id,) = {portfolio["rebalanceId"] for portfolio in response}
    traced.line(event="request", correlation_id="follow-me")
    lines = traced.lines(rebalance_id=rebalance_id)
    assert {line["correlation_id"] for line in lines} == {"follow-me"}
    assert len({line["trace_id"] for line in lines}) == 1
    whole = traced.line(event="rebalance stored", rebalance_id=rebalance_id)
    assert (whole["outcome"], whole["completed"], whole["failed"], whole["model_id"]) == ("partial", 2, 1, model_id)
    assert {line["portfolio_id"] for line in lines if "portfolio_id" in line} == {
        each["portfolioId"] for each in response
    }
    for portfolio in response[:2]:
        line = traced.line(
            event="portfolio rebalanced", rebalance_id=rebalance_id, portfolio_id=portfolio["portfolioId"]
        )
        assert line["path"] == "ROUNDING"
        assert line["gap"] == 0
        assert line["trades"] == len(portfolio["transactions"])
        assert line["milliseconds"] >= line["queue_milliseconds"] + line["solver_milliseconds"] > 0
        assert line["drift_before"] > line["drift_after"] >= 0


def test_a_failed_portfolio_says_why_without_its_money(traced: Service, model_id: str, upstreams: Upstreams) -> None:
    """The warning names code and security; amounts appear in the response and in no line above debug."""
    portfolio = traced.rebalance(model_id, X_Correlation_ID="failing").json()[2]
    line = traced.line(event="portfolio failed", correlation_id="failing")
    expensive = upstreams.world.expensive_security.security_id
    assert line["level"] == "warning"
    assert (line["code"], line["reason"]) == ("OPTIMIZATION_FAILED", f"INFEASIBLE: NoWholeShare {expensive}")
    assert str(portfolio["error"]["details"]["marketValue"]) == CASH
    band = portfolio["error"]["details"]["reasons"][0]["lowerValue"]
    above_debug = json.dumps([line for line in traced.lines() if line["level"] != "debug"])
    assert CASH not in above_debug
    assert str(band) not in above_debug


def test_no_password_is_ever_logged(mongodb_url: str) -> None:
    """Not even where the database refuses it, and at the level that tells most."""
    address = mongodb_url.removeprefix("mongodb://")
    secret = "hunter2-is-no-password"
    port = free_port()
    environment = {"MONGODB_URL": f"mongodb://clerk:{secret}@{address}", "LOG_LEVEL": "DEBUG"}
    with running("serve", environment=environment | {"HOST": "127.0.0.1", "PORT": str(port)}) as command:
        command.read_until("database unreachable")
        command.read_until("Started worker")
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/models", timeout=PATIENCE_SECONDS).status_code == 503
        command.process.terminate()
        command.finish()
    assert secret not in command.output


PRINTING = """
import asyncio, os, sys
from app.observability.logs import configure_logs
from app.observability.stray_output import stray_output_logged
from solver import Portfolio, solve
from solver.pool import SolverPool, solving
from tests.app.observability.printing import solve

async def main():
    async with SolverPool(processes=1, work=solving(solve)) as pool:
        await pool.solve(Portfolio((), cash=1), lane=1)

configure_logs("INFO")
with stray_output_logged():
    asyncio.run(main())
print("and standard output is what it was")
print("and so is standard error", file=sys.stderr)
"""


def test_what_solver_processes_print_becomes_lines() -> None:
    """On standard output and error, from Python and from C, and what a dying process says last."""
    ended = subprocess.run(
        [sys.executable, "-c", PRINTING], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    *lines, last = ended.stdout.splitlines()
    assert last == "and standard output is what it was"
    assert ended.stderr == "and so is standard error\n"
    told = "\n".join(json.loads(line)["text"] for line in lines)
    for text in ("printed by Python", "printed by C", "complained", "RuntimeError: the last words"):
        assert text in told


CONSOLE = """
import logging
import structlog
from app.observability.logs import configure_logs

configure_logs("INFO", "console")
structlog.get_logger("app.test").info("an event", portfolios=3)
logging.getLogger("library").warning("a line of a library")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("app.test").exception("a failure")
"""


def test_lines_for_a_person_are_text() -> None:
    """With LOG_FORMAT=console, lines of the service and of libraries are text that a person can read."""
    ended = subprocess.run(
        [sys.executable, "-c", CONSOLE], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    assert ended.stderr == ""
    own, library, *failure = ended.stdout.splitlines()
    assert "an event" in own
    assert "portfolios=3" in own
    assert "a line of a library" in library
    assert not own.startswith("{")
    assert not library.startswith("{")
    assert "ZeroDivisionError: division by zero" in failure


def _reported_alike(url: str) -> str:
    """Return why the database cannot be used, which a request and readiness report in the same words."""
    failed = httpx.get(f"{url}/api/v1/models", timeout=PATIENCE_SECONDS)
    ready = httpx.get(f"{url}/health/ready", timeout=PATIENCE_SECONDS)
    assert failed.status_code == ready.status_code == 503
    error = failed.json()["error"]
    assert error["code"] == "DATABASE_UNAVAILABLE"
    assert ready.json()["databaseFault"] == error["details"]["reason"]
    assert error["details"]["reason"] in error["message"]
    return str(error["details"]["reason"])


def test_a_start_without_a_database_logs_host_and_cause_without_credentials() -> None:
    """Refused here; the response has the reason without the host."""
    port = free_port()
    environment = {"MONGODB_URL": "mongodb://clerk:hunter2@127.0.0.1:1/?authSource=admin", "PORT": str(port)}
    with running("serve", environment=environment | {"HOST": "127.0.0.1"}) as command:
        command.read_until("database unreachable")
        command.read_until("Started worker")
        assert _reported_alike(f"http://127.0.0.1:{port}") == "connection refused"
        command.process.terminate()
        command.finish()
    assert "hunter2" not in command.output
    [line] = [line for line in command.output.splitlines() if "database unreachable" in line]
    assert json.loads(line)["reason"] == "connection refused"
    assert "127.0.0.1:1: connection refused" in json.loads(line)["cause"]


def test_duplicate_names_found_by_an_upgrade_are_reported_until_they_are_resolved(mongodb_url: str) -> None:
    """Requests and readiness name them; no restart is needed when they are gone."""
    port = free_port()
    name = f"test_{ObjectId()}"
    environment = {"MONGODB_URL": mongodb_url, "DATABASE_NAME": name, "HOST": "127.0.0.1", "PORT": str(port)}
    with MongoClient[dict[str, object]](mongodb_url) as client:
        client[name]["models"].insert_many([{"name": "Growth"}, {"name": "Growth"}])
        try:
            with running("serve", environment=environment) as command:
                command.read_until("Started worker")
                reason = _reported_alike(f"http://127.0.0.1:{port}")
                assert "collection models has more than one document with name 'Growth'" in reason
                client[name]["models"].delete_one({"name": "Growth"})
                command.read_until("database reachable")
                assert httpx.get(f"http://127.0.0.1:{port}/api/v1/models", timeout=PATIENCE_SECONDS).json() == []
                command.process.terminate()
                command.finish()
        finally:
            client.drop_database(name)
