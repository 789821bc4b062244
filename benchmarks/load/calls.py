"""The calls of a run: written by Locust's process as they end, read by the code that judges or draws them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from msgspec import Struct

_encode = msgspec.json.Encoder().encode


class Call(Struct, frozen=True, array_like=True):
    """One request.

    Attributes:
        began: seconds after the start of the run.
        kind: what it requested.
        milliseconds: until the whole response had arrived.
        failure: why it failed, if it did.
    """

    began: float
    kind: str
    milliseconds: float
    failure: str | None


class Figures(Struct, frozen=True):
    """Counts and latencies of many calls, in milliseconds."""

    calls: int
    failures: int
    mean: float
    median: float
    p95: float
    p99: float
    longest: float


class Recorder:
    """Listens to Locust's requests and writes each as a line."""

    def __init__(self, file: IO[bytes], started: float) -> None:
        """Write to a file; `started` is the time of the run's start, in seconds of the epoch."""
        self._file = file
        self._started = started

    def __call__(
        self, *, name: str, response_time: float, exception: BaseException | None, start_time: float, **_: Any
    ) -> None:
        """Write a request that Locust reports."""
        failure = None if exception is None else str(exception) or type(exception).__name__
        self._file.write(_encode(Call(start_time - self._started, name, response_time, failure)) + b"\n")


def read_calls(path: Path) -> list[Call]:
    """Read what a recorder wrote."""
    return msgspec.json.Decoder(Call).decode_lines(path.read_bytes())


def between(calls: Iterable[Call], begins: float, ends: float) -> list[Call]:
    """Keep the calls that began in a stretch of time."""
    return [call for call in calls if begins <= call.began < ends]


def figures(calls: Sequence[Call]) -> Figures:
    """Sum up calls, failed ones included; without any, all figures are 0."""
    times = np.array([call.milliseconds for call in calls] or [0.0])
    median, p95, p99 = np.percentile(times, (50, 95, 99))
    failures = sum(call.failure is not None for call in calls)
    return Figures(len(calls), failures, float(times.mean()), float(median), float(p95), float(p99), float(times.max()))


def failures(calls: Iterable[Call]) -> Counter[tuple[str, str]]:
    """Count the failures by kind of call and reason."""
    return Counter((call.kind, call.failure) for call in calls if call.failure is not None)
