"""Names what has a wrong type in a portfolio that cannot be solved; loaded only after that happened.

Checking every type before each solve would cost as much as scaling the numbers does.
"""

from collections.abc import Iterator
from decimal import Decimal

from solver.problem import Portfolio, Security

NUMBERS = ("price", "quantity", "target", "low_drift", "high_drift")


def wrong_types(portfolio: object, time_limit_seconds: object) -> str | None:
    """Return the first thing with a wrong type as a sentence; None if all types are right."""
    return next(_found(portfolio, time_limit_seconds), None)


def _found(portfolio: object, time_limit_seconds: object) -> Iterator[str]:
    if not isinstance(portfolio, Portfolio):
        yield f"portfolio: must be a Portfolio, is of type {type(portfolio).__name__}"
        return
    if not isinstance(time_limit_seconds, int | float):
        yield f"time_limit_seconds: must be a number, is of type {type(time_limit_seconds).__name__}"
    if not _is_decimal(portfolio.cash):
        yield f"cash: {_must_be_decimal(portfolio.cash)}"
    securities: object = portfolio.securities
    if not isinstance(securities, tuple | list):
        yield f"securities: must be a tuple of Security, is of type {type(securities).__name__}"
        return
    for index, security in enumerate(securities):
        if not isinstance(security, Security):
            yield f"securities[{index}]: must be a Security, is of type {type(security).__name__}"
            continue
        for field in NUMBERS:
            if not _is_decimal(getattr(security, field)):
                yield f"{field} of {security.security_id}: {_must_be_decimal(getattr(security, field))}"


def _is_decimal(value: object) -> bool:
    return isinstance(value, Decimal)


def _must_be_decimal(value: object) -> str:
    exact = f", such as Decimal('{value}')" if isinstance(value, str | int | float) else ""
    return f"must be a Decimal{exact}, is {value!r} of type {type(value).__name__}"
