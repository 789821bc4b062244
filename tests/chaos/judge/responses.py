"""Responses as the contract describes them, in types of the tests' own: no key missing, none too many."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

CODES = {
    "VALIDATION_ERROR": 400,
    "MODEL_NOT_FOUND": 404,
    "PORTFOLIO_NOT_FOUND": 404,
    "REBALANCE_NOT_FOUND": 404,
    "VERSION_CONFLICT": 409,
    "AMBIGUOUS_MODEL": 409,
    "IDEMPOTENCY_IN_PROGRESS": 409,
    "OPTIMIZATION_FAILED": 422,
    "PRICE_UNAVAILABLE": 422,
    "BOOKS_INVALID": 422,
    "SECURITY_NOT_FOUND": 422,
    "DEADLINE_EXCEEDED": 422,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "INTERNAL_ERROR": 500,
    "EXTERNAL_SERVICE_ERROR": 503,
    "DATABASE_UNAVAILABLE": 503,
    "OVERLOADED": 503,
}
"""The errors that a rebalance or a read of one can end in, with their statuses."""


class Wire(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A JSON object with exactly these fields."""


class Failure(Wire, frozen=True):
    """The inner object of the error envelope, or why a portfolio failed."""

    code: str
    message: str
    details: dict[str, Any]
    timestamp: datetime
    trace_id: str


class Envelope(Wire, frozen=True):
    """Every error."""

    error: Failure


class Transaction(Wire, frozen=True):
    """An order."""

    transaction_type: Literal["BUY", "SELL"]
    security_id: str
    ticker: str | None
    quantity: int
    price: Decimal
    trade_date: date


class Drift(Wire, frozen=True):
    """A security before and after."""

    security_id: str
    ticker: str | None
    original_quantity: Decimal
    adjusted_quantity: Decimal
    target: Decimal
    high_drift: Decimal
    low_drift: Decimal
    original_actual: Decimal
    actual: Decimal
    restraint: str | None


class Warned(Wire, frozen=True):
    """A warning of a portfolio."""

    code: Literal["NO_BALANCES", "OUTSIDE_BAND", "NOT_PRICED"]
    message: str
    security_ids: list[str]


class ApiResponse(Wire, frozen=True):
    """One portfolio of a rebalance, as the rebalance call responses it."""

    portfolio_id: str
    portfolio_name: str | None
    rebalance_id: str
    status: Literal["COMPLETED", "FAILED"]
    market_value: Decimal | None
    cash_before_rebalance: Decimal | None
    cash_after_rebalance: Decimal | None
    drift_before: Decimal | None
    drift_after: Decimal | None
    turnover: Decimal | None
    fees: Decimal | None
    transactions: list[Transaction]
    drifts: list[Drift]
    warnings: list[Warned]
    error: Failure | None


class StoredPosition(Wire, frozen=True):
    """One security of a stored portfolio."""

    security_id: str
    price: Decimal
    original_quantity: Decimal
    adjusted_quantity: Decimal
    original_position_market_value: Decimal
    adjusted_position_market_value: Decimal
    target: Decimal
    high_drift: Decimal
    low_drift: Decimal
    actual: Decimal
    actual_drift: Decimal
    transaction_type: Literal["BUY", "SELL"] | None
    trade_quantity: int | None
    trade_date: date | None


class StoredPortfolio(Wire, frozen=True):
    """One portfolio of a rebalance, as it reads back."""

    portfolio_id: str
    portfolio_name: str | None
    status: Literal["COMPLETED", "FAILED"]
    error: Failure | None
    market_value: Decimal | None
    cash_before_rebalance: Decimal | None
    cash_after_rebalance: Decimal | None
    positions: list[StoredPosition]


class StoredRebalance(Wire, frozen=True):
    """A rebalance, as it reads back."""

    rebalance_id: str
    model_id: str
    model_name: str
    rebalance_date: datetime
    number_of_portfolios: int
    rules: dict[str, Any] | None
    version: int
    created_at: datetime
    portfolios: list[StoredPortfolio]

    @property
    def final(self) -> bool:
        """Whether a retry under its key replays it: it did not fail as a whole for a reason that may pass."""
        errors = [portfolio.error for portfolio in self.portfolios]
        return None in errors or not any(error and CODES[error.code] == 503 for error in errors)


class RebalanceSummary(Wire, frozen=True):
    """A rebalance in the list, of which only the header matters here."""

    rebalance_id: str
    model_id: str
    model_name: str
    rebalance_date: datetime
    number_of_portfolios: int
    rules: dict[str, Any] | None
    version: int
    created_at: datetime
    portfolios: list[dict[str, Any]]
