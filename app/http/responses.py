"""The answers that the API document shows with each operation beside the one its handler returns."""

from collections.abc import Mapping
from typing import Any

from litestar.openapi.datastructures import ResponseSpec

from app.errors.codes import STATUS, ErrorCode
from app.errors.envelope import ErrorEnvelope

_MEANINGS: Mapping[ErrorCode, str] = {
    ErrorCode.VALIDATION_ERROR: "the request breaks a rule; the details name the field and the rule",
    ErrorCode.MODEL_NOT_FOUND: "no model has this id",
    ErrorCode.POSITION_NOT_FOUND: "the model has no such security",
    ErrorCode.PORTFOLIO_NOT_FOUND: "no model has the portfolio, or it was not part of the rebalance",
    ErrorCode.REBALANCE_NOT_FOUND: "no rebalance has this id, or it was deleted",
    ErrorCode.PAYLOAD_TOO_LARGE: "the body is larger than 1,000,000 bytes",
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: "the body is not sent as `application/json`",
    ErrorCode.VERSION_CONFLICT: "somebody else changed it first; the details name the current version",
    ErrorCode.DUPLICATE_NAME: "another model has the name",
    ErrorCode.DUPLICATE_POSITION: "the model has the security already",
    ErrorCode.POSITION_MISMATCH: "the position has another target or other drifts",
    ErrorCode.AMBIGUOUS_MODEL: "several models have the portfolio; the details name them",
    ErrorCode.IDEMPOTENCY_IN_PROGRESS: "the first request with this key is still running",
    ErrorCode.IDEMPOTENCY_KEY_REUSED: "the key was first used on another target",
    ErrorCode.OPTIMIZATION_FAILED: "no whole shares satisfy the constraints, or the time ended before a proof",
    ErrorCode.PRICE_UNAVAILABLE: "a security has no price; the details name it",
    ErrorCode.SECURITY_NOT_FOUND: "a security is unknown to the Security Service; the details name it",
    ErrorCode.DEADLINE_EXCEEDED: "the time for the request was up",
    ErrorCode.EXTERNAL_SERVICE_ERROR: "a neighbouring service failed; the details name it and why",
    ErrorCode.DATABASE_UNAVAILABLE: "the database does not answer",
    ErrorCode.OVERLOADED: "every solver is busy and the queue is full",
}

_BODY = (ErrorCode.PAYLOAD_TOO_LARGE, ErrorCode.UNSUPPORTED_MEDIA_TYPE)

REBALANCE_ERRORS = (
    ErrorCode.REBALANCE_NOT_FOUND,
    ErrorCode.IDEMPOTENCY_IN_PROGRESS,
    ErrorCode.IDEMPOTENCY_KEY_REUSED,
    ErrorCode.OPTIMIZATION_FAILED,
    ErrorCode.PRICE_UNAVAILABLE,
    ErrorCode.SECURITY_NOT_FOUND,
    ErrorCode.DEADLINE_EXCEEDED,
    ErrorCode.EXTERNAL_SERVICE_ERROR,
    ErrorCode.OVERLOADED,
)
"""What both ways to rebalance can answer: for a single portfolio its own error, for several the gravest of theirs."""


def errors(*codes: ErrorCode, body: bool = False) -> dict[int, ResponseSpec]:
    """Document the errors of an operation on the database; a wrong request is one of every operation.

    Args:
        codes: those of this operation.
        body: whether the operation takes a body.
    """
    by_status: dict[int, list[str]] = {}
    for code in (ErrorCode.VALIDATION_ERROR, *codes, *(_BODY if body else ()), ErrorCode.DATABASE_UNAVAILABLE):
        by_status.setdefault(STATUS[code].value, []).append(f"`{code}`: {_MEANINGS[code]}.")
    return {
        status: ResponseSpec(data_container=ErrorEnvelope, description="\n\n".join(lines), generate_examples=False)
        for status, lines in sorted(by_status.items())
    }


def answers(kind: type[Any], status: int = 200, description: str = "Request fulfilled") -> dict[int, ResponseSpec]:
    """Document an answer whose type the handler does not say, or that is no error in spite of its status."""
    return {status: ResponseSpec(data_container=kind, description=description, generate_examples=False)}
