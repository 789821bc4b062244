"""The whole stack on this machine, as processes: an embedded MongoDB, the simulator of the upstreams, the service.

The demo shows it, the tests and load tests drive it. Everything listens on free ports of the loopback interface and
ends with the process that started it.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from msgspec import Struct
from msgspec import json as msgspec_json

from integrations.simulator import SimulatorUrls
from persistence.embedded import EmbeddedMongod, free_port

LOOPBACK = "127.0.0.1"
READY_SECONDS = 180
STOP_SECONDS = 40
LOOK_SECONDS = 0.05


class StackFailed(Exception):
    """A part of the stack did not start; the message has the end of its log."""


class Stack(Struct, frozen=True):
    """A running stack.

    Attributes:
        service_url: base URL of the service, without `/api/v1`.
        mongodb_url: the database it uses.
        simulator: base URLs of the simulated upstreams.
        service: the server process.
    """

    service_url: str
    mongodb_url: str
    simulator: SimulatorUrls
    service: subprocess.Popen[bytes]


@contextmanager
def running_stack(
    *,
    log: Path,
    settings: Mapping[str, str] | None = None,
    mongodb_url: str | None = None,
    host: str = LOOPBACK,
    port: int | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Iterator[Stack]:
    """Run the stack for as long as the block lasts.

    Args:
        log: file to which the service writes its log.
        settings: environment variables for the service, over those that connect the parts.
        mongodb_url: a running MongoDB to use in place of an embedded one.
        host: address that the service listens on.
        port: its port; a free one by default.
        on_step: called with the name of what starts next, for a progress display.

    Raises:
        MongodUnavailable: there is no MongoDB to start.
        StackFailed: a part did not start.
    """
    with ExitStack() as parts:
        if mongodb_url is None:
            on_step("Starting MongoDB")
            mongodb_url = parts.enter_context(EmbeddedMongod.start()).url
        on_step("Starting the simulator of the GlobeCo services")
        simulator = parts.enter_context(running_simulator_process())
        on_step("Starting the service and its solver processes")
        environment = {
            "MONGODB_URL": mongodb_url,
            "PORTFOLIO_ACCOUNTING_SERVICE_URL": simulator.portfolio_accounting,
            "PRICING_SERVICE_URL": simulator.pricing,
            "PORTFOLIO_SERVICE_URL": simulator.portfolio,
            "SECURITY_SERVICE_URL": simulator.security,
            "ORDER_SERVICE_URL": simulator.order,
            **(settings or {}),
        }
        service_url, service = parts.enter_context(running_service_process(environment, log, host, port))
        yield Stack(service_url, mongodb_url, simulator, service)


@contextmanager
def running_simulator_process(*options: str) -> Iterator[SimulatorUrls]:
    """Run `order-generation simulator` for as long as the block lasts."""
    process = _start("simulator", *options, output=subprocess.PIPE, environment=os.environ)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise StackFailed("The simulator did not start.")
        yield msgspec_json.decode(line, type=SimulatorUrls)
    finally:
        _stop(process)


@contextmanager
def running_service_process(
    environment: Mapping[str, str], log: Path, host: str = LOOPBACK, port: int | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `order-generation serve` until the block ends, on a free port by default; yield its URL and process."""
    port = port or free_port()
    with log.open("ab") as output:
        process = _start(
            "serve",
            output=output,
            environment={**os.environ, "HOST": host, "PORT": str(port), **environment},
        )
    try:
        # An address that stands for all of them is reached by the loopback one.
        reached = {"0.0.0.0": LOOPBACK, "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        url = f"http://{reached}:{port}"
        _await_ready(process, url, log)
        yield url, process
    finally:
        _stop(process)


def _start(
    command: str, *options: str, output: int | IO[bytes], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a command of this project, in a session of its own: an interrupt at the terminal is for its parent."""
    return subprocess.Popen(  # noqa: S603 - this project's own command
        [sys.executable, "-m", "app.cli", command, "--exit-with-stdin", *options],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT if command == "serve" else None,
        env=dict(environment),
        start_new_session=True,
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=5):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(LOOK_SECONDS)
    lines = log.read_text(errors="replace").splitlines()[-15:]
    raise StackFailed("The service did not become ready. The end of its log:\n" + "\n".join(lines))
