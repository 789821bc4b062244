"""The responses that the API document shows with each operation besides the one that its handler returns."""

from typing import Any

from litestar.openapi.datastructures import ResponseSpec

from app.errors.codes import ErrorCode
from app.errors.envelope import ErrorEnvelope

_BODY = (ErrorCode.REQUEST_TIMEOUT, ErrorCode.PAYLOAD_TOO_LARGE, ErrorCode.UNSUPPORTED_MEDIA_TYPE)

REBALANCE_ERRORS = (
    ErrorCode.REBALANCE_NOT_FOUND,
    ErrorCode.IDEMPOTENCY_IN_PROGRESS,
    ErrorCode.IDEMPOTENCY_KEY_REUSED,
    *(code for code in ErrorCode if code.fails_portfolio and code is not ErrorCode.INTERNAL_ERROR),
)
"""Errors of both rebalance operations: for a single portfolio its own error, for several the most severe of theirs."""


def errors(*codes: ErrorCode, body: bool = False, database: bool = True) -> dict[int, ResponseSpec]:
    """Document the errors of an operation; an invalid request is an error of every operation.

    Args:
        codes: those of this operation.
        body: whether the operation has a request body.
        database: whether the operation uses the database.
    """
    by_status: dict[int, list[str]] = {}
    stored = (ErrorCode.DATABASE_UNAVAILABLE,) if database else ()
    for code in (ErrorCode.VALIDATION_ERROR, *codes, *(_BODY if body else ()), *stored):
        by_status.setdefault(code.status.value, []).append(f"`{code}`: {code.meaning}.")
    return {
        status: ResponseSpec(data_container=ErrorEnvelope, description="\n\n".join(lines), generate_examples=False)
        for status, lines in sorted(by_status.items())
    }


def documented(kind: type[Any], status: int = 200, description: str = "Request fulfilled") -> dict[int, ResponseSpec]:
    """Document a response whose type the handler does not declare, or that is no error in spite of its status."""
    return {status: ResponseSpec(data_container=kind, description=description, generate_examples=False)}
