"""The errors of the API: one row for each code, and the exceptions that carry them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from http import HTTPStatus
from typing import Self

type Details = Mapping[str, object]
"""What is wrong, as JSON values: ids, field paths, bounds."""


def with_decimals(details: Details, change: Callable[[Decimal], Decimal]) -> Details:
    """Change every decimal in details, however deep."""

    def changed(value: object) -> object:
        match value:
            case Decimal():
                return change(value)
            case Mapping():
                return {key: changed(inner) for key, inner in value.items()}
            case list() | tuple():
                return [changed(inner) for inner in value]
            case _:
                return value

    return {key: changed(value) for key, value in details.items()}


class ErrorCode(StrEnum):
    """The kind of an error; each has one HTTP status.

    Attributes:
        status: HTTP status of a response with this code.
        meaning: what the API document says of it, without a full stop.
        fails_portfolio: whether one portfolio of a rebalance can fail with it.
    """

    status: HTTPStatus
    meaning: str
    fails_portfolio: bool

    # The defaults are for type checkers, which take a look-up such as `ErrorCode("OVERLOADED")` for this call.
    def __new__(
        cls,
        code: str,
        status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR,
        meaning: str = "",
        *fails_portfolio: bool,
    ) -> Self:
        """Create a member from its row."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        member.meaning = meaning
        member.fails_portfolio = any(fails_portfolio)
        return member

    VALIDATION_ERROR = (
        "VALIDATION_ERROR",
        HTTPStatus.BAD_REQUEST,
        "the request breaks a rule; the details name the field and the rule",
    )
    ORDERS_DISABLED = "ORDERS_DISABLED", HTTPStatus.FORBIDDEN, "this service is not configured to send orders"
    CROSS_SITE = "CROSS_SITE", HTTPStatus.FORBIDDEN, "a browser sent the request from another site"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND", HTTPStatus.NOT_FOUND, "no model has this id"
    POSITION_NOT_FOUND = "POSITION_NOT_FOUND", HTTPStatus.NOT_FOUND, "the model has no position in this security"
    PORTFOLIO_NOT_FOUND = (
        "PORTFOLIO_NOT_FOUND",
        HTTPStatus.NOT_FOUND,
        "no model has the portfolio, or it was not part of the rebalance",
    )
    REBALANCE_NOT_FOUND = "REBALANCE_NOT_FOUND", HTTPStatus.NOT_FOUND, "no rebalance has this id, or it was deleted"
    NOT_FOUND = (
        "NOT_FOUND",
        HTTPStatus.NOT_FOUND,
        "there is no such route, or no orders of the rebalance were requested",
    )
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED", HTTPStatus.METHOD_NOT_ALLOWED, "the route does not accept this method"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT", HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time"
    VERSION_CONFLICT = (
        "VERSION_CONFLICT",
        HTTPStatus.CONFLICT,
        "the version is not the current one, which the details name",
    )
    DUPLICATE_NAME = "DUPLICATE_NAME", HTTPStatus.CONFLICT, "another model has this name"
    DUPLICATE_POSITION = "DUPLICATE_POSITION", HTTPStatus.CONFLICT, "the model already has this security"
    POSITION_MISMATCH = "POSITION_MISMATCH", HTTPStatus.CONFLICT, "the position has another target or other drifts"
    AMBIGUOUS_MODEL = "AMBIGUOUS_MODEL", HTTPStatus.CONFLICT, "several models have the portfolio; the details name them"
    IDEMPOTENCY_IN_PROGRESS = (
        "IDEMPOTENCY_IN_PROGRESS",
        HTTPStatus.CONFLICT,
        "the first request with this key is still running",
    )
    DOCUMENT_UNREADABLE = (
        "DOCUMENT_UNREADABLE",
        HTTPStatus.CONFLICT,
        "the stored document is not in this service's format",
    )
    ORDERS_SENT = (
        "ORDERS_SENT",
        HTTPStatus.CONFLICT,
        "orders of the rebalance were planned or sent, so it cannot be deleted",
    )
    SUPERSEDED = (
        "SUPERSEDED",
        HTTPStatus.CONFLICT,
        "orders of another rebalance of the portfolio are unfinished or newer",
    )
    REBALANCE_TOO_OLD = "REBALANCE_TOO_OLD", HTTPStatus.CONFLICT, "the rebalance is too old for its orders to be sent"
    PAYLOAD_TOO_LARGE = (
        "PAYLOAD_TOO_LARGE",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "the body is larger than the operation accepts",
    )
    UNSUPPORTED_MEDIA_TYPE = (
        "UNSUPPORTED_MEDIA_TYPE",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "the body is not sent as `application/json`",
    )
    IDEMPOTENCY_KEY_REUSED = (
        "IDEMPOTENCY_KEY_REUSED",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "the key was first used on another target or with another body",
    )
    OPTIMIZATION_FAILED = (
        "OPTIMIZATION_FAILED",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "no whole shares satisfy the constraints, or the time ended before a proof",
        True,
    )
    PRICE_UNAVAILABLE = (
        "PRICE_UNAVAILABLE",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "a security has no usable price; the details name it and the reason",
        True,
    )
    SECURITY_NOT_FOUND = (
        "SECURITY_NOT_FOUND",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "a security is unknown to the Security Service; the details name it",
        True,
    )
    BOOKS_INVALID = (
        "BOOKS_INVALID",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "an upstream response contradicts itself or breaks a limit; the details name the securities",
        True,
    )
    DEADLINE_EXCEEDED = (
        "DEADLINE_EXCEEDED",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "the portfolio was not finished by the deadline of the request",
        True,
    )
    EXTERNAL_SERVICE_ERROR = (
        "EXTERNAL_SERVICE_ERROR",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "an upstream service failed; the details name it and the reason",
        True,
    )
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE", HTTPStatus.SERVICE_UNAVAILABLE, "the database is unavailable"
    OVERLOADED = (
        "OVERLOADED",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "every solver is busy and the queue is full, or too many bytes are in transfer",
        True,
    )
    INTERNAL_ERROR = "INTERNAL_ERROR", HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error occurred", True


class OrderGenerationError(Exception):
    """A failure that is reported to the caller, as the envelope's inner object.

    Attributes:
        code: which failure; its row has the status.
        message: a sentence that a person can act on, with nothing internal in it.
        details: JSON values.
        headers: headers of the response, such as `Retry-After`.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        details: Details | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: Details = details or {}
        self.headers: Mapping[str, str] = headers or {}

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status of the code."""
        return self.code.status


class InvalidField(ValueError):
    """A field of a request breaks a rule; raised while decoding, where only the field's own name is known."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} {rule}")
        self.field = field
        self.rule = rule


class InvalidFields(ValueError):
    """Several fields of a request break rules."""

    def __init__(self, faults: Sequence[InvalidField]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


def check(faults: Iterable[InvalidField]) -> None:
    """Raise all faults together, if there are any.

    Raises:
        InvalidFields: there are some.
    """
    if found := tuple(faults):
        raise InvalidFields(found)


class InvalidSetting(ValueError):
    """An environment variable is wrong; the process stops with this line.

    Args:
        variable: its name.
        rule: what it accepts.
        found: its value; None if it may be a secret.
    """

    def __init__(self, variable: str, rule: str, found: str | None = None) -> None:
        shown = "" if found is None else f"; found `{found[:_LONGEST_VALUE].encode('unicode_escape').decode()}`"
        super().__init__(f"{variable} {rule}{shown}")
        self.variable = variable


class InvalidSettings(ValueError):
    """Environment variables are wrong; the process stops with one line for each."""

    def __init__(self, faults: Sequence[InvalidSetting]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


_LONGEST_VALUE = 200


class CannotListen(Exception):
    """The address is not this machine's, or something else listens on the port; the process stops with this line."""


def all_invalid(faults: Sequence[InvalidField]) -> OrderGenerationError:
    """Build the 400 for several fields, each by its path in the request, and the rules they break."""
    first, *others = faults
    more = f" ({len(others)} more in the details)" if others else ""
    return OrderGenerationError(
        ErrorCode.VALIDATION_ERROR,
        f"{first.field}: {first.rule}{more}",
        {"errors": [{"field": fault.field, "rule": fault.rule} for fault in faults]},
    )


def invalid(field: str, rule: str) -> OrderGenerationError:
    """Build the 400 for a field, by its path in the request and the rule that it breaks."""
    return OrderGenerationError(
        ErrorCode.VALIDATION_ERROR, f"{field}: {rule}", {"errors": [{"field": field, "rule": rule}]}
    )
