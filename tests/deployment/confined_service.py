"""A container of the image, as far as a process can be one: its command, its environment and its confinement."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from tests.deployment.confinement import start_confined
from tests.deployment.containerfile import final_stage
from tests.deployment.installation import Installation

READY_SECONDS = 180
STOP_SECONDS = 30


class ConfinedService:
    """A running service."""

    def __init__(
        self, installation: Installation, environment: Mapping[str, str], log: Path, process: subprocess.Popen[bytes]
    ) -> None:
        self.installation = installation
        self.environment = environment
        self.log = log
        self.process = process
        self.url = f"http://127.0.0.1:{environment['PORT']}"

    def processes(self) -> list[psutil.Process]:
        """The server and every process that it has started."""
        server = psutil.Process(self.process.pid)
        return [server, *server.children(recursive=True)]

    def health_check(self, **environment: str) -> int:
        """Run the image's HEALTHCHECK as a container engine would; give its exit code."""
        command = final_stage().only("HEALTHCHECK").arguments
        executable = self.installation.virtual_environment / "bin" / command[0]
        done = subprocess.run(
            [executable, *command[1:]], env={**self.environment, **environment}, capture_output=True, check=False
        )
        return done.returncode

    def await_ready(self) -> None:
        """Wait until the service says that it can serve."""
        until = time.monotonic() + READY_SECONDS
        with httpx.Client(timeout=READY_SECONDS) as client:
            while time.monotonic() < until and self.process.poll() is None:
                with suppress(httpx.TransportError):
                    if client.get(f"{self.url}/health/ready").status_code == 200:
                        return
                time.sleep(0.1)
        raise AssertionError(f"the service did not become ready:\n{self.log.read_text()}")


@contextmanager
def running_confined_service(
    installation: Installation, settings: Mapping[str, str], log: Path
) -> Iterator[ConfinedService]:
    """Run the service until the block ends."""
    environment = {**installation.environment, **settings}
    with log.open("wb") as output:
        process = start_confined(installation.command, environment, output)
    service = ConfinedService(installation, environment, log, process)
    try:
        service.await_ready()
        yield service
    finally:
        left = service.processes() if process.poll() is None else []
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for each in psutil.wait_procs(left, timeout=1)[1]:
            each.kill()
