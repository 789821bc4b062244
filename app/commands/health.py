"""The image's health check: find out which command the container runs, and whether it serves.

It runs every few seconds, so it imports nothing but the standard library.
"""

import argparse
import http.client
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 4
SIMULATED_SERVICES = 5
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what the service listens on, not what this does


def main() -> None:
    """Exit with 0 if the container is healthy, otherwise with 1."""
    command_line = Path("/proc/1/cmdline").read_bytes().decode(errors="replace").split("\0")
    sys.exit(0 if is_healthy(command_line, os.environ) else 1)


def is_healthy(command_line: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Return whether the command in a container does what it is for.

    Args:
        command_line: of the container's first process, which may be an init that starts the command.
        environment: the container's variables.
    """
    command, arguments = _command(command_line)
    match command:
        case "serve":
            return _serves(environment)
        case "simulator":
            return _simulates(arguments)
        case _:
            return True  # A command that serves nothing is healthy as long as it runs.


def _command(command_line: Sequence[str]) -> tuple[str, list[str]]:
    """Return the subcommand and its arguments; `serve` if this is not a command line of the service."""
    for place, word in enumerate(command_line):
        if Path(word).name == "order-generation" and len(command_line) > place + 1:
            return command_line[place + 1], list(command_line[place + 2 :])
    return "serve", []


def _serves(environment: Mapping[str, str]) -> bool:
    """Return whether the service reports that it is alive."""
    host = environment.get("HOST") or "0.0.0.0"  # noqa: S104 - the default of the setting
    port = int(environment.get("PORT") or 8080)
    connection = http.client.HTTPConnection(ANY_ADDRESS.get(host, host), port, timeout=SECONDS)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _simulates(arguments: Sequence[str]) -> bool:
    """Return whether any of the simulated services listens: a simulated fault may close some of them."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--first-port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    options, _ = parser.parse_known_args(arguments)
    if options.first_port == 0:
        return True  # Only the simulator knows which free ports it chose.
    host = ANY_ADDRESS.get(options.host, options.host)
    return any(_listens(host, options.first_port + place) for place in range(SIMULATED_SERVICES))


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=SECONDS / SIMULATED_SERVICES).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
