"""A mongod and services that are killed and come back, around one simulated Order Service."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

from app.commands.stack import running_simulator_process
from integrations.simulator import SimulatorUrls
from tests.harness.mongod import RestartableMongod
from tests.harness.ordering import FAST, OrderingService, OrderServiceControl, ordering_service

_PATIENCE_SECONDS = 60.0


class KillableService:
    """A service that is started anew after it was killed, with another address."""

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        self._environment, self._directory = environment, directory
        self._running = ExitStack()
        self.api = self._start()

    def kill(self) -> None:
        """End the server and all its processes by SIGKILL, and start the service again."""
        family = [self.api.process, *self.api.process.children(recursive=True)]
        for process in family:
            # The first one's death ends others.
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=_PATIENCE_SECONDS)
        self.close()
        self._running = ExitStack()
        self.api = self._start()

    def kill_worker(self) -> None:
        """End the process that serves HTTP by SIGKILL, and wait for its successor to be ready."""
        worker = self.api.worker()
        worker.kill()
        psutil.wait_procs([worker], timeout=_PATIENCE_SECONDS)
        until = time.monotonic() + _PATIENCE_SECONDS
        while not self.api.is_ready():
            assert time.monotonic() < until, "the worker has no successor"
            time.sleep(0.05)

    def freeze(self) -> psutil.Process:
        """Stop the process that serves HTTP by SIGSTOP, and return it."""
        worker = self.api.worker()
        worker.send_signal(signal.SIGSTOP)
        return worker

    def close(self) -> None:
        """Stop the service."""
        self._running.close()

    def _start(self) -> OrderingService:
        return self._running.enter_context(ordering_service(self._environment, self._directory))


class Surroundings:
    """What services need: a mongod that can be killed, and the simulator."""

    def __init__(self, mongod: RestartableMongod, order_service: OrderServiceControl, directory: Path) -> None:
        self.mongod = mongod
        self.order_service = order_service
        self._directory = directory

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the settings of a service in these surroundings."""
        urls: SimulatorUrls = self.order_service.urls
        return {
            "MONGODB_URL": self.mongod.url,
            "DATABASE_NAME": "orders",
            "PORTFOLIO_ACCOUNTING_SERVICE_URL": urls.portfolio_accounting,
            "PRICING_SERVICE_URL": urls.pricing,
            "PORTFOLIO_SERVICE_URL": urls.portfolio,
            "SECURITY_SERVICE_URL": urls.security,
            "ORDER_SERVICE_URL": urls.order,
            **FAST,
            **settings,
        }

    @contextmanager
    def service(self, **settings: str) -> Iterator[KillableService]:
        """Run a service for as long as the block lasts."""
        service = KillableService(self.environment(**settings), self._directory)
        try:
            yield service
        finally:
            service.close()

    def restart_mongod(self, seconds: float = 0.5) -> None:
        """End mongod by SIGKILL, and start it again after a while."""
        self.mongod.kill()
        time.sleep(seconds)
        self.mongod.restart()


@contextmanager
def surroundings(directory: Path) -> Iterator[Surroundings]:
    """Run mongod and the simulator for as long as the block lasts."""
    with (
        RestartableMongod.start() as mongod,
        running_simulator_process("--price-spread", "0") as urls,
    ):
        control = OrderServiceControl(urls)
        yield Surroundings(mongod, control, directory)
        control.close()
