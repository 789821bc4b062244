"""A container engine: docker, podman, or podman inside a Debian of its own. The three understand the same commands."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

COMMAND_SECONDS = 900
READY_SECONDS = 120


class EngineError(Exception):
    """A command of the engine failed; the message has its output."""


class Engine:
    """Runs commands of a container engine.

    Attributes:
        name: `docker` or `podman`.
        version: as the engine reports it.
        files: the limit of open files to request for containers, or None for the engine's default.
        root: the directory of this machine that the engine sees as `/`.
    """

    def __init__(self, command: Sequence[str], name: str, *, root: Path = Path("/"), files: int | None = None) -> None:
        self._command = tuple(command)
        self.name = name
        self.root = root
        self.files = files
        self.version = self("--version").strip()

    def __call__(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        """Run one command and return its output.

        Raises:
            EngineError: if it fails and `check` is set.
        """
        done = self.start(*arguments, text=text)
        if check and done.returncode != 0:
            raise EngineError(f"{self.name} {' '.join(arguments)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done.stdout

    def start(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run one command and return how it ended."""
        return subprocess.run(
            [*self._command, *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def inspect(self, name: str) -> dict[str, Any]:
        """Return what the engine knows about a container."""
        (found,) = json.loads(self("container", "inspect", name))
        assert isinstance(found, dict)
        return found

    def layers(self, image: str) -> list[str]:
        """Return the digests of the layers of an image, the lowest first."""
        (found,) = json.loads(self("image", "inspect", image))
        return list(found["RootFS"]["Layers"])

    def path(self, inside: str) -> Path:
        """Return where this machine has a file that the engine sees under that path."""
        return self.root / inside.lstrip("/")


def installed_engine() -> Engine | None:
    """Return the engine of this machine, if one is installed and responses."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0:
            return Engine([name], name)
    return None


class Container:
    """A running container with a published port."""

    def __init__(self, engine: Engine, name: str, url: str) -> None:
        self.engine = engine
        self.name = name
        self.url = url

    def python(self, program: str) -> str:
        """Run a Python program inside and return its output."""
        return self.engine("exec", self.name, "python", "-c", program).strip()

    def logs(self) -> str:
        """Return everything that it wrote."""
        done = self.engine.start("logs", self.name)
        return done.stdout + done.stderr

    def ready(self) -> bool:
        """Return whether the service reports that it is ready."""
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=3).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def await_ready(self) -> None:
        """Wait until the service is ready."""
        until(self.ready, READY_SECONDS, lambda: f"{self.name} is not ready:\n{self.logs()[-4000:]}")

    def stop(self, seconds: int) -> int:
        """Send SIGTERM, kill after that time, and return the exit code."""
        self.engine("stop", "--time", str(seconds), self.name)
        return int(self.engine.inspect(self.name)["State"]["ExitCode"])


def run_container(
    engine: Engine,
    image: str,
    *command: str,
    name: str,
    network: str,
    port: int | None = None,
    inside: int = 8080,
    environment: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Container:
    """Start a container in the background; one of the same name is replaced.

    Args:
        engine: what runs it.
        image: what to run.
        command: arguments for the image's entry point.
        name: of the container, and its name in the network.
        network: to which it belongs.
        port: of this machine's loopback interface, to publish the container's port at; None publishes nothing.
        inside: the port that the container listens on.
        environment: variables.
        options: further options of `run`.
    """
    engine("rm", "--force", "--volumes", name, check=False)
    published = () if port is None else ("--publish", f"127.0.0.1:{port}:{inside}")
    variables = [option for key, value in (environment or {}).items() for option in ("--env", f"{key}={value}")]
    engine("run", "--detach", "--name", name, "--network", network, *published, *variables, *options, image, *command)
    return Container(engine, name, f"http://127.0.0.1:{port}")


def until(happened: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    """Wait until something has happened.

    Raises:
        AssertionError: with the text of `otherwise`, if it has not happened in time.
    """
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, otherwise()
        time.sleep(0.1)
