"""What runs inside a solver process: chunks of portfolios come in on a socket, each answer goes out when it is done."""

import multiprocessing
import os
import signal
import socket
import time
import traceback
from collections.abc import Sequence
from decimal import Decimal
from multiprocessing.connection import wait
from threading import Thread
from typing import BinaryIO, Protocol

from msgspec import Raw, Struct, msgpack

from solver.problem import InvalidPortfolio, Outcome, Portfolio, Security, SolverStrategy, TimeLimit

CHUNK_SECONDS = 0.05
"""No portfolio of a chunk is begun later than this after the first: one hard portfolio must not hold up the others."""

OUT_OF_MEMORY = 71
"""Exit code of a solver process that could not allocate memory."""

LENGTH_BYTES = 4
"""Every message on the socket, both ways, is its length as so many bytes, big end first, then itself in msgpack."""

WARM_UP_SECONDS = 30.0
"""For the first portfolio of a process, however short the limit of those that follow."""

_WARM_UP = Portfolio(
    securities=(
        Security("A", Decimal("3.01"), target=Decimal("0.5"), low_drift=Decimal("0.1"), high_drift=Decimal("0.1")),
        Security("B", Decimal("2.99"), target=Decimal("0.4"), low_drift=Decimal("0.1"), high_drift=Decimal("0.1")),
    ),
    cash=Decimal(100),
)


class Solve(Protocol):
    """The function a solver process runs on each portfolio. It must be importable by name: it crosses by reference."""

    def __call__(self, portfolio: Portfolio, *, strategy: SolverStrategy, time_limit_seconds: float) -> Outcome: ...


class Task(Struct, frozen=True, array_like=True):
    """One portfolio of a chunk, already encoded, and the moment on `time.monotonic()`, one clock for all processes
    of a machine, at which its answer loses its value."""

    portfolio: Raw
    deadline: float | None


class Ready(Struct, frozen=True, tag=True):
    """The process has solved a portfolio of its own and waits for chunks. Sent once."""


class Begun(Struct, frozen=True, tag=True):
    """A chunk has arrived and its first portfolio is being solved."""


class Answered(Struct, frozen=True, tag=True):
    """The answer to the next portfolio of the chunk, worked on between two moments of `time.monotonic()`."""

    outcome: Outcome
    began: float
    ended: float


class Refused(Struct, frozen=True, tag=True):
    """The next portfolio of the chunk is an InvalidPortfolio, in these words."""

    message: str


class Failed(Struct, frozen=True, tag=True):
    """Solving the next portfolio of the chunk raised an exception, with this traceback."""

    message: str
    traceback: str


class NotBegun(Struct, frozen=True, tag=True):
    """The chunk had its time before the turn of its next portfolio came."""


type Message = Ready | Begun | Answered | Refused | Failed | NotBegun

encode = msgpack.Encoder().encode
_decode_chunk = msgpack.Decoder(list[Task]).decode
_decode_portfolio = msgpack.Decoder(Portfolio).decode


def serve(connection: socket.socket, solve: Solve, strategy: SolverStrategy, time_limit_seconds: float) -> None:
    """Serves chunks until the socket closes: the life of a solver process.

    Each chunk, a list of Task, is answered with one Begun and then, in order, one message for each of its portfolios.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    # The first integer program of a process is slower by far, and shows that the solver works here at all.
    solve(_WARM_UP, strategy=SolverStrategy.MILP, time_limit_seconds=WARM_UP_SECONDS)
    try:
        with connection, connection.makefile("rb") as stream:
            _send(connection, Ready())
            while chunk := _receive(stream):
                _send(connection, Begun())
                started = time.monotonic()
                for number, task in enumerate(chunk):
                    if number > 0 and time.monotonic() - started > CHUNK_SECONDS:
                        _send(connection, NotBegun())
                    else:
                        _send(connection, _answer(task, solve, strategy, time_limit_seconds))
    except ConnectionError:
        return  # the server is gone, and with it whoever could use an answer or a complaint


def _answer(task: Task, solve: Solve, strategy: SolverStrategy, time_limit_seconds: float) -> Message:
    began = time.monotonic()
    try:
        if task.deadline is not None:
            time_limit_seconds = min(time_limit_seconds, task.deadline - began)
        if time_limit_seconds <= 0:
            return Answered(TimeLimit(objective=None, bound=None, seconds=0.0), began, began)
        portfolio = _decode_portfolio(task.portfolio)
        outcome = solve(portfolio, strategy=strategy, time_limit_seconds=time_limit_seconds)
        return Answered(outcome, began, time.monotonic())
    except InvalidPortfolio as invalid:
        return Refused(str(invalid))
    except MemoryError:
        # What is left of this process is not to be trusted with another portfolio.
        os._exit(OUT_OF_MEMORY)
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this portfolio and not to its neighbours
        return Failed(f"{type(error).__name__}: {error}", traceback.format_exc())


def _receive(stream: BinaryIO) -> Sequence[Task]:
    header = stream.read(LENGTH_BYTES)
    body = stream.read(int.from_bytes(header)) if len(header) == LENGTH_BYTES else b""
    return _decode_chunk(body) if body else ()


def _send(connection: socket.socket, message: Message) -> None:
    body = encode(message)
    connection.sendall(len(body).to_bytes(LENGTH_BYTES) + body)


def _end_with_parent() -> None:
    """A server that is killed closes nothing; the sentinel tells."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
