"""Failures of upstream services, described for an operator."""

from collections.abc import Sequence
from enum import StrEnum


class Cause(StrEnum):
    """Why a call had no usable response."""

    TIMEOUT = "timeout"
    """No complete response within the service's timeout."""
    CONNECTION = "connection"
    """No connection, or one that was lost before the response was complete."""
    STATUS = "status"
    """An HTTP status other than success."""
    BAD_PAYLOAD = "bad_payload"
    """A response that does not match the service's contract."""
    CIRCUIT_OPEN = "circuit_open"
    """No request was sent: the service failed too often, and its circuit breaker is open."""
    DEADLINE = "deadline"
    """The caller's own deadline passed, which is no failure of the service."""


class ServiceError(Exception):
    """An upstream service returned no usable response.

    Args:
        service: the service's name, as its settings have it.
        cause: the kind of failure.
        reason: a phrase for an operator; never a URL, host, query or credential.
        status: the HTTP status, if one was received.
        retry_after: seconds after which the service, or its breaker, accepts requests again, if known.
        sent: false only if the service certainly did not receive the request.
        body: the beginning of the body of an unsuccessful response, if the caller requested it.
    """

    def __init__(
        self,
        service: str,
        cause: Cause,
        reason: str,
        status: int | None = None,
        retry_after: float | None = None,
        sent: bool = True,
        body: bytes | bytearray | None = None,
    ) -> None:
        super().__init__(service, cause, reason)
        self.service = service
        self.cause = cause
        self.reason = reason
        self.status = status
        self.retry_after = retry_after
        self.sent = sent
        self.body = body

    def __str__(self) -> str:
        return f"{self.service}: {self.reason}"

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later: the service was silent, unreachable, failing or busy (408, 429)."""
        match self.cause:
            case Cause.TIMEOUT | Cause.CONNECTION:
                return True
            case Cause.STATUS:
                return self.status is not None and (self.status >= 500 or self.status in {408, 429})
            case _:
                return False


class NotFound(ServiceError):
    """The service returned 404: it does not know what was requested."""


class BooksInvalid(Exception):
    """A well-formed response contradicts itself or breaks a limit, so nothing may be computed from it.

    Requesting it again does not help; the data of the service have to be corrected.

    Args:
        service: the service's name, as its settings have it.
        reason: a phrase for an operator, which names securities and values.
        security_ids: the securities concerned; empty if only cash is.
    """

    def __init__(self, service: str, reason: str, security_ids: Sequence[str] = ()) -> None:
        super().__init__(service, reason, tuple(security_ids))
        self.service = service
        self.reason = reason
        self.security_ids = tuple(security_ids)

    def __str__(self) -> str:
        return f"{self.service}: {self.reason}"
