"""One HTTP request and its answer: decoded and validated, or a `ServiceError` that says what happened instead."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from integrations.errors import Cause, NotFound, ServiceError

MAX_ANSWER_BYTES = 1024 * 1024
"""Four times a full page of balances; more is refused before it fills the memory, even from every connection at once.
"""


class Request(Struct, frozen=True):
    """An HTTP request, as often as it has to be made; `path` is URL-encoded already, `params` are not.

    Attributes:
        max_answer_bytes: a longer answer is refused.
    """

    method: str
    path: str
    params: Mapping[str, str]
    body: bytes | None
    headers: Mapping[str, str]
    max_answer_bytes: int = MAX_ANSWER_BYTES


class Exchange:
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

    async def answer[T](self, request: Request, expect: type[T]) -> T:
        """The JSON answer, decoded as `expect`.

        Raises:
            NotFound: the service answered 404.
            ServiceError: `TIMEOUT`, `CONNECTION`, `STATUS` or `BAD_PAYLOAD`.
        """
        return self._decode(await self._body(request), expect)

    async def _body(self, request: Request) -> bytearray:
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
                self._check_status(response)
                return await self._read(response, request.max_answer_bytes)
        except TimeoutError:
            reason = f"no complete answer within {self._timeout_seconds:g} s"
            raise ServiceError(self._service, Cause.TIMEOUT, reason) from None
        except (aiohttp.ClientError, OSError) as error:
            reason, sent = _connection_failure(error)
            raise ServiceError(self._service, Cause.CONNECTION, reason, sent=sent) from None

    def _check_status(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 404:
            raise NotFound(self._service, Cause.STATUS, "answered 404", status=404)
        if not 200 <= response.status < 300:
            raise ServiceError(
                self._service,
                Cause.STATUS,
                f"answered {response.status}",
                status=response.status,
                retry_after=_retry_after(response.headers.get("Retry-After")),
            )

    async def _read(self, response: aiohttp.ClientResponse, max_bytes: int) -> bytearray:
        body = bytearray()
        try:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > max_bytes:
                    reason = f"answer longer than {max_bytes // 1024**2} MiB"
                    raise ServiceError(self._service, Cause.BAD_PAYLOAD, reason)
            return body
        finally:
            # An error outlives its call, in the circuit breaker for one, and its traceback keeps every local variable.
            del body

    def _decode[T](self, body: bytearray, expect: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=expect)
        except msgspec.ValidationError as error:
            reason = f"answer does not fit the contract: {error}"
        except (msgspec.DecodeError, UnicodeDecodeError):
            reason = "answer is not JSON"
        except RecursionError:
            reason = "answer is nested too deeply"
        del body  # as above
        raise ServiceError(self._service, Cause.BAD_PAYLOAD, reason)


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
