"""What PyMongo reports of its commands and connections, as metrics."""

from typing import Final, override

from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
    ConnectionCheckedInEvent,
    ConnectionCheckedOutEvent,
    ConnectionCheckOutFailedEvent,
    ConnectionCheckOutStartedEvent,
    ConnectionClosedEvent,
    ConnectionCreatedEvent,
    ConnectionPoolListener,
    ConnectionReadyEvent,
    PoolClearedEvent,
    PoolClosedEvent,
    PoolCreatedEvent,
    PoolReadyEvent,
)

from app.observability.metrics import Metrics

COMMANDS: Final = frozenset(
    {
        "aggregate",
        "count",
        "createIndexes",
        "delete",
        "endSessions",
        "find",
        "findAndModify",
        "getMore",
        "insert",
        "killCursors",
        "ping",
        "update",
    }
)
OTHER: Final = "other"


class CommandObserver(CommandListener):
    """Times every command that the service sends."""

    def __init__(self, metrics: Metrics) -> None:
        self._seconds = metrics.database_seconds

    @override
    def started(self, event: CommandStartedEvent) -> None:
        pass

    @override
    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._observe(event, "ok")

    @override
    def failed(self, event: CommandFailedEvent) -> None:
        self._observe(event, "failed")

    def _observe(self, event: CommandSucceededEvent | CommandFailedEvent, outcome: str) -> None:
        command = event.command_name if event.command_name in COMMANDS else OTHER
        self._seconds.labels(command, outcome).observe(event.duration_micros / 1_000_000)


class ConnectionObserver(ConnectionPoolListener):
    """Counts connections, and the time that commands wait for one."""

    def __init__(self, metrics: Metrics) -> None:
        self._open = metrics.database_connections.labels("open")
        self._in_use = metrics.database_connections.labels("in_use")
        self._wait = metrics.database_checkout_seconds
        self._failures = metrics.database_checkout_failures

    @override
    def connection_created(self, event: ConnectionCreatedEvent) -> None:
        self._open.inc()

    @override
    def connection_closed(self, event: ConnectionClosedEvent) -> None:
        self._open.dec()

    @override
    def connection_checked_out(self, event: ConnectionCheckedOutEvent) -> None:
        self._in_use.inc()
        self._wait.observe(event.duration or 0.0)

    @override
    def connection_checked_in(self, event: ConnectionCheckedInEvent) -> None:
        self._in_use.dec()

    @override
    def connection_check_out_failed(self, event: ConnectionCheckOutFailedEvent) -> None:
        self._failures.labels(event.reason).inc()

    @override
    def connection_check_out_started(self, event: ConnectionCheckOutStartedEvent) -> None:
        pass

    @override
    def connection_ready(self, event: ConnectionReadyEvent) -> None:
        pass

    @override
    def pool_created(self, event: PoolCreatedEvent) -> None:
        pass

    @override
    def pool_ready(self, event: PoolReadyEvent) -> None:
        pass

    @override
    def pool_cleared(self, event: PoolClearedEvent) -> None:
        pass

    @override
    def pool_closed(self, event: PoolClosedEvent) -> None:
        pass
