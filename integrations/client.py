"""The one HTTP client of all neighbouring services: time-outs, retries, a circuit breaker, and a deadline over all.

the caller's deadline                      asyncio.timeout: ends everything, and blames nobody
  retries after 1, 2, 4 s                  stamina: time-outs, connection errors, 5xx
    a slot                                 bounds the service's connections, and is not part of its time-out
      the circuit breaker                  interlock: counts what a retry could mend
        one request                        aiohttp, within the service's time-out
"""

import asyncio
import math
import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import override

import aiohttp
import msgspec
import stamina
from interlock import CircuitBreaker, CircuitOpenError, Config, CoreEventListener, FailureClassifier, State
from msgspec import Struct
from yarl import URL

from integrations.errors import Cause, NotFound, ServiceError
from integrations.observer import NoObserver, Observer

forwarded_headers: ContextVar[Mapping[str, str]] = ContextVar("forwarded_headers", default={})  # noqa: B039 - read only
"""Headers that every call made in this context sends along, such as the correlation id."""

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Fifty times the largest answer of the suite's own services; what is longer is refused before it fills the memory."""

SHORTEST_ATTEMPT_SECONDS = 0.05
"""With less than this left before the deadline no request is begun: it could not be answered."""

LONGEST_WAIT_SECONDS = 60.0
"""No retry waits longer, whatever `Retry-After` says to a caller who has no deadline."""


class ServiceSettings(Struct, frozen=True, kw_only=True):
    """How to reach one service, and how patient to be with it.

    Attributes:
        name: its name in errors and metrics.
        url: base URL without `/api/v1`.
        timeout_seconds: time for one request, from connecting to the last byte.
        retries: requests after the first failed one, with waits of 1, 2, 4 and then 8 seconds.
        breaker_failures: consecutive failures that open the circuit breaker.
        breaker_reset_seconds: how long the breaker stays open before it admits a probe.
        connections: requests to this service at the same time.
    """

    name: str
    url: str
    timeout_seconds: float = 10.0
    retries: int = 3
    breaker_failures: int = 5
    breaker_reset_seconds: float = 30.0
    connections: int = 32


class ServiceClient:
    """Asks one service, and answers with a decoded, validated value or a `ServiceError`.

    Make one for each service and process: its circuit breaker is only as good as what it has seen. The session is
    shared between services and belongs to the caller. Deadlines are points of `time.monotonic()`, None for no deadline.
    """

    def __init__(
        self, settings: ServiceSettings, session: aiohttp.ClientSession, observer: Observer | None = None
    ) -> None:
        self.name = settings.name
        self.observer = observer or NoObserver()
        self._settings = settings
        self._session = session
        self._slots = asyncio.Semaphore(settings.connections)
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
            classifier=_MendableFailures(),
            listener=_BreakerEvents(self.observer),
        )

    @property
    def state(self) -> str:
        """The circuit breaker's state: `closed`, `open` or `half_open`."""
        return self._breaker.state.value

    async def get[T](
        self, path: str, params: Mapping[str, str] | None = None, *, expect: type[T], deadline: float | None
    ) -> T:
        """The answer to a GET, decoded from JSON as `expect`.

        Raises:
            NotFound: the service answered 404.
            ServiceError: no usable answer within the retries and the deadline.
        """
        return await self._persevere(_Request("GET", path, params, None), expect, deadline)

    async def post[T](self, path: str, body: bytes, *, expect: type[T], deadline: float | None) -> T:
        """The answer to a POST of JSON, which is repeated only where no connection was made at all.

        Raises:
            ServiceError: no usable answer; `sent` tells whether the service may have acted on it all the same.
        """
        return await self._persevere(_Request("POST", path, None, body), expect, deadline)

    async def _persevere[T](self, request: "_Request", expect: type[T], deadline: float | None) -> T:
        left = math.inf if deadline is None else deadline - time.monotonic()
        if left < SHORTEST_ATTEMPT_SECONDS:
            raise ServiceError(self.name, Cause.DEADLINE, "no time left to ask", sent=False)
        failures: list[ServiceError] = []

        def wait_before_retry(error: Exception) -> bool | float:
            if not isinstance(error, ServiceError) or attempt.num > self._settings.retries:
                return False
            failures.append(error)
            if not _may_repeat(request, error):
                return False
            wait = max(attempt.next_wait, error.retry_after or 0.0)
            left = math.inf if deadline is None else deadline - time.monotonic()
            if wait > LONGEST_WAIT_SECONDS or wait + SHORTEST_ATTEMPT_SECONDS > left:
                return False
            self.observer.retrying(self.name, error.cause, wait)
            return wait

        try:
            async with asyncio.timeout(None if deadline is None else left):
                async for attempt in stamina.retry_context(
                    on=wait_before_retry,
                    attempts=self._settings.retries + 1,
                    timeout=None,
                    wait_initial=1.0,
                    wait_exp_base=2.0,
                    wait_max=8.0,
                    wait_jitter=0.0,
                ):
                    with attempt:
                        return await self._attempt(request, expect)
        except TimeoutError:
            before = f" after {failures[-1].reason}" if failures else ""
            raise ServiceError(self.name, Cause.DEADLINE, f"no answer before the request's deadline{before}") from None
        raise AssertionError("a retry loop ends with an answer or an error")

    async def _attempt[T](self, request: "_Request", expect: type[T]) -> T:
        async with self._slots:
            try:
                return await self._breaker.call_async(self._exchange, request, expect)
            except CircuitOpenError as rejection:
                self.observer.rejected(self.name)
                raise ServiceError(
                    self.name,
                    Cause.CIRCUIT_OPEN,
                    _circuit_reason(rejection),
                    retry_after=rejection.retry_after,
                    sent=False,
                ) from None

    async def _exchange[T](self, request: "_Request", expect: type[T]) -> T:
        """One request and its answer, reported to the observer however it ends."""
        started = time.perf_counter()
        outcome = "cancelled"
        try:
            answer = self._decode(await self._request(request), expect)
            outcome = "ok"
        except NotFound:
            outcome = "not_found"
            raise
        except ServiceError as error:
            outcome = f"status_{error.status // 100}xx" if error.status else error.cause.value
            raise
        finally:
            self.observer.answered(self.name, outcome, time.perf_counter() - started)
        return answer

    async def _request(self, request: "_Request") -> bytes:
        try:
            async with (
                asyncio.timeout(self._settings.timeout_seconds),
                self._session.request(
                    request.method,
                    URL(self._settings.url.rstrip("/") + request.path, encoded=True),
                    params=request.params,
                    data=request.body,
                    headers={**forwarded_headers.get(), **request.headers},
                    allow_redirects=False,
                ) as response,
            ):
                if response.status == 404:
                    raise NotFound(self.name, Cause.STATUS, "answered 404", status=404)
                if not 200 <= response.status < 300:
                    raise ServiceError(
                        self.name,
                        Cause.STATUS,
                        f"answered {response.status}",
                        status=response.status,
                        retry_after=_retry_after(response.headers.get("Retry-After")),
                    )
                return await self._body(response)
        except TimeoutError:
            reason = f"no complete answer within {self._settings.timeout_seconds:g} s"
            raise ServiceError(self.name, Cause.TIMEOUT, reason) from None
        except (aiohttp.ClientError, OSError) as error:
            reason, sent = _connection_failure(error)
            raise ServiceError(self.name, Cause.CONNECTION, reason, sent=sent) from None

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                reason = f"answer longer than {MAX_ANSWER_BYTES // 1024**2} MiB"
                raise ServiceError(self.name, Cause.BAD_PAYLOAD, reason)
        return bytes(body)

    def _decode[T](self, body: bytes, expect: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=expect)
        except msgspec.ValidationError as error:
            reason = f"answer does not fit the contract: {error}"
        except (msgspec.DecodeError, UnicodeDecodeError):
            reason = "answer is not JSON"
        raise ServiceError(self.name, Cause.BAD_PAYLOAD, reason)


class _Request(Struct, frozen=True):
    """One HTTP request, as often as it has to be made."""

    method: str
    path: str
    params: Mapping[str, str] | None
    body: bytes | None

    @property
    def headers(self) -> dict[str, str]:
        return {"Accept": "application/json"} | ({"Content-Type": "application/json"} if self.body is not None else {})


class _MendableFailures(FailureClassifier):
    """Counts as a failure only what a retry could mend: an answer of 4xx shows a service that is well."""

    @override
    def is_failure(self, *, result: object, exception: Exception | None) -> bool:
        return isinstance(exception, ServiceError) and exception.mendable


class _BreakerEvents(CoreEventListener):
    """Passes a breaker's changes of state on to the observer."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    @override
    def on_state_change(self, *, name: str, old: State, new: State) -> None:
        self._observer.breaker_changed(name, new.value)


def _may_repeat(request: _Request, error: ServiceError) -> bool:
    if error.cause is Cause.CIRCUIT_OPEN:
        # Half open, that is while a probe is under way, a breaker cannot say when: the probe's answer is worth a wait.
        return error.retry_after is None
    if request.method != "GET":
        return not error.sent
    # A 429 that names its time asks to be repeated; every other 4xx would only be answered the same again.
    return error.mendable or (error.status == 429 and error.retry_after is not None)


def _circuit_reason(rejection: CircuitOpenError) -> str:
    last = rejection.last_failure
    because = f" after repeated failures, the last: {last.reason}" if isinstance(last, ServiceError) else ""
    if rejection.retry_after is None:
        return f"not asked while a probe is under way{because}"
    return f"not asked for another {math.ceil(rejection.retry_after)} s{because}"


def _connection_failure(error: Exception) -> tuple[str, bool]:
    """A phrase for what happened, and whether the request may have reached the service."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "host name not found", False
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return "connection refused", False
        case aiohttp.ClientConnectorError():
            return "no connection could be made", False
        case aiohttp.ClientResponseError():
            return "answer is not HTTP", True
        case _:
            return "connection broke off before the answer was complete", True


def _retry_after(header: str | None) -> float | None:
    """Seconds, from a number of them or an HTTP date; None where the header is missing or says neither."""
    if header is None:
        return None
    if header.isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (date - datetime.now(UTC)).total_seconds()) if date.tzinfo else None
