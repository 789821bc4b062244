"""What the other packages report, told as errors of the API: one translation for each of them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus

import msgspec
from msgspec import Struct

from app.errors.codes import Details, ErrorCode, OrderGenerationError
from app.http.dialect import camel_case
from integrations import Cause, ServiceError
from persistence import (
    DatabaseUnavailable,
    DuplicateName,
    Failure,
    KeyInProgress,
    KeyReused,
    ModelNotFound,
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
"""Which of several failures speaks for all: one that a retry may mend, then one that names what is infeasible."""


def of_service(error: ServiceError) -> OrderGenerationError:
    """Tell that a neighbour failed: which one, and why, in words an operator can act on."""
    return OrderGenerationError(
        ErrorCode.EXTERNAL_SERVICE_ERROR,
        f"The {error.service} service failed: {error.reason}.",
        {"service": error.service, "cause": str(error.cause), "reason": error.reason, "status": error.status},
    )


def of_persistence(error: PersistenceError) -> OrderGenerationError:
    """Tell what kept the database from doing what was asked."""
    match error:
        case DatabaseUnavailable():
            message = "The database does not answer; try again shortly."
            return OrderGenerationError(ErrorCode.DATABASE_UNAVAILABLE, message, headers={"Retry-After": "2"})
        case ModelNotFound():
            return OrderGenerationError(ErrorCode.MODEL_NOT_FOUND, str(error), {"modelId": str(error.model_id)})
        case RebalanceNotFound():
            details = {"rebalanceId": str(error.rebalance_id)}
            return OrderGenerationError(ErrorCode.REBALANCE_NOT_FOUND, str(error), details)
        case VersionConflict():
            return OrderGenerationError(
                ErrorCode.VERSION_CONFLICT,
                f"The version given is not the current one, which is {error.current}.",
                {"currentVersion": error.current},
            )
        case DuplicateName():
            return OrderGenerationError(ErrorCode.DUPLICATE_NAME, str(error), {"name": error.name})
        case KeyInProgress():
            return OrderGenerationError(ErrorCode.IDEMPOTENCY_IN_PROGRESS, str(error), headers={"Retry-After": "1"})
        case KeyReused():
            message = "This idempotency key was first used on another target."
            return OrderGenerationError(ErrorCode.IDEMPOTENCY_KEY_REUSED, message)
        case StorageLost():
            message = "The rebalance took too long to store; nothing of it is kept."
            return OrderGenerationError(ErrorCode.DATABASE_UNAVAILABLE, message, headers={"Retry-After": "2"})
        case _:
            return of_defect()


def of_overload(error: Overloaded) -> OrderGenerationError:
    """Tell that the solvers' queue is full."""
    return OrderGenerationError(
        ErrorCode.OVERLOADED,
        "Every solver is busy and the queue is full; try again shortly.",
        {"queueDepth": error.queued, "retryAfterSeconds": error.retry_after_seconds},
    )


def of_refusal(portfolio_id: str, refusal: Infeasible | TimeLimit | Crashed) -> OrderGenerationError:
    """Tell why there is no solution."""
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
                "The solver process died twice under this portfolio.",
                {"portfolioId": portfolio_id},
            )


def of_defect(details: Details | None = None) -> OrderGenerationError:
    """Tell that something went wrong that nobody thought of; what it was stays in the log."""
    return OrderGenerationError(ErrorCode.INTERNAL_ERROR, "An unexpected error occurred.", details)


def of_unstorable(portfolio_id: str) -> OrderGenerationError:
    """Tell that holdings and prices multiply to more digits than can be kept without rounding."""
    reason = f"quantities and prices of portfolio {portfolio_id} multiply to more than 34 digits"
    return OrderGenerationError(
        ErrorCode.EXTERNAL_SERVICE_ERROR,
        f"The portfolio-accounting service failed: {reason}.",
        {"service": "portfolio-accounting", "cause": Cause.BAD_PAYLOAD.value, "reason": reason, "status": None},
    )


def of_missed_deadline(portfolio_id: str, seconds: float) -> OrderGenerationError:
    """Tell that a portfolio was unfinished when its request's time was up."""
    return OrderGenerationError(
        ErrorCode.DEADLINE_EXCEEDED,
        f"The rebalance was not finished within {seconds:g} seconds.",
        {"portfolioId": portfolio_id, "deadlineSeconds": seconds},
    )


def of_all(
    failures: Sequence[tuple[str, Failure]], number_of_portfolios: int, rebalance_id: str
) -> OrderGenerationError | None:
    """Tell that every portfolio of a rebalance failed; None where one completed.

    The answer is 503 if any failed for a dependency, else 422, with the details of the first failure of that kind.

    Args:
        failures: those portfolios that failed, by id, and why.
        number_of_portfolios: of the rebalance, failed or not.
        rebalance_id: of the rebalance.
    """
    if len(failures) < number_of_portfolios or not failures:
        return None
    first = min((failure for _, failure in failures), key=lambda failure: _PRECEDENCE[ErrorCode(failure.code).status])
    details = {
        # The code's own details, such as the service and the cause, are the answer's whoever they are taken from.
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
    """Give a Struct as JSON values under the names of the API, its decimals kept."""

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
