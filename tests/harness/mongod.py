"""Servers of MongoDB for tests, and one that can be killed and comes back: the same data, the same port."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psutil
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from persistence.embedded import EmbeddedMongod
from persistence.embedded import keeper as mongod_keeper

_START_SECONDS = 60.0
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 2_000_000_000


def fast_place() -> Path | None:
    """Return a directory in memory, if there is one with room; else None, which is the system's temporary directory.

    A write waits until it is in the journal, on a disk several milliseconds each time. Tests that kill a server keep
    their data as well here, since memory outlasts processes.
    """
    roomy = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES
    return _MEMORY if roomy else None


class RestartableMongod:
    """An embedded mongod, a replica set of one; `url` stays good over its deaths.

    Its first start is the embedded one. Every later start repeats that mongod's command line.
    """

    def __init__(self, embedded: EmbeddedMongod) -> None:
        (self._process,) = psutil.Process(embedded.process).children()
        self._command = self._process.cmdline()
        self._keeper: subprocess.Popen[bytes] | None = None
        self.url = embedded.url

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Self]:
        """Run it for as long as the block lasts."""
        with (
            tempfile.TemporaryDirectory(prefix="mongod-", dir=fast_place(), ignore_cleanup_errors=True) as directory,
            EmbeddedMongod.start(Path(directory)) as embedded,
        ):
            mongod = cls(embedded)
            try:
                yield mongod
            finally:
                mongod.kill()

    def kill(self) -> None:
        """End it by SIGKILL and wait until it is gone."""
        if self._process.is_running():
            self._process.kill()
            psutil.wait_procs([self._process], timeout=_START_SECONDS)
        if self._keeper is not None:
            self._keeper.wait()
            self._keeper = None

    def freeze(self) -> None:
        """Stop it by SIGSTOP: its connections stay open and nothing responds."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start it again after `kill`, and return once it takes writes."""
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", mongod_keeper.__file__, str(os.getpid()), "", *self._command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._await_writable()
        (self._process,) = psutil.Process(self._keeper.pid).children()

    def _await_writable(self) -> None:
        assert self._keeper is not None
        until = time.monotonic() + _START_SECONDS
        with MongoClient[dict[str, object]](self.url, serverSelectionTimeoutMS=200) as client:
            while time.monotonic() < until:
                assert self._keeper.poll() is None, "mongod ended while starting"
                try:
                    if client.admin.command("hello")["isWritablePrimary"]:
                        return
                except PyMongoError:
                    pass
                time.sleep(0.02)
        raise AssertionError("mongod does not take writes")
