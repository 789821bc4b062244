"""Everything that can go wrong, in one hierarchy, and the one table that gives each code its HTTP status."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from http import HTTPStatus

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
    """The `code` of an error's envelope."""

    VALIDATION_ERROR = "VALIDATION_ERROR"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    POSITION_NOT_FOUND = "POSITION_NOT_FOUND"
    PORTFOLIO_NOT_FOUND = "PORTFOLIO_NOT_FOUND"
    REBALANCE_NOT_FOUND = "REBALANCE_NOT_FOUND"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    DUPLICATE_NAME = "DUPLICATE_NAME"
    DUPLICATE_POSITION = "DUPLICATE_POSITION"
    POSITION_MISMATCH = "POSITION_MISMATCH"
    AMBIGUOUS_MODEL = "AMBIGUOUS_MODEL"
    IDEMPOTENCY_IN_PROGRESS = "IDEMPOTENCY_IN_PROGRESS"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    OPTIMIZATION_FAILED = "OPTIMIZATION_FAILED"
    PRICE_UNAVAILABLE = "PRICE_UNAVAILABLE"
    SECURITY_NOT_FOUND = "SECURITY_NOT_FOUND"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    EXTERNAL_SERVICE_ERROR = "EXTERNAL_SERVICE_ERROR"
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    OVERLOADED = "OVERLOADED"
    INTERNAL_ERROR = "INTERNAL_ERROR"


STATUS: Mapping[ErrorCode, HTTPStatus] = {
    ErrorCode.VALIDATION_ERROR: HTTPStatus.BAD_REQUEST,
    ErrorCode.MODEL_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.POSITION_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.PORTFOLIO_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.REBALANCE_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    ErrorCode.PAYLOAD_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.VERSION_CONFLICT: HTTPStatus.CONFLICT,
    ErrorCode.DUPLICATE_NAME: HTTPStatus.CONFLICT,
    ErrorCode.DUPLICATE_POSITION: HTTPStatus.CONFLICT,
    ErrorCode.POSITION_MISMATCH: HTTPStatus.CONFLICT,
    ErrorCode.AMBIGUOUS_MODEL: HTTPStatus.CONFLICT,
    ErrorCode.IDEMPOTENCY_IN_PROGRESS: HTTPStatus.CONFLICT,
    ErrorCode.IDEMPOTENCY_KEY_REUSED: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.OPTIMIZATION_FAILED: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.PRICE_UNAVAILABLE: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.SECURITY_NOT_FOUND: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.DEADLINE_EXCEEDED: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.EXTERNAL_SERVICE_ERROR: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.DATABASE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.INTERNAL_ERROR: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class OrderGenerationError(Exception):
    """A failure that the caller is told about, as the envelope's inner object.

    Attributes:
        code: which failure; its status is in `STATUS`.
        message: a sentence that a person can act on, with nothing internal in it.
        details: JSON values.
        headers: headers of the answer, such as `Retry-After`.
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
        return STATUS[self.code]


class InvalidField(ValueError):
    """A field of a request breaks a rule; raised while decoding, where only the field's own name is known."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} {rule}")
        self.field = field
        self.rule = rule


class InvalidSetting(ValueError):
    """An environment variable is wrong; the process stops with this one line."""

    def __init__(self, variable: str, rule: str) -> None:
        super().__init__(f"{variable} {rule}")
        self.variable = variable
        self.rule = rule


class CannotListen(Exception):
    """The address is not this machine's, or something else listens on the port; the process stops with this line."""


def invalid(field: str, rule: str) -> OrderGenerationError:
    """Make the 400 for a field, by its path in the request, and the rule it breaks."""
    return OrderGenerationError(
        ErrorCode.VALIDATION_ERROR, f"{field}: {rule}", {"errors": [{"field": field, "rule": rule}]}
    )
