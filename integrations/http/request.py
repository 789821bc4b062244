"""One HTTP request and its answer: decoded and validated, or a `ServiceError` that says what happened instead."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from integrations.http.errors import Cause, NotFound, ServiceError

MAX_RESPONSE_BYTES = 1024 * 1024
"""Four times a full page of balances; more is refused before it fills the memory, even from every connection at once.
"""


class Request(Struct, frozen=True):
    """An HTTP request, as often as it has to be made; `path` is URL-encoded already, `params` are not.

    Attributes:
        max_response_bytes: a longer answer is refused.
    """

    method: str
    path: str
    params: Mapping[str, str]
    body: bytes | None
    headers: Mapping[str, str]
    max_response_bytes: int = MAX_RESPONSE_BYTES


class Transport:
    """Makes requests of one service.

    Args:
        service: its name in errors.
        url: base URL without `/api/v1`.
        timeout_seconds: time for one request, from connecting to the last byte of the answer.
        session: keeps the connections; belongs to the caller.
    """

    def __init__(self, service: str, url: str, timeout_seconds: float, session: aiohttp.ClientSession) -> None:
        self._service = service
        self._url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._session = session

    async def send[T](self, request: Request, expect: type[T]) -> T:
        """The JSON answer, decoded as `expect`.

        Raises:
            NotFound: the service answered 404.
            ServiceError: `TIMEOUT`, `CONNECTION`, `STATUS` or `BAD_PAYLOAD`.
        """
        result = await self._result(request, expect)
        if isinstance(result, ServiceError):
            # Raised only here, where nothing of the exchange is in reach any more: an error outlives its call, in the
            # circuit breaker for one, and its traceback keeps alive what the frames it came through held.
            raise result
        return result

    async def _result[T](self, request: Request, expect: type[T]) -> T | ServiceError:
        content_type = {"Content-Type": "application/json"} if request.body is not None else {}
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._session.request(
                    request.method,
                    URL(self._url + request.path, encoded=True),
                    params=request.params,
                    data=request.body,
                    headers={**request.headers, **content_type, "Accept": "application/json"},
                    # Whatever a redirect leads to, it is not the service that was configured.
                    allow_redirects=False,
                ) as response,
            ):
                refusal = self._refusal(response)
                if refusal is not None:
                    return refusal
                body = await _read(response, request.max_response_bytes)
        except TimeoutError:
            reason = f"no complete answer within {self._timeout_seconds:g} s"
            return ServiceError(self._service, Cause.TIMEOUT, reason)
        except (aiohttp.ClientError, OSError) as error:
            reason, sent = _connection_failure(error)
            return ServiceError(self._service, Cause.CONNECTION, reason, sent=sent)
        if body is None:
            reason = f"answer longer than {request.max_response_bytes // 1024**2} MiB"
            return ServiceError(self._service, Cause.BAD_PAYLOAD, reason)
        return self._decoded(body, expect)

    def _refusal(self, response: aiohttp.ClientResponse) -> ServiceError | None:
        """What a status other than success means."""
        if response.status == 404:
            return NotFound(self._service, Cause.STATUS, "answered 404", status=404)
        if not 200 <= response.status < 300:
            return ServiceError(
                self._service,
                Cause.STATUS,
                f"answered {response.status}",
                status=response.status,
                retry_after=_retry_after(response.headers.get("Retry-After")),
            )
        return None

    def _decoded[T](self, body: bytearray, expect: type[T]) -> T | ServiceError:
        try:
            return msgspec.json.decode(body, type=expect)
        except msgspec.ValidationError as error:
            reason = f"answer does not fit the contract: {error}"
        except (msgspec.DecodeError, UnicodeDecodeError):
            reason = "answer is not JSON"
        except RecursionError:
            reason = "answer is nested too deeply"
        return ServiceError(self._service, Cause.BAD_PAYLOAD, reason)


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytearray | None:
    """The body; None for one that is longer than allowed, of which the rest stays unread."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            return None
    return body


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
    if header.isdecimal() and len(header) < 10:
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (date - datetime.now(UTC)).total_seconds()) if date.tzinfo else None
