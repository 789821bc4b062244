"""The client of all upstream services: retries, a circuit breaker, and the caller's deadline, nested like this.

the caller's deadline                      asyncio.timeout: ends everything, and is no failure of the service
  retries after 1, 2, 4 s                  stamina: timeouts, connection errors, 5xx, 408, 429
    a slot                                 bounds the service's connections; waiting for it is not part of its timeout
      the circuit breaker                  interlock: counts timeouts, connection errors and 5xx
        one request                        `Transport`, within the service's timeout
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import override

import stamina
import stamina.instrumentation
from interlock import CircuitBreaker, CircuitOpenError, Config, CoreEventListener, FailureClassifier, State
from msgspec import Struct

from integrations.http.connections import Connections
from integrations.http.errors import Cause, NotFound, ServiceError
from integrations.http.observer import NoObserver, Observer
from integrations.http.request import MAX_RESPONSE_BYTES, Identify, Request, Transport

# The observer reports every retry, so stamina's own log lines would repeat it.
stamina.instrumentation.set_on_retry_hooks([])

forwarded_headers: ContextVar[Mapping[str, str]] = ContextVar("forwarded_headers", default=MappingProxyType({}))
"""Headers that every request of this context includes, such as the correlation id."""

SHORTEST_ATTEMPT_SECONDS = 0.05
"""With less than this left before the deadline, no request is sent: no response could arrive in time."""

SHORTEST_WAIT_SECONDS = 0.05
"""Every retry waits at least this long, even if `Retry-After` is 0."""

LONGEST_WAIT_SECONDS = 60.0
"""No retry waits longer: for a caller without a deadline, a longer `Retry-After` ends the call."""

PROBE_PATIENCE_SECONDS = 1.0
"""How long a call waits for the probe of a half-open breaker, which decides about this call as well."""


class ServiceSettings(Struct, frozen=True, kw_only=True):
    """How to reach one service, and how long to wait for it.

    Attributes:
        name: its name in errors and metrics.
        url: base URL without `/api/v1`.
        timeout_seconds: time for one request, from connecting to the last byte.
        retries: requests after the first failed one, with waits of 1, 2, 4 and then 8 seconds.
        breaker_failures: consecutive failures that open the circuit breaker.
        breaker_reset_seconds: how long the breaker stays open before it admits a probe.
        connections: maximum number of requests to this service at the same time.
    """

    name: str
    url: str
    timeout_seconds: float = 10.0
    retries: int = 3
    breaker_failures: int = 5
    breaker_reset_seconds: float = 30.0
    connections: int = 32


class ServiceClient:
    """Calls one service, and returns a decoded, validated value or raises a `ServiceError`.

    Create one for each service and process, so that its circuit breaker counts all calls. The connections are shared
    between services and belong to the caller. Deadlines are times of `time.monotonic()`, None for no deadline.
    """

    def __init__(self, settings: ServiceSettings, connections: Connections, observer: Observer | None = None) -> None:
        self.name = settings.name
        self.observer = observer or NoObserver()
        self._retries = settings.retries
        self._transport = Transport(
            settings.name, settings.url, settings.timeout_seconds, connections, self._response_discarded
        )
        self._slots = asyncio.Semaphore(settings.connections)
        self._request_ended = asyncio.Event()
        self._breaker = CircuitBreaker(
            name=settings.name,
            # A window as long as the limit, all of it failures: exactly that many consecutive failures.
            config=Config(
                window_size=settings.breaker_failures,
                minimum_number_of_calls=settings.breaker_failures,
                failure_rate_threshold=1.0,
                wait_duration_in_open=settings.breaker_reset_seconds,
                permitted_calls_in_half_open=1,
                slow_call_duration_threshold=math.inf,
            ),
            classifier=_RetryableFailures(),
            listener=_BreakerEvents(self.observer),
        )

    @property
    def state(self) -> str:
        """State of the circuit breaker: `closed`, `open` or `half_open`."""
        return self._breaker.state.value

    async def get[T](
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        expect: type[T],
        deadline: float | None,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        identify: Identify[T] | None = None,
    ) -> T:
        """Return the response to a GET, decoded from JSON as `expect`; one longer than `max_response_bytes` is refused.

        `identify` allows the request to share a connection with others, as it recognises a response to another request.

        Raises:
            NotFound: the service returned 404.
            ServiceError: no usable response within the retries and the deadline.
        """
        return await self._call(
            Request("GET", path, params or {}, None, forwarded_headers.get(), max_response_bytes),
            expect,
            deadline,
            identify,
        )

    def count_as_failed(self, reason: str) -> None:
        """Count a failure for the circuit breaker that no call reports, such as a response that was not waited for."""
        error = ServiceError(self.name, Cause.TIMEOUT, reason)
        with suppress(ServiceError, CircuitOpenError):
            self._breaker.call_sync(_raise, error)

    def _response_discarded(self, reason: str) -> None:
        self.observer.response_discarded(self.name, reason)

    async def send_once[T](
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        expect: type[T],
        before_body: Callable[[], None] | None = None,
    ) -> T:
        """Send a request that is never repeated, and return its response, decoded from JSON as `expect`.

        It has a connection of its own, so no response to another request can be taken for its response.

        Args:
            method: of the request.
            path: of the request, below the service's base URL.
            params: of the query.
            body: of the request, encoded already.
            expect: type of the response's JSON.
            before_body: called immediately before the body is written; if it raises `NotSent`, the service does not
                receive the body.

        Raises:
            ServiceError: no usable response; `sent` is false if the service cannot have acted on the request, and
                `body` is the beginning of the body of an unsuccessful response.
        """
        request = Request(
            method,
            path,
            params or {},
            body,
            forwarded_headers.get(),
            before_body=before_body,
            keep_error_body=True,
        )
        return await self._attempt(request, expect, None)

    async def _call[T](
        self, request: Request, expect: type[T], deadline: float | None, identify: Identify[T] | None = None
    ) -> T:
        if _left(deadline) < SHORTEST_ATTEMPT_SECONDS:
            raise ServiceError(self.name, Cause.DEADLINE, "no time left for a request", sent=False)
        last: ServiceError | None = None

        def wait_before_retry(error: Exception) -> bool | float:
            nonlocal last
            if not isinstance(error, ServiceError):
                return False
            last = error
            wait = attempt.next_wait if error.retry_after is None else max(error.retry_after, SHORTEST_WAIT_SECONDS)
            if (
                attempt.num > self._retries
                or not error.retryable
                or wait > min(LONGEST_WAIT_SECONDS, _left(deadline) - SHORTEST_ATTEMPT_SECONDS)
            ):
                return False
            self.observer.retrying(self.name, error.cause, wait)
            return wait

        try:
            async with asyncio.timeout(None if deadline is None else _left(deadline)):
                # A retry context of stamina costs more processor time than a whole healthy call, and few calls fail.
                try:
                    return await self._attempt(request, expect, identify)
                except ServiceError as error:
                    first: ServiceError | None = error
                async for attempt in stamina.retry_context(
                    on=wait_before_retry,
                    attempts=self._retries + 1,
                    timeout=None,
                    wait_initial=1.0,
                    wait_exp_base=2.0,
                    wait_max=8.0,
                    wait_jitter=0.0,
                ):
                    with attempt:
                        if first is not None:
                            failed, first = first, None
                            raise failed
                        return await self._attempt(request, expect, identify)
        except TimeoutError:
            before = f"; before that: {last.reason}" if last is not None else ""
            raise ServiceError(
                self.name, Cause.DEADLINE, f"no response before the request's deadline{before}"
            ) from None
        raise AssertionError("a retry loop ends with a result or an error")

    async def _attempt[T](self, request: Request, expect: type[T], identify: Identify[T] | None) -> T:
        async with self._slots:
            patience = time.monotonic() + PROBE_PATIENCE_SECONDS
            while True:
                try:
                    return await self._breaker.call_async(self._send, request, expect, identify)
                except CircuitOpenError as rejection:
                    # An open breaker has a time, a half-open one has a probe, whose result decides about this call as
                    # well: after a recovery, only the first of several callers would otherwise succeed.
                    if rejection.retry_after is None and await self._request_ends(before=patience):
                        continue
                    self.observer.rejected(self.name)
                    reason, after = _circuit_reason(rejection), rejection.retry_after
                    raise ServiceError(self.name, Cause.CIRCUIT_OPEN, reason, retry_after=after, sent=False) from None

    async def _request_ends(self, *, before: float) -> bool:
        """Wait until a request of this client has ended; return whether one did in time."""
        self._request_ended.clear()
        try:
            async with asyncio.timeout(_left(before)):
                return await self._request_ended.wait()
        except TimeoutError:
            return False

    async def _send[T](self, request: Request, expect: type[T], identify: Identify[T] | None) -> T:
        """Send one request, and report its outcome to the observer."""
        started = time.perf_counter()
        outcome = "cancelled"
        try:
            result = await self._transport.send(request, expect, identify)
            outcome = "ok"
        except NotFound:
            outcome = "not_found"
            raise
        except ServiceError as error:
            outcome = f"status_{error.status // 100}xx" if error.status else error.cause.value
            raise
        finally:
            self.observer.request_finished(self.name, outcome, time.perf_counter() - started)
            self._request_ended.set()
        return result


class _RetryableFailures(FailureClassifier):
    """Counts timeouts, connection errors and 5xx as failures, but no 4xx: a service that returns one is working."""

    @override
    def is_failure(self, *, result: object, exception: Exception | None) -> bool:
        if not isinstance(exception, ServiceError) or not exception.retryable:
            return False
        return exception.status is None or exception.status >= 500


class _BreakerEvents(CoreEventListener):
    """Reports a breaker's changes of state to the observer."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    @override
    def on_state_change(self, *, name: str, old: State, new: State) -> None:
        self._observer.breaker_changed(name, new.value)


def _raise(error: ServiceError) -> None:
    raise error


def _left(deadline: float | None) -> float:
    return math.inf if deadline is None else deadline - time.monotonic()


def _circuit_reason(rejection: CircuitOpenError) -> str:
    last = rejection.last_failure
    because = f" after repeated failures, the last: {last.reason}" if isinstance(last, ServiceError) else ""
    if rejection.retry_after is None:
        return f"no request while a probe is running{because}"
    return f"no request for another {math.ceil(rejection.retry_after)} s{because}"
