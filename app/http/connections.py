"""Time limits of connections, which Granian does not have: idle, unfinished and unread ones are closed.

Granian closes a connection that sends no complete header in time, without a response, and never one whose client does
not read. This watch closes both as the contract says. It can be removed when Granian has a response to a header that
does not arrive, and a time limit for writing.
"""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import structlog
from litestar.types import HTTPScope
from msgspec import Struct

from app.http.sockets import Connection, Peer, Traffic, connections, count_descriptors, limit_send_buffers, peer

log = structlog.get_logger(__name__)

SEND_BUFFER_BYTES = 128 * 1024
"""The kernel's memory for what one client does not read; by itself it grows to 4 MiB for each."""
KERNEL_BYTES = 64 * 1024 * 1024
"""What the kernel may hold for all clients that do not read, before the slowest of them are closed."""
SHORTEST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
LONGEST_LOOK_SECONDS = 0.25
"""How soon it is noticed that connections become few, by the number of descriptors alone."""
WARNING_PAUSE_SECONDS = 10.0
CROWDED = 0.9
"""Share of the connection limit above which the longest idle connections are closed early."""
ROOMY = 0.8
"""Share of the connection limit down to which they are closed."""


MOST_CONNECTIONS = 10_000
"""Each costs about 15 kB while it is idle."""
RESERVED_DESCRIPTORS = 256
"""For the database, upstreams, solver processes and files."""


def connection_limit() -> int:
    """Return how many connections to accept: always fewer than there are descriptors.

    Granian's loop spins when it cannot accept a connection for want of a descriptor, so that must not happen.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(MOST_CONNECTIONS, max(descriptors - RESERVED_DESCRIPTORS, descriptors // 3)))


def raise_descriptor_limit() -> None:
    """Raise the limit of descriptors as far as the system allows and the connections need it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST_CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, raised), hard))


class ConnectionLimits(Struct, frozen=True):
    """How long the service waits for clients, and how many it serves.

    Attributes:
        port: on which connections are accepted.
        request_seconds: longest wait for bytes of a request, or for a request on an idle connection.
        unread_seconds: longest time in which a client reads nothing of a response.
        connections: how many are accepted.
    """

    port: int
    request_seconds: float
    unread_seconds: float
    connections: int


class _History(Struct):
    """What the watch remembers of a connection.

    Attributes:
        requests: requests that the application is serving now.
        expected: bytes of the requests that have arrived completely.
        exact: whether `expected` is known exactly; framing of chunked bodies is not seen here.
        ended: when the last of them ended.
        partial_since: when a request was first seen incomplete.
        acknowledged: bytes that the client had acknowledged at `progress`.
        progress: when the client last read something, or had nothing to read.
        seen: number of the last pass that found the connection open.
    """

    requests: int = 0
    expected: int = 0
    exact: bool = True
    ended: float = 0
    partial_since: float | None = None
    acknowledged: int = 0
    progress: float = 0
    seen: int = 0


class Connections:
    """The accepted connections, watched in the background.

    Args:
        limits: time limits and size.
        timeout_response: builds the complete HTTP response for a request that did not arrive in time.
    """

    def __init__(self, limits: ConnectionLimits, timeout_response: Callable[[], bytes]) -> None:
        self._limits = limits
        self._timeout_response = timeout_response
        self._histories: dict[Peer, _History] = {}
        self._pass = 0
        self._warned: dict[str, float] = {}

    @contextmanager
    def serving(self, scope: HTTPScope) -> Iterator[None]:
        """Record that a request is being served for as long as the block lasts; its time is not limited here."""
        history = self._histories.setdefault(peer(*scope["client"]) if scope["client"] else ("", 0), _History())
        history.requests += 1
        history.partial_since = None
        history.expected += _header_bytes(scope)
        for name, value in scope["headers"]:
            if name == b"content-length":
                history.expected += int(value)
            elif name == b"transfer-encoding":
                history.exact = False
        try:
            yield
        finally:
            history.requests -= 1
            history.ended = time.monotonic()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Close what exceeds the limits for as long as the block lasts."""
        watch = asyncio.create_task(self._watch(), name="connections")
        try:
            yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _watch(self) -> None:
        shortest_limit = min(self._limits.request_seconds, self._limits.unread_seconds)
        period = min(max(shortest_limit / 20, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        listening = False
        due = 0.0
        while True:
            # Granian listens only after the application has started.
            await asyncio.sleep(min(period, LONGEST_LOOK_SECONDS) if listening else SHORTEST_PAUSE_SECONDS)
            try:
                if not listening:
                    listening = await asyncio.to_thread(limit_send_buffers, self._limits.port, SEND_BUFFER_BYTES)
                elif time.monotonic() >= due or count_descriptors() > CROWDED * self._limits.connections:
                    await asyncio.to_thread(self.check)
                    due = time.monotonic() + period
            except Exception:
                log.exception("check of connections failed")

    def check(self) -> None:
        """Close every connection that exceeds a limit, and record the others."""
        self._pass += 1
        idle: list[tuple[float, Peer]] = []
        stalled: list[tuple[float, int, Peer]] = []
        for connection in connections(self._limits.port):
            with suppress(OSError):  # closed in the meantime
                self._check(connection, idle, stalled)
        for each, history in list(self._histories.items()):
            if history.seen != self._pass and not history.requests:
                del self._histories[each]
        self._shed(idle, stalled)

    def _check(
        self, connection: Connection, idle: list[tuple[float, Peer]], stalled: list[tuple[float, int, Peer]]
    ) -> None:
        now = time.monotonic()
        traffic = connection.traffic()
        history = self._histories.setdefault(connection.peer, _History(progress=now))
        history.seen = self._pass
        if not traffic.unread or traffic.acknowledged != history.acknowledged:
            history.acknowledged, history.progress = traffic.acknowledged, now
        if traffic.unread:
            if now - history.progress >= self._limits.unread_seconds:
                connection.close(discard=True)
                log.info("closed connection", reason="client does not read", unread_bytes=traffic.unread)
            else:
                stalled.append((history.progress, traffic.unread, connection.peer))
        elif not history.requests:
            self._check_waiting(connection, traffic, history, now, idle)

    def _check_waiting(
        self, connection: Connection, traffic: Traffic, history: _History, now: float, idle: list[tuple[float, Peer]]
    ) -> None:
        """Check a connection on which no request is being served."""
        last_received = now - traffic.since_received
        if traffic.received > history.expected if history.exact else last_received > history.ended:
            history.partial_since = history.partial_since or last_received
            if now - history.partial_since >= self._limits.request_seconds:
                connection.close(self._timeout_response())
            else:
                idle.append((history.partial_since, connection.peer))
            return
        quiet_since = max(last_received, now - traffic.since_sent, history.ended)
        if now - quiet_since >= self._limits.request_seconds:
            connection.close()
        else:
            idle.append((quiet_since, connection.peer))

    def _shed(self, idle: list[tuple[float, Peer]], stalled: list[tuple[float, int, Peer]]) -> None:
        """Close the longest idle connections when few are left, and the slowest readers when the kernel holds much."""
        excess: set[Peer] = set()
        open_now = len(self._histories)
        if open_now > CROWDED * self._limits.connections:
            surplus = open_now - int(ROOMY * self._limits.connections)
            excess.update(each for _, each in sorted(idle)[:surplus])
            self._warn(
                "connection limit nearly reached",
                connections=open_now,
                limit=self._limits.connections,
                idle_closed=len(excess),
                descriptors=count_descriptors(),
            )
        held = sum(unread for _, unread, _ in stalled)
        if held > KERNEL_BYTES:
            self._warn("clients do not read their responses", unread_bytes=held, limit_bytes=KERNEL_BYTES)
            for _, unread, each in sorted(stalled):
                if held <= KERNEL_BYTES:
                    break
                excess.add(each)
                held -= unread
        if excess:
            for connection in connections(self._limits.port):
                if connection.peer in excess:
                    with suppress(OSError):
                        connection.close(discard=True)

    def _warn(self, event: str, **facts: int) -> None:
        """Log a state that may last, not at every pass."""
        now = time.monotonic()
        if now - self._warned.get(event, -WARNING_PAUSE_SECONDS) >= WARNING_PAUSE_SECONDS:
            self._warned[event] = now
            log.warning(event, **facts)


def _header_bytes(scope: HTTPScope) -> int:
    """Return the length of a request's header as clients usually write it."""
    target = len(scope["raw_path"]) + (len(scope["query_string"]) + 1 if scope["query_string"] else 0)
    request_line = len(scope["method"]) + len(" ") + target + len(" HTTP/1.1\r\n")
    fields = sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"])
    return request_line + fields + len("\r\n")
