"""The client that CI runs in a kind cluster copes with what that job does to the service: a pod killed under load."""

import json
import os
import random
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from pymongo import MongoClient

from app.commands.stack import running_service_process, running_simulator_process
from tests.deployment.containerfile import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CLIENT = REPOSITORY / "tests/deployment/cluster/client.py"
SECONDS = 10
LARGEST_READ = 65_536


@contextmanager
def spreading(addresses: list[tuple[str, int]]) -> Iterator[str]:
    """Yield the URL of a port whose connections go to one of these addresses each, as those to a Service do."""

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), socket.create_connection(random.choice(addresses)) as backend:
                request = threading.Thread(target=_copy, args=(self.request, backend))
                request.start()
                _copy(backend, self.request)
                request.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while received := source.recv(LARGEST_READ):
            target.sendall(received)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def test_every_request_has_an_outcome_although_an_instance_is_killed(mongodb_url: str, tmp_path: Path) -> None:
    """Requests that were cut off are repeated under their key until it is no longer in progress."""
    name = f"test_cluster_{uuid.uuid4().hex}"
    with running_simulator_process() as simulator:
        environment = {
            "MONGODB_URL": mongodb_url,
            "DATABASE_NAME": name,
            "PORTFOLIO_ACCOUNTING_SERVICE_URL": simulator.portfolio_accounting,
            "PRICING_SERVICE_URL": simulator.pricing,
            "PORTFOLIO_SERVICE_URL": simulator.portfolio,
            "SECURITY_SERVICE_URL": simulator.security,
            "ORDER_SERVICE_URL": simulator.order,
            "SOLVER_PROCESSES": "1",
            "REBALANCE_DEADLINE_SECONDS": "2",
        }
        with (
            running_service_process(environment, tmp_path / "first") as (first, killed),
            running_service_process(environment, tmp_path / "second") as (second, _),
        ):
            addresses = [("127.0.0.1", urlsplit(url).port or 0) for url in (first, second)]
            with spreading(addresses) as url:
                command = [sys.executable, str(CLIENT), "rebalance", url, str(SECONDS)]
                client = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
                try:
                    with pytest.raises(subprocess.TimeoutExpired):
                        client.wait(SECONDS / 2)
                    family = [*psutil.Process(killed.pid).children(recursive=True), psutil.Process(killed.pid)]
                    for process in family:
                        with suppress(psutil.NoSuchProcess):
                            os.kill(process.pid, signal.SIGKILL)
                    del addresses[0]
                    output, _ = client.communicate(timeout=200)
                finally:
                    client.kill()
    with MongoClient[dict[str, object]](mongodb_url) as database:
        database.drop_database(name)
    assert client.returncode == 0, output
    seen = json.loads(output.splitlines()[0])
    assert seen["200"] > 0
    assert seen["201"] > 0
    print(seen)
