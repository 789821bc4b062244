"""The service as an operator meets it: what it returns, what it logs, and what can be scraped from it."""

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from app.commands.stack import running_service_process
from tests.harness.api import PATIENCE_SECONDS
from tests.harness.upstreams import Upstreams

TARGETS = ("0.15", "0.125", "0.12", "0.105", "0.1", "0.095", "0.08", "0.075", "0.06", "0.04")

type Line = dict[str, Any]


def until[T](look: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Look until there is something to see."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
    return seen


class Scrape:
    """What Prometheus would have read."""

    def __init__(self, text: str) -> None:
        self.families: dict[str, Metric] = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    @property
    def names(self) -> set[str]:
        return {sample.name for sample in self.samples}

    def labels(self, name: str) -> list[dict[str, str]]:
        return [sample.labels for sample in self.samples if sample.name == name]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels; 0 where there is none."""
        return sum(
            sample.value for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items()
        )


class Service:
    """A running service and its client."""

    def __init__(self, url: str, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.log = log
        self.process = process
        self.client = httpx.Client(base_url=url, timeout=PATIENCE_SECONDS)

    @classmethod
    @contextmanager
    def running(cls, environment: Mapping[str, str], log: Path) -> Iterator[Self]:
        with running_service_process(environment, log) as (url, process):
            service = cls(url, log, process)
            try:
                yield service
            finally:
                service.client.close()

    def lines(self, **wanted: object) -> list[Line]:
        """The log so far; only lines with these values."""
        # The last line may be half written.
        complete = self.log.read_text().splitlines(keepends=True)
        lines = [json.loads(line) for line in complete if line.endswith("\n")]
        return [line for line in lines if wanted.items() <= line.items()]

    def line(self, **wanted: object) -> Line:
        """The one line with these values, once it is there."""
        (line,) = until(lambda: self.lines(**wanted))
        return line

    def scrape(self) -> Scrape:
        return Scrape(self.client.get("/metrics").raise_for_status().text)

    def create_model(self, security_ids: Sequence[str], portfolio_ids: Sequence[str], drift: str = "0.02") -> str:
        """Create a model of up to ten positions and give its id."""
        model = {
            "name": uuid.uuid4().hex,
            "positions": [
                {"securityId": security_id, "target": target, "highDrift": drift, "lowDrift": drift}
                for security_id, target in zip(security_ids, TARGETS, strict=False)
            ],
            "portfolios": portfolio_ids,
        }
        return str(self.client.post("/api/v1/models", json=model).raise_for_status().json()["modelId"])

    def rebalance(self, model_id: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(f"/api/v1/model/{model_id}/rebalance", headers=named)

    def solvers(self) -> list[psutil.Process]:
        """Its solver processes: they are what the fork server has forked."""
        return [solver for server in self.fork_servers() for solver in server.children()]

    def fork_servers(self) -> list[psutil.Process]:
        family = psutil.Process(self.process.pid).children(recursive=True)
        return [
            process
            for process in family
            if any("forkserver" in part for part in process.cmdline()) and process.children()
        ]


def connecting(mongodb_url: str, upstreams: Upstreams) -> dict[str, str]:
    """Settings that connect a service to its database and upstreams."""
    urls = upstreams.urls
    return {
        "MONGODB_URL": mongodb_url,
        "PORTFOLIO_ACCOUNTING_SERVICE_URL": urls.portfolio_accounting,
        "PRICING_SERVICE_URL": urls.pricing,
        "PORTFOLIO_SERVICE_URL": urls.portfolio,
        "SECURITY_SERVICE_URL": urls.security,
        "ORDER_SERVICE_URL": urls.order,
        "SOLVER_PROCESSES": "2",
    }


def optimization(portfolios: int, positions: int) -> dict[str, Any]:
    """Return a stateless optimisation of portfolios that are all in cash."""
    securities = [f"S{number}" for number in range(positions)]
    target = f"{0.9 / positions:.6f}"
    return {
        "positions": [
            {"securityId": each, "target": target, "highDrift": "0.001", "lowDrift": "0.001"} for each in securities
        ],
        "prices": [
            {"securityId": each, "price": str(10 + number % 89)} for number, each in enumerate(securities, start=1)
        ],
        "portfolios": [
            {"portfolioId": f"P{number}", "cash": str(5_000_000 + number), "holdings": []}
            for number in range(portfolios)
        ],
    }
