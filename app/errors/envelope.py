"""The error envelope: every failure of any layer leaves the service in this one shape."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from msgspec import Struct

from app.clock import now
from app.errors.codes import (
    ErrorCode,
    InvalidField,
    InvalidFields,
    OrderGenerationError,
    all_invalid,
    invalid,
)
from app.errors.schemas import ErrorDTO
from app.errors.translation import from_defect, from_persistence_error
from app.http.correlation import HEADER, begin_correlation, trace_id
from app.http.dialect import Dialect
from app.http.exact_json import encode
from app.http.framework import ExactResponse
from persistence import PersistenceError

log = structlog.get_logger(__name__)


class ErrorEnvelope(Struct, frozen=True, rename="camel"):
    """An error as a response contains it."""

    error: ErrorDTO


class PortalErrorEnvelope(ErrorEnvelope, frozen=True, rename="camel"):
    """The same with the message repeated in `detail`, which the suite's portal reads."""

    detail: str


_OF_STATUS: Mapping[int, tuple[ErrorCode, str]] = {
    HTTPStatus.NOT_FOUND: (ErrorCode.NOT_FOUND, "There is no such route."),
    HTTPStatus.METHOD_NOT_ALLOWED: (ErrorCode.METHOD_NOT_ALLOWED, "The route does not accept this method."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        ErrorCode.PAYLOAD_TOO_LARGE,
        "The body is larger than this operation accepts.",
    ),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (ErrorCode.UNSUPPORTED_MEDIA_TYPE, "The body must be sent as application/json."),
}


_MISSING_PARAMETER = re.compile(r"Missing required \w+ parameter '([^']+)'")


def as_api_error(error: Exception, dialect: Dialect) -> OrderGenerationError:
    """Translate any exception into the error that the caller receives."""
    match error:
        case OrderGenerationError():
            return error
        case InvalidField():
            return invalid(dialect.field_name(error.field), error.rule)
        case InvalidFields():
            return all_invalid([InvalidField(dialect.field_name(each.field), each.rule) for each in error.faults])
        case PersistenceError():
            return from_persistence_error(error)
        case ValidationException():
            return _of_parameters(error, dialect)
        case HTTPException(status_code=status) if status in _OF_STATUS:
            code, message = _OF_STATUS[status]
            return OrderGenerationError(code, message, headers=_headers(error))
        case HTTPException(status_code=status) if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return OrderGenerationError(ErrorCode.VALIDATION_ERROR, "The request is malformed.")
        case _:
            return from_defect()


def _of_parameters(error: ValidationException, dialect: Dialect) -> OrderGenerationError:
    """Name the parameter that Litestar refused; its own message repeats the path and query, which stay inside."""
    if missing := _MISSING_PARAMETER.match(error.detail):
        return invalid(dialect.field_name(missing[1]), "is required")
    extra = error.extra if isinstance(error.extra, list) else []
    parameters = [each for each in extra if isinstance(each, Mapping) and each.get("key", "data") != "data"]
    if not parameters:
        return invalid("body", "must be a JSON object")
    return all_invalid(
        [InvalidField(str(each["key"]), str(each.get("message", "is malformed"))) for each in parameters]
    )


def _headers(error: HTTPException) -> Mapping[str, str]:
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        # The rest of the body is not read, so nothing else can follow on this connection.
        return {"Connection": "close"}
    return error.headers or {}


def error_response(request: Request[Any, Any, Any], error: Exception) -> Response[ErrorEnvelope]:
    """Return the envelope for an exception; a defect is logged in full, and the caller receives only a trace id."""
    dialect: Dialect = request.app.state.dialect
    failure = as_api_error(error, dialect)
    if failure.code is ErrorCode.INTERNAL_ERROR:
        log.error("request failed unexpectedly", exc_info=error)
    response_class = request.app.response_class or ExactResponse
    return response_class(
        content=envelope(failure, dialect),
        status_code=failure.status,
        headers=dict(failure.headers),
        media_type="application/json",
    )


def envelope(failure: OrderGenerationError, dialect: Dialect) -> ErrorEnvelope:
    """Build the body of an error response for the current request."""
    inner = ErrorDTO(failure.code, failure.message, failure.details, now(), trace_id())
    return ErrorEnvelope(inner) if dialect is Dialect.STANDARD else PortalErrorEnvelope(inner, failure.message)


def raw_response(failure: OrderGenerationError, dialect: Dialect) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Build status, headers and body of an error response outside Litestar."""
    body = encode(dialect.spell(envelope(failure, dialect)))
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **failure.headers,
    }
    return failure.status, [(name.lower().encode(), value.encode()) for name, value in headers.items()], body


def raw_http_response(failure: OrderGenerationError, dialect: Dialect) -> bytes:
    """Build a complete HTTP/1.1 error response, for a request that never reached the application."""
    correlation = begin_correlation()
    status, headers, body = raw_response(failure, dialect)
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(),
        *(name + b": " + value for name, value in headers),
        f"{HEADER.lower()}: {correlation}".encode(),
        b"",
        body,
    ]
    log.info("request did not arrive in time", correlation_id=correlation, status=status)
    return b"\r\n".join(lines)
