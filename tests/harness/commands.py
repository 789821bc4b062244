"""Commands of the project as a user starts them, and every process that they leave behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from uuid import uuid4

import psutil

MARK = "ORDER_GENERATION_TEST_MARK"


def marked(name: str, mark: str) -> Iterator[psutil.Process]:
    """Yield every living process that has this variable in its environment."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(name) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process


class Command:
    """A running `order-generation` command whose descendants can be found by a mark in their environment."""

    def __init__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.mark = uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "120", **(environment or {}), MARK: self.mark},
            start_new_session=True,
        )
        self.output = ""

    def read_until(self, text: str) -> str:
        """Read output up to the line with this text; fail where the output ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if text in line:
                return self.output
        raise AssertionError(f"no {text!r} in:\n{self.output}")

    def finish(self, seconds: float = 120) -> int:
        """Read the rest and wait for the end."""
        rest, _ = self.process.communicate(timeout=seconds)
        self.output += rest
        return self.process.returncode

    def family(self) -> list[psutil.Process]:
        """Every living process that this command started, itself included, wherever it has been moved to."""
        return list(marked(MARK, self.mark))

    def await_end_of_family(self, seconds: float = 60) -> list[str]:
        """Wait until nothing of it is left; give the command lines of what is."""
        until = time.monotonic() + seconds
        while (family := self.family()) and time.monotonic() < until:
            time.sleep(0.1)
        left = []
        for process in family:
            try:
                left.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return left


@contextmanager
def running(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Command]:
    """Run a command; whatever a failing test leaves of it is killed."""
    command = Command(*arguments, environment=environment)
    try:
        yield command
    finally:
        for process in command.family():
            process.kill()
        command.process.wait()
        assert command.process.stdout is not None
        command.process.stdout.close()
