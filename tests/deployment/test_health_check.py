"""The image's health check judges every command of the image by what that command is for."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from app.commands.health import is_healthy
from app.commands.stack import running_simulator_process
from persistence.embedded import free_port
from tests.deployment.containerfile import final_stage

PROGRAM = ["/opt/order-generation/bin/python3", "/opt/order-generation/bin/order-generation"]


class Alive(http.server.BaseHTTPRequestHandler):
    """A service that is alive."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/live" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a service that is alive."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Alive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_the_image_runs_this_check() -> None:
    """The Containerfile names this module."""
    assert final_stage().only("HEALTHCHECK").arguments == ["python", "-m", "app.commands.health"]


@pytest.mark.parametrize("init", [[], ["/sbin/docker-init", "--"]], ids=["first process", "with an init"])
def test_a_service_is_healthy_if_it_is_alive(init: list[str], port: int) -> None:
    """It is asked at the port that its settings name."""
    command_line = [*init, *PROGRAM, "serve", ""]
    assert is_healthy(command_line, {"PORT": str(port)})
    assert is_healthy(command_line, {"PORT": str(port), "HOST": "127.0.0.1"})
    assert not is_healthy(command_line, {"PORT": str(free_port())})


def test_a_simulator_is_healthy_while_it_listens() -> None:
    """`docker run IMAGE simulator` serves nothing at port 8080, and is healthy all the same."""
    with running_simulator_process() as simulator:
        first_port = int(simulator.portfolio_accounting.rpartition(":")[2])
        command_line = [*PROGRAM, "simulator", "--host", "0.0.0.0", "--first-port"]
        assert is_healthy([*command_line, str(first_port), ""], {})
    assert not is_healthy([*command_line, "1", ""], {})
    assert is_healthy([*PROGRAM, "simulator", ""], {}), "nobody else knows the ports that it chose"


@pytest.mark.parametrize("command", ["demo", "plan"])
def test_a_command_that_serves_nothing_is_healthy_while_it_runs(command: str) -> None:
    """The engine asks only while it runs."""
    assert is_healthy([*PROGRAM, command, "--help", ""], {})
