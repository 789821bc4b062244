"""One HTTP request and its response: a decoded, validated value, or a `ServiceError` that names the failure."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from integrations.http.connections import Connections, Lease, PrematureResponseError, current_lease
from integrations.http.errors import Cause, NotFound, ServiceError

MAX_ERROR_BODY_BYTES = 4096
MAX_RESPONSE_BYTES = 1024 * 1024
"""Four times a full page of balances; more is refused before it fills the memory, even from every connection at once.
"""

type Identify[T] = Callable[[T], bool | None]
"""Checks what a response is about: True for what was requested, False for something else, None if it does not say."""


class Request(Struct, frozen=True):
    """An HTTP request, which may be sent several times; `path` is URL-encoded, `params` are not.

    Attributes:
        max_response_bytes: a longer response is refused.
    """

    method: str
    path: str
    params: Mapping[str, str]
    body: bytes | None
    headers: Mapping[str, str]
    max_response_bytes: int = MAX_RESPONSE_BYTES
    before_body: Callable[[], None] | None = None
    keep_error_body: bool = False


class NotSent(Exception):
    """Raised by `before_body`: the request must not reach the service any more."""


class Transport:
    """Sends requests to one service.

    Args:
        service: its name in errors.
        url: base URL without `/api/v1`.
        timeout_seconds: time for one request, from connecting to the last byte of the response.
        connections: the sessions to send on; they belong to the caller.
        discarded: called with a reason when a response is discarded because it may belong to another request.
    """

    def __init__(
        self,
        service: str,
        url: str,
        timeout_seconds: float,
        connections: Connections,
        discarded: Callable[[str], None],
    ) -> None:
        self._service = service
        self._url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._connections = connections
        self._discarded = discarded

    async def send[T](self, request: Request, expect: type[T], identify: Identify[T] | None = None) -> T:
        """Return the JSON response, decoded as `expect`.

        With `identify`, the request may use a connection that carried others. Unless the response then names what was
        requested, it is discarded, and the request is sent once more on a connection of its own.

        Raises:
            NotFound: the service returned 404.
            ServiceError: `TIMEOUT`, `CONNECTION`, `STATUS` or `BAD_PAYLOAD`.
        """
        result = await self._result(request, expect, identify)
        if isinstance(result, ServiceError):
            # Raised only here, where no frame refers to the response any more: an error outlives its call, in the
            # circuit breaker for one, and its traceback keeps alive what the frames it passed through refer to.
            raise result
        return result

    async def _result[T](self, request: Request, expect: type[T], identify: Identify[T] | None) -> T | ServiceError:
        if identify is None:
            return await self._exchange(self._connections.closing, request, expect)
        lease = Lease()
        token = current_lease.set(lease)
        try:
            result = await self._exchange(self._connections.reusing, request, expect)
        finally:
            current_lease.reset(token)
        about = _about(result, identify)
        if lease.reused and not about:
            if about is False:
                self._discarded("the response is about something that was not requested")
            result = await self._exchange(self._connections.closing, request, expect)
            about = _about(result, identify)
        if about is False and not isinstance(result, ServiceError):
            return ServiceError(self._service, Cause.BAD_PAYLOAD, "response is about something that was not requested")
        return result

    async def _exchange[T](self, session: aiohttp.ClientSession, request: Request, expect: type[T]) -> T | ServiceError:
        content_type = {"Content-Type": "application/json"} if request.body is not None else {}
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                session.request(
                    request.method,
                    URL(self._url + request.path, encoded=True),
                    params=request.params,
                    data=_payload(request),
                    headers={**request.headers, **content_type, **_length(request), "Accept": "application/json"},
                    # The target of a redirect is not the service that was configured.
                    allow_redirects=False,
                ) as response,
            ):
                error = self._status_error(request, response)
                if error is not None:
                    if request.keep_error_body:
                        error.body = await _read(response, MAX_ERROR_BODY_BYTES)
                    return error
                body = await _read(response, request.max_response_bytes)
        except TimeoutError:
            reason = f"no complete response within {self._timeout_seconds:g} s"
            return ServiceError(self._service, Cause.TIMEOUT, reason)
        except (aiohttp.ClientError, OSError) as failure:
            if isinstance(failure.__cause__, NotSent):
                return ServiceError(self._service, Cause.DEADLINE, str(failure.__cause__), sent=False)
            reason, sent = _connection_failure(failure)
            return ServiceError(self._service, Cause.CONNECTION, reason, sent=sent)
        if body is None:
            reason = f"response longer than {request.max_response_bytes // 1024**2} MiB"
            return ServiceError(self._service, Cause.BAD_PAYLOAD, reason)
        return self._decoded(body, expect)

    def _status_error(self, request: Request, response: aiohttp.ClientResponse) -> ServiceError | None:
        """Return the error that a status stands for; None for success."""
        if response.status == 404:
            return NotFound(self._service, Cause.STATUS, "returned 404", status=404)
        if not 200 <= response.status < 300:
            return ServiceError(
                self._service,
                Cause.STATUS,
                f"returned {response.status}",
                status=response.status,
                retry_after=_retry_after(response.headers.get("Retry-After")),
            )
        if response.status == 206 or (request.method == "GET" and response.status != 200):
            # 206 is a part of the body, 203 was changed by a proxy, and the others announce no complete body.
            reason = f"returned {response.status} instead of a complete response"
            return ServiceError(self._service, Cause.BAD_PAYLOAD, reason, status=response.status)
        return None

    def _decoded[T](self, body: bytearray, expect: type[T]) -> T | ServiceError:
        try:
            return msgspec.json.decode(body, type=expect)
        except msgspec.ValidationError as error:
            reason = f"response does not match the contract: {error}"
        except (msgspec.DecodeError, UnicodeDecodeError):
            reason = "response is not JSON"
        except RecursionError:
            reason = "response is nested too deeply"
        return ServiceError(self._service, Cause.BAD_PAYLOAD, reason)


def _payload(request: Request) -> bytes | AsyncIterator[bytes] | None:
    """Return the body; one that may still be held back comes from a generator, which runs when it is written."""
    if request.before_body is None or request.body is None:
        return request.body
    return _guarded(request.body, request.before_body)


async def _guarded(body: bytes, before_body: Callable[[], None]) -> AsyncIterator[bytes]:
    # A service that received only the headers cannot act, because the body that they announce never arrives.
    before_body()
    yield body


def _length(request: Request) -> dict[str, str]:
    """Return the length of a body from a generator, without which aiohttp would send chunks."""
    if request.before_body is None or request.body is None:
        return {}
    return {"Content-Length": str(len(request.body))}


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytearray | None:
    """Return the body; None if it is longer than allowed, in which case the rest stays unread."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            return None
    return body


def _connection_failure(error: Exception) -> tuple[str, bool]:
    """Return a phrase for the failure, and whether the request may have reached the service."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "host name not found", False
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return "connection refused", False
        case aiohttp.ClientConnectorError():
            return "connection failed", False
        case PrematureResponseError():
            return "data arrived before the request was sent", False
        case aiohttp.ClientResponseError():
            return "response is not HTTP", True
        case _:
            return "connection lost before the response was complete", True


def _retry_after(header: str | None) -> float | None:
    """Return seconds from a number or an HTTP date; None if the header is missing or is neither."""
    if header is None:
        return None
    if header.isdecimal() and len(header) < 10:
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (date - datetime.now(UTC)).total_seconds()) if date.tzinfo else None


def _about[T](result: T | ServiceError, identify: Identify[T]) -> bool | None:
    """Return whether a result belongs to its request, and None if that is unknown.

    A timeout and an error that is retried anyway need no proof: nothing is computed from them.
    """
    if not isinstance(result, ServiceError):
        return identify(result)
    if result.cause is Cause.TIMEOUT or (result.cause is Cause.STATUS and result.retryable):
        return True
    return None
