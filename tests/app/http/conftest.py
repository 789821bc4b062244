"""A service that waits about a second for clients, and its log."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.commands.stack import running_service_process
from app.http.dialect import Dialect
from tests.app.conftest import Environment
from tests.harness.api import PATIENCE_SECONDS, Api
from tests.harness.service import until

REQUEST_SECONDS = 1.0
UNREAD_SECONDS = 1.5
HAS_IPV6 = Path("/proc/net/if_inet6").exists()


class Log:
    """The lines that a service has logged since the test began.

    A request is logged after its response was sent, so that reading lines waits for the requests that they are about.
    """

    def __init__(self, api: Api, path: Path) -> None:
        self._api = api
        self._path = path
        self._start = path.stat().st_size

    def lines(self, at_least: int) -> list[dict[str, Any]]:
        """Return every line, each of which is JSON, once there are this many."""
        until(lambda: len(self._complete()) >= at_least, PATIENCE_SECONDS)
        return self._complete()

    def problems(self) -> list[dict[str, Any]]:
        """Return lines above the level of information, once a request that is sent now has been logged."""
        mark = uuid4().hex
        self._api.raw("GET", "/health/live", headers={"X-Correlation-ID": mark})
        until(lambda: any(line.get("correlation_id") == mark for line in self._complete()), PATIENCE_SECONDS)
        return [line for line in self._complete() if line["level"] not in {"debug", "info"}]

    def _complete(self) -> list[dict[str, Any]]:
        # The last line may be half written.
        lines = self._path.read_bytes()[self._start :].splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]


@pytest.fixture(scope="session")
def log_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the log."""
    return tmp_path_factory.mktemp("impatient") / "log"


@pytest.fixture(scope="session")
def impatient(environment: Environment, log_path: Path) -> Iterator[Api]:
    """A service that waits about a second for clients, and logs every request."""
    settings = {
        "HOST": "::" if HAS_IPV6 else "0.0.0.0",
        "REQUEST_TIMEOUT_SECONDS": str(REQUEST_SECONDS),
        "UNREAD_TIMEOUT_SECONDS": str(UNREAD_SECONDS),
        "PRICING_SERVICE_TIMEOUT_SECONDS": "10",
        "LOG_LEVEL": "INFO",
    }
    with (
        running_service_process({**environment, **settings}, log_path) as (url, _),
        Api(url, Dialect.STANDARD, keep_alive=False) as api,
    ):
        yield api


@pytest.fixture
def log(impatient: Api, log_path: Path) -> Log:
    """What the impatient service logs during a test."""
    return Log(impatient, log_path)
