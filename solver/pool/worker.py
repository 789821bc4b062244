"""What runs inside a solver process: receives chunks of portfolios on a socket, and sends each result once found.

What a process does with a portfolio is its `Work`: it solves it, and does whatever else the pool's owner wants computed
in a solver process.
"""

import multiprocessing
import os
import resource
import signal
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, Protocol

from msgspec import Raw, Struct, msgpack

from solver.pool.protocol import (
    LENGTH_BYTES,
    OUT_OF_MEMORY,
    Begun,
    ChunkEntry,
    Completed,
    Failed,
    Late,
    Message,
    NotBegun,
    Ready,
    Refused,
    decode_chunk,
    encode,
)
from solver.problem import InvalidPortfolio, Outcome, Portfolio, Security, SolverStrategy

CHUNK_SECONDS = 0.05
"""No portfolio of a chunk is begun later than this after the first: a hard portfolio must not delay the others."""

WARM_UP_SECONDS = 30.0
"""The limit of the first portfolio of a process, even if the configured limit is shorter."""

EXAMPLE = Portfolio(
    securities=(
        Security("A", Decimal("3.01"), target=Decimal("0.5"), low_drift=Decimal("0.1"), high_drift=Decimal("0.1")),
        Security("B", Decimal("2.99"), target=Decimal("0.4"), low_drift=Decimal("0.1"), high_drift=Decimal("0.1")),
    ),
    cash=Decimal(100),
)
"""A portfolio that neither strategy solves without computing."""


_FIRST_VICTIM = "1000"
"""The highest score; a process without privileges may raise its own."""

_DATA_PAGES = 5
"""The field of /proc/self/statm that RLIMIT_DATA limits."""


class Work[Problem, Result](Struct, frozen=True):
    """What solver processes do. It is pickled by reference: function and types must be importable by name.

    Attributes:
        run: called with a problem, and by name with `strategy`, a SolverStrategy, and `time_limit_seconds`; returns the
            result.
        problem, result: the types of both, as msgspec encodes and decodes them.
        example: a problem that a new process solves before it is ready.
        memory_bytes: how much more memory a process may allocate than it has when it is ready; None sets no limit. A
            problem that needs more ends only its own process.
    """

    run: Callable[..., Result]
    problem: type[Problem]
    result: Any
    example: Problem
    memory_bytes: int | None = None


class Solve(Protocol):
    """A function that solves portfolios, such as `solver.solve`."""

    def __call__(self, portfolio: Portfolio, *, strategy: SolverStrategy, time_limit_seconds: float) -> Outcome:
        """Return the outcome for a portfolio."""


def solving(solve: Solve) -> Work[Portfolio, Outcome]:
    """Return the work of only solving portfolios."""
    return Work(solve, Portfolio, Outcome, EXAMPLE)


def serve[Problem, Result](
    connection: socket.socket, work: Work[Problem, Result], strategy: SolverStrategy, time_limit_seconds: float
) -> None:
    """Serve chunks until the socket closes: the life of a solver process.

    Each chunk, a list of ChunkEntry, is confirmed with one Begun, followed by one message for each of its portfolios,
    in order.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    # The first integer program of a process is by far the slowest, and shows that the solver works at all.
    work.run(work.example, strategy=SolverStrategy.MILP, time_limit_seconds=WARM_UP_SECONDS)
    _limit_memory(work.memory_bytes)
    _end_first_without_memory()
    decode = msgpack.Decoder(work.problem).decode

    def respond(entry: ChunkEntry) -> Message:
        began = time.monotonic()
        limit = time_limit_seconds if entry.deadline is None else min(time_limit_seconds, entry.deadline - began)
        if limit <= 0:
            return Late()
        try:
            result = work.run(decode(entry.problem), strategy=strategy, time_limit_seconds=limit)
            return Completed(Raw(encode(result)), began, time.monotonic())
        except InvalidPortfolio as invalid:
            return Refused(str(invalid))
        except MemoryError:
            # After a failed allocation this process cannot be trusted with another portfolio.
            os._exit(OUT_OF_MEMORY)
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this portfolio and no other of the chunk
            return Failed(f"{type(error).__name__}: {error}", traceback.format_exc())

    try:
        with connection, connection.makefile("rb") as stream:
            _send(connection, Ready())
            while chunk := _receive(stream):
                _send(connection, Begun())
                started = time.monotonic()
                for number, entry in enumerate(chunk):
                    if number > 0 and time.monotonic() - started > CHUNK_SECONDS:
                        _send(connection, NotBegun())
                    else:
                        _send(connection, respond(entry))
    except ConnectionError:
        return  # the server is gone, so nobody reads a result or an error


def _receive(stream: BinaryIO) -> Sequence[ChunkEntry]:
    header = stream.read(LENGTH_BYTES)
    body = stream.read(int.from_bytes(header)) if len(header) == LENGTH_BYTES else b""
    return decode_chunk(body) if body else ()


def _send(connection: socket.socket, message: Message) -> None:
    body = encode(message)
    connection.sendall(len(body).to_bytes(LENGTH_BYTES) + body)


def _limit_memory(more_bytes: int | None) -> None:
    """Limit this process's memory to what it has now plus this number of bytes; Linux only."""
    if more_bytes is None:
        return
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[_DATA_PAGES])
    except OSError:
        return
    limit = pages * os.sysconf("SC_PAGE_SIZE") + more_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _end_first_without_memory() -> None:
    """Have the kernel kill this process before the server if the container's memory is exhausted; Linux only."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_VICTIM)


def _end_with_parent() -> None:
    """End with the server: the sentinel becomes ready however the server ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
