"""Failures that no upstream, database or client can be brought to cause in a test, told as they would be."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from bson import ObjectId
from litestar.exceptions import HTTPException

from app.errors import translation
from app.errors.codes import Details, ErrorCode
from app.errors.envelope import as_api_error
from app.http.dialect import Dialect
from app.solver_task.assignment import Assignment, Terms
from app.solver_task.calculate import Unstorable, calculate
from persistence import Failure, KeyInProgress, KeyReused, PersistenceError, StorageLost
from solver import Crashed, Security, SolverStrategy
from solver.pool import Overloaded

NOW = datetime(2024, 12, 19, 10, 30, tzinfo=UTC)


def failed(code: str, details: Details, place: int = 0) -> tuple[str, Failure]:
    """A portfolio that failed with this code."""
    return f"{place:024d}", Failure(code, f"{code} happened.", dict(details), NOW, "trace")


def test_every_code_has_an_error_status_and_a_meaning() -> None:
    """The row of a code states its HTTP status and what the API document says of it."""
    assert list(ErrorCode)
    for code in ErrorCode:
        assert ErrorCode(code.value) is code
        assert 400 <= code.status < 600
        assert code.meaning


def test_a_full_queue_is_told_with_the_time_after_which_to_come_back() -> None:
    """The error is 503 with Retry-After and the depth of the queue."""
    error = translation.from_overload(Overloaded(10_000, 17))
    told_of_all = translation.from_failures([failed(error.code, error.details)], "id")
    assert told_of_all is not None
    assert (told_of_all.status, told_of_all.code) == (503, ErrorCode.OVERLOADED)
    assert told_of_all.headers == {"Retry-After": "17"}
    assert told_of_all.details["queueDepth"] == 10_000


@pytest.mark.parametrize(
    ("codes", "speaks"),
    [
        ([ErrorCode.OPTIMIZATION_FAILED, ErrorCode.OVERLOADED], ErrorCode.OVERLOADED),
        ([ErrorCode.DEADLINE_EXCEEDED, ErrorCode.EXTERNAL_SERVICE_ERROR], ErrorCode.EXTERNAL_SERVICE_ERROR),
        ([ErrorCode.INTERNAL_ERROR, ErrorCode.PRICE_UNAVAILABLE], ErrorCode.PRICE_UNAVAILABLE),
        ([ErrorCode.SECURITY_NOT_FOUND, ErrorCode.OPTIMIZATION_FAILED], ErrorCode.SECURITY_NOT_FOUND),
        ([ErrorCode.INTERNAL_ERROR, ErrorCode.INTERNAL_ERROR], ErrorCode.INTERNAL_ERROR),
    ],
)
def test_of_several_failures_the_one_that_a_retry_may_mend_speaks_then_the_one_that_names_what_is_wrong(
    codes: list[ErrorCode], speaks: ErrorCode
) -> None:
    """The whole rebalance's error has the code that helps a caller most."""
    portfolios = [failed(code, {"retryAfterSeconds": 1}, place) for place, code in enumerate(codes)]
    error = translation.from_failures(portfolios, "id")
    assert error is not None
    assert error.code == speaks


def test_a_solver_that_dies_twice_under_a_portfolio_is_an_internal_error() -> None:
    """The response names the portfolio and reveals no signal."""
    error = translation.from_refusal("p", Crashed("killed by signal 9"))
    assert (error.status, error.details) == (500, {"portfolioId": "p"})
    assert "signal" not in error.message


def test_numbers_longer_than_the_database_holds_are_not_stored() -> None:
    """Shares and prices of many digits multiply to more than 34; shares from 10^15 on could not be read back."""
    security = Security("a" * 24, price=Decimal("9999999.99999999"))
    terms = Terms("0" * 24, "2024-12-19", Dialect.STANDARD, (security,), (None,))
    assignment = Assignment(
        msgspec.msgpack.encode(terms), 0, "p" * 24, None, Decimal(0), (Decimal("999999999999.99999999"),), ()
    )
    assert calculate(assignment, strategy=SolverStrategy.AUTO, time_limit_seconds=30) == Unstorable(("a" * 24,))
    error = translation.from_unstorable("p", ())
    assert error.code is ErrorCode.BOOKS_INVALID
    assert "more than 34 digits" in error.message
    assert "security-1" in translation.from_unstorable("p", ("security-1",)).message


def test_a_sum_longer_than_the_database_holds_names_the_security_with_the_most_decimals() -> None:
    """No value is too long by itself; the decimals of one security and the size of another are too much together."""
    securities = (Security("a" * 24, price=Decimal(1)), Security("b" * 24, price=Decimal("1.000000000000000001")))
    terms = Terms("0" * 24, "2024-12-19", Dialect.STANDARD, securities, (None, None))
    quantities = (Decimal(999999999999999), Decimal("0.000000000000000001"))
    assignment = Assignment(msgspec.msgpack.encode(terms), 0, "p" * 24, None, Decimal(0), quantities, ())
    assert calculate(assignment, strategy=SolverStrategy.AUTO, time_limit_seconds=30) == Unstorable(("b" * 24,))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyInProgress(NOW), ErrorCode.IDEMPOTENCY_IN_PROGRESS),
        (KeyReused("model/6b033618a5af5e4f07c57308"), ErrorCode.IDEMPOTENCY_KEY_REUSED),
        (StorageLost(ObjectId()), ErrorCode.DATABASE_UNAVAILABLE),
        (PersistenceError("E11000 duplicate key error collection"), ErrorCode.INTERNAL_ERROR),
        (HTTPException("GET /api/v1/x", status_code=418), ErrorCode.VALIDATION_ERROR),
        (HTTPException("GET /api/v1/x", status_code=502), ErrorCode.INTERNAL_ERROR),
        (RuntimeError("password=secret at /etc/app"), ErrorCode.INTERNAL_ERROR),
        (MemoryError(), ErrorCode.INTERNAL_ERROR),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_whatever_goes_wrong_has_a_code_and_a_message_with_nothing_internal(error: Exception, code: ErrorCode) -> None:
    """No message has a path, an address or a term of the database."""
    told_error = as_api_error(error, Dialect.STANDARD)
    assert told_error.code == code
    for internal in ("secret", "/api", "/etc", "E11000", "model/"):
        assert internal not in told_error.message
