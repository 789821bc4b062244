"""A run of Locust: a process of its own, since it replaces the standard library's sockets and threads with its own."""

import resource
import subprocess
import sys
import time
from pathlib import Path

from msgspec import Struct

from app.http.dialect import Dialect
from benchmarks.load.calls import Call, read_calls
from benchmarks.load.market import Upstreams
from benchmarks.load.plan import TIMEOUT_SECONDS, Profile, Step, steps

REPOSITORY = Path(__file__).parents[2]
START_SECONDS = 30
"""Time for Locust, its users and the large models to start."""


class RunFailed(Exception):
    """Locust did not get through its run; the message has its last words."""


class Target(Struct, frozen=True):
    """What is put under load.

    Attributes:
        host: base URL of the service, without `/api/v1`.
        dialect: its `API_DIALECT`.
        upstreams: where the securities and portfolios to load it with are read.
    """

    host: str
    dialect: Dialect
    upstreams: Upstreams


class Run(Struct, frozen=True):
    """What was requested, what came of it, and the share of a core that Locust took to do it."""

    steps: tuple[Step, ...]
    calls: list[Call]
    generator_cpu: float


def run_locust(profile: Profile, target: Target, directory: Path, *, rate: float, seconds: float) -> Run:
    """Run a profile to its end.

    Args:
        profile: a search is one step of the flow.
        target: what to put under load.
        directory: takes Locust's log, and its calls.
        rate: rebalances a second, in a ramp those of the first step.
        seconds: how long to judge, in a ramp each step.

    Raises:
        RunFailed: Locust ended otherwise than by the clock.
    """
    plan = steps(profile, rate, seconds)
    log, calls = directory / "locust.log", directory / "calls.jsonl"
    log.unlink(missing_ok=True)
    if profile is Profile.RAMP:
        duration = ["--rate", f"{rate}", "--step-seconds", f"{seconds}"]
    else:
        count = f"{profile.users(rate)}"
        duration = ["--users", count, "--spawn-rate", count, "--run-time", f"{plan[-1].ends:.0f}s"]
    upstreams = target.upstreams
    before, began = _children_cpu(), time.monotonic()
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "--locustfile", profile.locustfile, "--headless", "--only-summary"),
            *("--host", target.host, "--dialect", target.dialect, *duration),
            *("--security-service-url", upstreams.security, "--pricing-service-url", upstreams.pricing),
            *("--portfolio-service-url", upstreams.portfolio),
            # What has begun may end, so that the slowest calls are among those that count.
            *("--stop-timeout", f"{TIMEOUT_SECONDS + 2:.0f}"),
            *("--exit-code-on-error", "0", "--calls-file", calls, "--logfile", log),
        ],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=plan[-1].ends + START_SECONDS + TIMEOUT_SECONDS,
        check=False,
    )
    if ended.returncode:
        words = log.read_text().splitlines()[-15:] if log.exists() else []
        raise RunFailed("\n".join([f"Locust ended with exit code {ended.returncode}.", *words, ended.stderr]))
    elapsed = time.monotonic() - began
    return Run(plan, read_calls(calls), (_children_cpu() - before) / elapsed)


def _children_cpu() -> float:
    """CPU seconds of the processes that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
