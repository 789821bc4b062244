"""The command line of the service on a clock that is wrong: `python -m tests.app.orders.skewed SECONDS serve ...`."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from persistence.embedded import free_port
from tests.harness.ordering import OrderingService

_READY_SECONDS = 180.0


@contextmanager
def skewed_service(environment: Mapping[str, str], directory: Path, seconds: float) -> Iterator[OrderingService]:
    """Run a service whose clock is this many seconds ahead, for as long as the block lasts."""
    port, log = free_port(), directory / f"skewed-{seconds:g}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, f"{seconds}", "serve", "--exit-with-stdin"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, "HOST": "127.0.0.1", "PORT": str(port)},
            start_new_session=True,
        )
    try:
        with OrderingService(f"http://127.0.0.1:{port}", psutil.Process(process.pid), log) as service:
            until = time.monotonic() + _READY_SECONDS
            while not service.is_ready():
                assert process.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < until, log.read_text()[-2000:]
                time.sleep(0.05)
            yield service
    finally:
        process.terminate()
        process.wait(40)
        assert process.stdin is not None
        process.stdin.close()


def main() -> None:
    """Put the clock wrong, then run the command line."""
    ahead = timedelta(seconds=float(sys.argv.pop(1)))

    def wrong() -> datetime:
        moment = datetime.now(UTC) + ahead
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    import app.clock  # noqa: PLC0415 - before anything imports what it contains
    import persistence.server_clock  # noqa: PLC0415

    app.clock.now = wrong
    persistence.server_clock.local_time = wrong
    from app.cli import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
