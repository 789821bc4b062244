"""What can go wrong with a neighbouring service, in words an operator can act on."""

from collections.abc import Sequence
from enum import StrEnum


class Cause(StrEnum):
    """Why a call gave no usable answer."""

    TIMEOUT = "timeout"
    """No complete answer within the service's own time-out."""
    CONNECTION = "connection"
    """No connection, or one that broke off before the answer was complete."""
    STATUS = "status"
    """An HTTP status that is no answer to the question."""
    BAD_PAYLOAD = "bad_payload"
    """An answer that does not fit the service's contract."""
    CIRCUIT_OPEN = "circuit_open"
    """Not asked: the service failed too often, and its circuit breaker is open."""
    DEADLINE = "deadline"
    """The caller's own deadline passed; it says nothing about the service."""


class ServiceError(Exception):
    """A neighbouring service gave no usable answer.

    Args:
        service: the service's name, as its settings give it.
        cause: the kind of failure.
        reason: a phrase for an operator; never a URL, host, query or credential.
        status: the HTTP status, where one was received.
        retry_after: seconds after which the service, or its breaker, may be asked again, where known.
        sent: false only where it is certain that the service never saw the request.
        body: the beginning of the body of an unsuccessful response, if the caller asked to keep it.
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
