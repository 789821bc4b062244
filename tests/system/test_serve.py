"""The service as an operator starts and stops it."""

import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import httpx
import psutil
import pytest

from persistence.embedded import free_port
from tests.harness.commands import Command, running
from tests.harness.raw_http import RawConnection, head


@contextmanager
def serving(**environment: str) -> Iterator[tuple[Command, str]]:
    """A ready server on its embedded MongoDB, whose upstreams are away."""
    port = free_port()
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MONGODB_URL": "embedded",
        "PORTFOLIO_ACCOUNTING_SERVICE_URL": nowhere,
        "PRICING_SERVICE_URL": nowhere,
        "PORTFOLIO_SERVICE_URL": nowhere,
        "SECURITY_SERVICE_URL": nowhere,
        "ORDER_SERVICE_URL": nowhere,
        "EXTERNAL_SERVICE_RETRIES": "0",
        **environment,
    }
    with running("serve", environment=settings) as command:
        url = f"http://127.0.0.1:{port}"
        await_status(f"{url}/health/ready", 200, command)
        yield command, url


def await_status(url: str, status: int, command: Command) -> None:
    until = time.monotonic() + 180
    # One client, since each loads the authorities of TLS.
    with httpx.Client(timeout=100) as client:
        while time.monotonic() < until:
            assert command.process.poll() is None, command.finish()
            with suppress(httpx.TransportError):
                if client.get(url).status_code == status:
                    return
            time.sleep(0.05)
    raise AssertionError(f"{url} did not respond {status}")


@contextmanager
def endless_body(url: str) -> Iterator[None]:
    """A client that sends the next byte of a body again and again."""
    with RawConnection(url) as connection:
        connection.send(head("POST", "/api/v1/models", Content_Type="application/json", Content_Length="900000"))
        ended = Event()

        def send() -> None:
            while not ended.wait(0.1):
                connection.send(b" ")

        sender = Thread(target=send)
        sender.start()
        try:
            yield
        finally:
            ended.set()
            sender.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running_however_the_server_ends(number: signal.Signals) -> None:
    """Termination, Ctrl-C and a kill leave no worker, solver or mongod, though a client never completes its request."""
    with serving(DRAIN_SECONDS="1") as (command, url), endless_body(url):
        assert len(command.family()) >= 5, "server, worker, solver processes, mongod and its keeper"
        if number == signal.SIGINT:
            os.killpg(command.process.pid, number)
        else:
            command.process.send_signal(number)
        status = command.finish()
        assert command.await_end_of_family() == []
        assert number == signal.SIGKILL or status == 0


def test_a_request_to_stop_is_heard_while_it_starts() -> None:
    """The worker has been forked, and has no handlers of its own yet."""
    environment = {"HOST": "127.0.0.1", "PORT": str(free_port()), "MONGODB_URL": "embedded"}
    with running("serve", environment=environment) as command:
        command.read_until("Spawning worker")
        command.process.terminate()
        assert command.finish() == 0
        assert command.await_end_of_family() == []


def test_a_worker_that_was_told_to_stop_while_it_started_does_not_outlive_its_server(mongodb_url: str) -> None:
    """When its server ends, it receives a second SIGTERM, at which Granian blocks."""
    with running("serve", environment=with_one_solver(mongodb_url, drain_seconds=1)) as command:
        command.read_until("Spawning worker")
        # The worker waits for it before it serves.
        fork_server = await_fork_server(command)
        fork_server.suspend()
        worker = fork_server.parent()
        assert worker is not None
        worker.terminate()
        await_delivery(worker, signal.SIGTERM)
        command.process.kill()
        _, alive = psutil.wait_procs([worker], timeout=60)
        assert alive == []
        fork_server.resume()
        assert command.await_end_of_family() == []


def with_one_solver(mongodb_url: str, drain_seconds: int) -> dict[str, str]:
    """Return the settings of a server with one solver process."""
    return {
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "MONGODB_URL": mongodb_url,
        "SOLVER_PROCESSES": "1",
        "DRAIN_SECONDS": f"{drain_seconds}",
    }


def await_delivery(process: psutil.Process, number: signal.Signals) -> None:
    """Wait until a signal that was sent to a process is no longer pending there."""
    until = time.monotonic() + 100
    while time.monotonic() < until:
        status = Path(f"/proc/{process.pid}/status").read_text()
        pending = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
        assert len(pending) == 2
        if not any(each >> number - 1 & 1 for each in pending):
            return
    raise AssertionError(f"{number.name} is still pending")


def await_fork_server(command: Command) -> psutil.Process:
    """Return the process that forks the solver processes, as soon as it exists."""
    until = time.monotonic() + 100
    while time.monotonic() < until:
        for process in command.family():
            with suppress(psutil.Error):
                if any("multiprocessing.forkserver" in each for each in process.cmdline()):
                    return process
    raise AssertionError("there is no fork server")


def stop_after_start(mongodb_url: str, seconds: float) -> int:
    """Start a server, ask it to stop so long after its worker says that it has started, and give the exit code."""
    with running("serve", environment=with_one_solver(mongodb_url, drain_seconds=300)) as command:
        command.read_until("Started worker-1")
        time.sleep(seconds)
        command.process.terminate()
        return command.finish()


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param((0, 0.0003), id="two"),
        pytest.param((0, 0.0001, 0.0002, 0.0003, 0.001, 0.003), id="six", marks=pytest.mark.slow),
    ],
)
def test_a_request_to_stop_is_heard_whenever_the_worker_has_just_started(
    mongodb_url: str, moments: Sequence[float]
) -> None:
    """The worker's loop is between two runs when it says so, and hears no signal for about a millisecond."""
    with ThreadPoolExecutor(2) as two:
        assert set(two.map(lambda moment: stop_after_start(mongodb_url, moment), moments)) == {0}


def test_a_killed_worker_is_replaced_and_leaves_no_solver_process() -> None:
    """The service is ready again without a restart, and stops cleanly afterwards."""
    with serving() as (command, url):
        (worker,) = [process for process in command.family() if _is_worker(process, command)]
        worker.kill()
        await_status(f"{url}/health/ready", 200, command)
        command.process.terminate()
        assert command.finish() == 0
        assert command.await_end_of_family() == []


def _is_worker(process: psutil.Process, server: Command) -> bool:
    return process.ppid() == server.process.pid and "mongod" not in " ".join(process.cmdline())


def test_all_wrong_settings_stop_it_with_a_line_each() -> None:
    """Settings of the service and of telemetry are reported together, and no secret is shown."""
    wrong = {
        "PORT": "eighty",
        "MONGODB_URL": "mongodb://user:secret@host/?tls=true&tlsCAFile=/nothing/ca.pem",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "foo",
    }
    with running("serve", environment=wrong) as command:
        assert command.finish() == 2
    port, mongodb, telemetry = command.output.splitlines()
    assert port == "order-generation: PORT accepts a whole number from 1 to 65535; found `eighty`"
    assert mongodb.startswith("order-generation: MONGODB_URL ")
    assert mongodb.endswith("the file /nothing/ca.pem of tlsCAFile cannot be read: No such file or directory")
    assert telemetry.startswith("order-generation: OTEL_EXPORTER_OTLP_ENDPOINT accepts a URL such as ")


def test_a_port_that_is_taken_stops_it_with_one_line() -> None:
    """The exit code is 2, and the line names address and port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with running("serve", environment={"HOST": "127.0.0.1", "PORT": str(port)}) as command:
            assert command.finish() == 2
    assert command.output == f"order-generation: cannot listen on 127.0.0.1, port {port}: Address already in use\n"
