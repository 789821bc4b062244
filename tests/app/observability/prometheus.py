"""A real Prometheus with the project's alert rules, in which time passes faster: every duration is divided."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from persistence.embedded import free_port

COMPRESSION = int(os.environ.get("PROMETHEUS_COMPRESSION", "30"))
"""An hour of the rules is two minutes here by default; on a crowded machine, which scrapes slower, choose less."""
SCRAPE_SECONDS = 15 / COMPRESSION
UNITS = {"s": 1, "m": 60, "h": 3600}
START_SECONDS = 30
PATIENCE_SECONDS = 300
"""For an alert to fire, and for a service to recover."""


def compressed(duration: str) -> str:
    """Return a duration of PromQL divided by the compression, in milliseconds."""
    return f"{int(duration[:-1]) * UNITS[duration[-1]] * 1000 // COMPRESSION}ms"


def compressed_query(query: str) -> str:
    """Return a query whose ranges and thresholds in seconds of waiting are divided by the compression."""
    query = re.sub(r"\[(\d+[smh])\]", lambda found: f"[{compressed(found[1])}]", query)
    return re.sub(
        r"(_oldest_seconds{[^}]*}\)? > )(\d+)", lambda found: f"{found[1]}{int(found[2]) // COMPRESSION}", query
    )


def compressed_rules(rules: dict[str, Any]) -> dict[str, Any]:
    """Return alert rules in which time passes faster."""
    return {
        "groups": [
            {
                "name": group["name"],
                "rules": [
                    rule
                    | {"expr": compressed_query(rule["expr"])}
                    | ({"for": compressed(rule["for"])} if "for" in rule else {})
                    for rule in group["rules"]
                ],
            }
            for group in rules["groups"]
        ]
    }


def find_prometheus(directory: Path) -> Path:
    """Return the binary of this machine, or Debian's, unpacked into a directory."""
    if found := shutil.which("prometheus"):
        return Path(found)
    if shutil.which("apt-get") is None:
        pytest.skip("there is no prometheus on the PATH, and no Debian to get it from")
    command = "apt-get download -q prometheus && dpkg -x prometheus_*.deb ."
    done = subprocess.run(["sh", "-ec", command], cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"Debian's prometheus cannot be downloaded: {done.stderr[-500:]}")
    return directory / "usr/bin/prometheus"


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str, directory: Path) -> None:
        self._client = httpx.Client(base_url=f"{url}/api/v1", timeout=30)
        self._targets = directory / "targets.yaml"

    def close(self) -> None:
        """Close the connections to it."""
        self._client.close()

    def scrape(self, *urls: str) -> None:
        """Scrape these services from now on, and no others."""
        targets = [url.removeprefix("http://") for url in urls]
        new = self._targets.with_suffix(".new")
        new.write_text(yaml.safe_dump([{"targets": targets}]))
        new.rename(self._targets)

    def query(self, query: str) -> list[dict[str, Any]]:
        """Return the series that a query results in now."""
        response = self._client.get("/query", params={"query": query})
        assert response.status_code == httpx.codes.OK, response.text
        return list(response.json()["data"]["result"])

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health and last error."""
        groups = self._client.get("/rules").raise_for_status().json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def fired(self, seconds: float) -> set[str]:
        """Return the alerts that fired at any time within the last seconds."""
        series = self.query(f'max_over_time(ALERTS{{alertstate="firing"}}[{int(seconds * 1000)}ms])')
        return {each["metric"]["alertname"] for each in series}

    def await_alerts(self, alerts: set[str], seconds: float, *, cause: Callable[[], object] = lambda: None) -> None:
        """Repeat a cause until these alerts have fired."""
        started = time.monotonic()
        while missing := alerts - self.fired(time.monotonic() - started + 1):
            assert time.monotonic() - started < seconds, f"{missing} did not fire"
            cause()
            time.sleep(0.1)


def await_recovery(recovered: Callable[[], bool]) -> None:
    """Wait until requests succeed again, so that the next test starts with a healthy service."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not recovered():
        assert time.monotonic() < end, "the service does not recover"
        time.sleep(0.5)


@contextmanager
def running_prometheus(binary: Path, rules: dict[str, Any], directory: Path) -> Iterator[Prometheus]:
    """Run Prometheus with these rules until the block ends."""
    (directory / "rules.yaml").write_text(yaml.safe_dump(compressed_rules(rules)))
    (directory / "targets.yaml").write_text("[]")
    interval = f"{int(SCRAPE_SECONDS * 1000)}ms"
    configuration = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": "order-generation",
                "file_sd_configs": [{"files": ["targets.yaml"], "refresh_interval": "500ms"}],
            }
        ],
    }
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    port = free_port()
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(binary, "--config.file=prometheus.yaml", "--storage.tsdb.path=data"),
                *(f"--web.listen-address=127.0.0.1:{port}", "--query.lookback-delta=10s"),
            ],
            cwd=directory,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _await_ready(url, directory / "log")
        prometheus = Prometheus(url, directory)
        try:
            yield prometheus
        finally:
            prometheus.close()
    finally:
        process.terminate()
        process.wait()


def _await_ready(url: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}/-/ready").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())
