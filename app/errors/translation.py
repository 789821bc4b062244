"""Translates the exceptions and refusals of the lower packages into errors of the API."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus

import msgspec
from msgspec import Struct

from app.errors.codes import Details, ErrorCode, OrderGenerationError
from app.http.dialect import camel_case
from integrations import BooksInvalid, ServiceError
from persistence import (
    DatabaseUnavailable,
    DatabaseUnusable,
    DocumentUnreadable,
    DuplicateName,
    Failure,
    KeyInProgress,
    KeyReused,
    ModelNotFound,
    OrdersSent,
    PersistenceError,
    RebalanceNotFound,
    StorageLost,
    VersionConflict,
)
from solver import Crashed, Infeasible, TimeLimit
from solver.pool import Overloaded

_PRECEDENCE = {
    HTTPStatus.SERVICE_UNAVAILABLE: 0,
    HTTPStatus.UNPROCESSABLE_ENTITY: 1,
    HTTPStatus.INTERNAL_SERVER_ERROR: 2,
}
"""Which of several failures is reported for all: first one that a retry may resolve, then one that names a cause."""


def from_service_error(error: ServiceError) -> OrderGenerationError:
    """Report which upstream failed, and why, in words an operator can act on."""
    return OrderGenerationError(
        ErrorCode.EXTERNAL_SERVICE_ERROR,
        f"The {error.service} service failed: {error.reason}.",
        {"service": error.service, "cause": str(error.cause), "reason": error.reason, "status": error.status},
    )


def from_persistence_error(error: PersistenceError) -> OrderGenerationError:
    """Report why the database did not do what was requested."""
    match error:
        case DatabaseUnavailable() | StorageLost():
            return _from_unavailability(error)
        case DocumentUnreadable():
            details = {"kind": error.kind, "id": error.document_id}
            return OrderGenerationError(ErrorCode.DOCUMENT_UNREADABLE, str(error), details)
        case ModelNotFound():
            return OrderGenerationError(ErrorCode.MODEL_NOT_FOUND, str(error), {"modelId": str(error.model_id)})
        case RebalanceNotFound():
            details = {"rebalanceId": str(error.rebalance_id)}
            return OrderGenerationError(ErrorCode.REBALANCE_NOT_FOUND, str(error), details)
        case VersionConflict():
            return OrderGenerationError(
                ErrorCode.VERSION_CONFLICT,
                f"Version conflict: the current version is {error.current}.",
                {"currentVersion": error.current},
            )
        case DuplicateName():
            return OrderGenerationError(ErrorCode.DUPLICATE_NAME, str(error), {"name": error.name})
        case KeyInProgress():
            return OrderGenerationError(ErrorCode.IDEMPOTENCY_IN_PROGRESS, str(error), headers={"Retry-After": "1"})
        case KeyReused():
            message = "This idempotency key was first used on another target or with another body."
            return OrderGenerationError(ErrorCode.IDEMPOTENCY_KEY_REUSED, message)
        case OrdersSent():
            message = "Orders of this rebalance were planned or sent, so it cannot be deleted."
            return OrderGenerationError(ErrorCode.ORDERS_SENT, message, {"rebalanceId": str(error.rebalance_id)})
        case _:
            return from_defect()


def _from_unavailability(error: DatabaseUnavailable | StorageLost) -> OrderGenerationError:
    """Report a failure of the database; only one that a person has to resolve is not worth a retry."""
    code = ErrorCode.DATABASE_UNAVAILABLE
    retry = {"Retry-After": "2"}
    match error:
        case StorageLost():
            message = "The rebalance took too long to store; nothing of it is kept."
            return OrderGenerationError(code, message, headers=retry)
        case DatabaseUnusable():
            return OrderGenerationError(code, str(error), {"reason": error.reason})
        case _:
            message = f"The database is unavailable: {error.reason}. Try again shortly."
            return OrderGenerationError(code, message, {"reason": error.reason}, retry)


def from_overload(error: Overloaded) -> OrderGenerationError:
    """Report that the solver queue is full."""
    return OrderGenerationError(
        ErrorCode.OVERLOADED,
        "Every solver is busy and the queue is full; try again shortly.",
        {"queueDepth": error.queued, "retryAfterSeconds": error.retry_after_seconds},
    )


def from_refusal(portfolio_id: str, refusal: Infeasible | TimeLimit | Crashed) -> OrderGenerationError:
    """Report why there is no solution."""
    match refusal:
        case Infeasible():
            details = {
                "portfolioId": portfolio_id,
                "solverStatus": "INFEASIBLE",
                "marketValue": refusal.market_value,
                "reasons": [in_camel_case(reason) for reason in refusal.reasons],
            }
            return OrderGenerationError(ErrorCode.OPTIMIZATION_FAILED, refusal.message, details)
        case TimeLimit():
            details = {
                "portfolioId": portfolio_id,
                "solverStatus": "TIME_LIMIT",
                "objective": refusal.objective,
                "bound": refusal.bound,
                "gap": refusal.gap,
            }
            message = "The time limit ended before an optimum was proven."
            return OrderGenerationError(ErrorCode.OPTIMIZATION_FAILED, message, details)
        case Crashed():
            return OrderGenerationError(
                ErrorCode.INTERNAL_ERROR,
                "The solver process died twice while solving this portfolio.",
                {"portfolioId": portfolio_id},
            )


def from_defect(details: Details | None = None) -> OrderGenerationError:
    """Report an unexpected error; only the log says which."""
    return OrderGenerationError(ErrorCode.INTERNAL_ERROR, "An unexpected error occurred.", details)


def from_invalid_books(error: BooksInvalid, portfolio_id: str) -> OrderGenerationError:
    """Report that an upstream's data contradict themselves or break a limit."""
    return OrderGenerationError(
        ErrorCode.BOOKS_INVALID,
        f"The data of the {error.service} service are invalid: {error.reason}.",
        {
            "portfolioId": portfolio_id,
            "service": error.service,
            "reason": error.reason,
            "securityIds": list(error.security_ids),
        },
    )


def from_unstorable(portfolio_id: str, security_ids: Sequence[str]) -> OrderGenerationError:
    """Report that a rebalance has numbers that cannot be stored without rounding, or not be read back."""
    if security_ids:
        reason = (
            f"the rebalanced quantities of {', '.join(security_ids[:5])} are not below 10^15, "
            "or their values have more than 34 digits"
        )
    else:
        reason = "quantities and prices multiply to more than 34 digits"
    return OrderGenerationError(
        ErrorCode.BOOKS_INVALID,
        f"Portfolio {portfolio_id} cannot be rebalanced: {reason}.",
        {
            "portfolioId": portfolio_id,
            "service": "portfolio-accounting",
            "reason": reason,
            "securityIds": list(security_ids),
        },
    )


def from_missed_deadline(portfolio_id: str, seconds: float) -> OrderGenerationError:
    """Report that a portfolio was unfinished at its request's deadline."""
    return OrderGenerationError(
        ErrorCode.DEADLINE_EXCEEDED,
        f"The rebalance was not finished within {seconds:g} seconds.",
        {"portfolioId": portfolio_id, "deadlineSeconds": seconds},
    )


def from_failures(failures: Sequence[tuple[str, Failure]], rebalance_id: str | None) -> OrderGenerationError:
    """Translate the failures of a rebalance in which every portfolio failed.

    The status is 503 if any of them failed because of a dependency, otherwise 422; code and details are those of the
    first failure of that kind.

    Args:
        failures: id and failure of each portfolio.
        rebalance_id: of the rebalance; None if it is not stored.
    """
    first = min((failure for _, failure in failures), key=lambda failure: _PRECEDENCE[ErrorCode(failure.code).status])
    details = {
        **first.details,
        "rebalanceId": rebalance_id,
        "portfolios": [
            {"portfolioId": portfolio_id, "code": failure.code, "message": failure.message}
            for portfolio_id, failure in failures
        ],
    }
    message = (
        first.message if len(failures) == 1 else f"All {len(failures)} portfolios failed, one because: {first.message}"
    )
    headers = {"Retry-After": str(first.details["retryAfterSeconds"])} if first.code == ErrorCode.OVERLOADED else None
    return OrderGenerationError(ErrorCode(first.code), message, details, headers)


def in_camel_case(value: Struct) -> dict[str, object]:
    """Return a Struct as JSON values under the names of the API; decimals stay decimals."""

    def renamed(content: object) -> object:
        match content:
            case Mapping():
                return {camel_case(str(key)): renamed(item) for key, item in content.items()}
            case list() | tuple():
                return [renamed(item) for item in content]
            case _:
                return content

    result = renamed(msgspec.to_builtins(value, builtin_types=(Decimal,)))
    assert isinstance(result, dict)
    return result
