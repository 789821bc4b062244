"""Runs as a process of its own between the service and its mongod, so that no mongod is left behind.

Arguments: the process that mongod is for, the directory to remove with it (or nothing), mongod's command line. A signal
ends mongod, and so does the parent's death, by whatever signal. Imports little: this start is part of every start.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

_PATIENCE_SECONDS = 20
_LOOK_SECONDS = 0.1
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit


def _die_with_keeper() -> None:
    """Configure Linux to end mongod even if the keeper itself is killed; other systems cannot."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _end(mongod: subprocess.Popen[bytes], *, abruptly: bool) -> None:
    for number in _ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if abruptly:
        mongod.kill()
    else:
        mongod.terminate()
    try:
        mongod.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        mongod.kill()
        mongod.wait()


def keep(parent: int, doomed_directory: str, command: Sequence[str]) -> int:
    """Run `command` until it ends or `parent` does.

    Args:
        parent: process id of the one that mongod is for.
        doomed_directory: removed with its data after mongod has ended; empty to keep everything.
        command: program and arguments of mongod.

    Returns:
        mongod's exit status, which shows the parent why a start failed.
    """
    for number in _ENDING_SIGNALS:
        signal.signal(number, _leave)
    # This process has one thread, so nothing can hold a lock across the fork that preexec_fn runs in.
    mongod = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_keeper)  # noqa: PLW1509, S603
    try:
        while (status := mongod.poll()) is None and os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
    finally:
        if mongod.poll() is None:
            _end(mongod, abruptly=bool(doomed_directory))
            if doomed_directory:
                shutil.rmtree(doomed_directory, ignore_errors=True)
    return mongod.returncode if status is None else status


if __name__ == "__main__":
    sys.exit(keep(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
