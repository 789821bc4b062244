"""A service that waits about a second for clients, and its log."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.conftest import Environment, running_service
from tests.harness.api import Api

REQUEST_SECONDS = 1.0
UNREAD_SECONDS = 1.5
HAS_IPV6 = Path("/proc/net/if_inet6").exists()


class Log:
    """The lines that a service has logged since the test began."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = path.stat().st_size if path.exists() else 0

    def lines(self) -> list[dict[str, Any]]:
        """Every line, each of which is JSON."""
        return [json.loads(line) for line in self._path.read_bytes()[self._start :].decode().splitlines()]

    def problems(self) -> list[dict[str, Any]]:
        """Lines above the level of information."""
        return [line for line in self.lines() if line["level"] not in {"debug", "info"}]


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
    with running_service(environment, log_path, **settings) as api:
        yield api


@pytest.fixture
def log(impatient: Api, log_path: Path) -> Log:
    """What the impatient service logs during a test."""
    return Log(log_path)
