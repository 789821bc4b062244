"""What is written past the log, to standard error, becomes log lines as well: tracebacks, and what C libraries print.

The server lends its standard error to every process it starts, so a thread in the server sees what any of them prints,
even in the moment it dies. Solver processes send their standard output the same way.
"""

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Final

import structlog

log = structlog.get_logger("stderr")

STANDARD_ERROR: Final = 2
_QUIET_SECONDS: Final = 0.1
"""Lines that come closer together than this are one message, as a traceback is."""
_MESSAGE_BYTES: Final = 64 * 1024
_LAST_WORDS_SECONDS: Final = 2.0


@contextmanager
def stray_output_logged() -> Iterator[None]:
    """Log what this process, and those it starts meanwhile, write to standard error."""
    original = os.dup(STANDARD_ERROR)
    reader, writer = os.pipe()
    os.dup2(writer, STANDARD_ERROR)
    os.close(writer)
    thread = Thread(target=_log_messages, args=(reader,), name="stray-output", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.dup2(original, STANDARD_ERROR)
        os.close(original)
        thread.join(_LAST_WORDS_SECONDS)


def _log_messages(reader: int) -> None:
    """Log until every process that could write has ended."""
    message = b""
    while True:
        readable, _, _ = select.select([reader], [], [], _QUIET_SECONDS if message else None)
        chunk = os.read(reader, _MESSAGE_BYTES) if readable else b""
        message += chunk
        if message and (not chunk or len(message) >= _MESSAGE_BYTES):
            log.warning("written past the log", text=message.decode(errors="replace").strip())
            message = b""
        if readable and not chunk:
            os.close(reader)
            return
