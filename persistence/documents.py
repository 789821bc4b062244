"""The documents as MongoDB holds them: one Struct a collection, field names as stored."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from bson import ObjectId
from msgspec import Struct, field


class Position(Struct, frozen=True, rename="camel"):
    """The target and drift band of a security in a model, as fractions of the market value."""

    security_id: str
    target: Decimal
    high_drift: Decimal
    low_drift: Decimal


class Model(Struct, frozen=True, rename="camel"):
    """An investment model, collection `models`; `version` grows by one with every change through the API."""

    id: ObjectId = field(name="_id")
    name: str
    positions: tuple[Position, ...]
    portfolios: tuple[str, ...]
    last_rebalance_date: datetime | None
    version: int


class ModelAction(StrEnum):
    """The kind of change that was made to a model."""

    CREATED = "CREATED"
    REPLACED = "REPLACED"
    POSITION_ADDED = "POSITION_ADDED"
    POSITION_CHANGED = "POSITION_CHANGED"
    POSITION_REMOVED = "POSITION_REMOVED"
    PORTFOLIOS_ADDED = "PORTFOLIOS_ADDED"
    PORTFOLIOS_REMOVED = "PORTFOLIOS_REMOVED"
    DELETED = "DELETED"


class AuditNote(Struct, frozen=True):
    """Who changes a model, what the change is, and when it is made."""

    action: ModelAction
    at: datetime
    correlation_id: str


class ModelContent(Struct, frozen=True, rename="camel"):
    """The content of a model at one version."""

    name: str
    positions: tuple[Position, ...]
    portfolios: tuple[str, ...]
    last_rebalance_date: datetime | None


class ModelHistoryEntry(Struct, frozen=True, rename="camel"):
    """The audit trail's record of one version of a model, collection `model_history`; it outlives the model.

    Attributes:
        version: the version that the change made; a deletion counts as one.
        before: None for a creation.
        after: None for a deletion.
    """

    id: ObjectId = field(name="_id")
    model_id: ObjectId
    version: int
    action: ModelAction
    at: datetime
    correlation_id: str
    before: ModelContent | None
    after: ModelContent | None


class RebalancedPosition(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One security of one rebalanced portfolio: price, quantities before and after, target and drift band.

    Attributes:
        price: None for a holding that has no price and is held unchanged.
        ticker: None if unknown, and in documents stored before tickers were.
        restraint: the rule that kept the security from a better quantity; None without such a rule.
    """

    security_id: str
    price: Decimal | None
    original_quantity: Decimal
    adjusted_quantity: Decimal
    target: Decimal
    high_drift: Decimal
    low_drift: Decimal
    ticker: str | None = None
    restraint: str | None = None


class Failure(Struct, frozen=True, rename="camel"):
    """Why a portfolio was not rebalanced: the content of the error envelope.

    `details` holds plain JSON values and Decimals.
    """

    code: str
    message: str
    details: dict[str, object]
    timestamp: datetime
    trace_id: str


class Solve(Struct, frozen=True, rename="camel"):
    """How a portfolio was solved, and what is proven of the result. The stored form of a proof.

    Attributes:
        path: the method that found the result.
        gap: money by which the objective could at most still be lower; 0 if it is proven optimal.
        tie_proven: whether the choice among equally good results is proven as well.
        seconds: time in the solver.
        objective: money, fees included; None in documents stored before it was.
        bound: proven lower bound of the objective in money; None in documents stored before it was.
        outside: money by which securities lie outside their bands; None in documents stored before it was.
    """

    path: str
    gap: Decimal
    tie_proven: bool
    seconds: float
    objective: Decimal | None = None
    bound: Decimal | None = None
    outside: Decimal | None = None


class PortfolioWarning(Struct, frozen=True, rename="camel"):
    """A fact about the result that its reader should know, with the securities that it concerns."""

    code: str
    message: str
    security_ids: tuple[str, ...] = ()


class RebalancedPortfolio(Struct, frozen=True, rename="camel"):
    """One portfolio of one rebalance, collection `rebalances`; `_id` holds the rebalance and the place.

    Attributes:
        rebalance_id: its header's `_id`.
        place: 0-based place in the model's order of portfolios.
        status: `COMPLETED` or `FAILED`; a failed one has a failure and no positions.
        market_value: cash and holdings less any withdrawal; targets and drift bands refer to it.
        trade_date: ISO 8601 day of the trades.
        drift_before, drift_after: sum of |target - weight| before and after the trades, 6 decimal places.
        turnover: traded value / market value, 6 decimal places.
        fees: money that the orders cost.

    Drifts, turnover and fees are None if the portfolio failed, and in documents stored before they were.
    """

    rebalance_id: ObjectId
    place: int
    portfolio_id: str
    portfolio_name: str | None
    status: Literal["COMPLETED", "FAILED"]
    failure: Failure | None
    market_value: Decimal | None
    cash_before: Decimal | None
    cash_after: Decimal | None
    trade_date: str
    positions: tuple[RebalancedPosition, ...]
    solve: Solve | None
    drift_before: Decimal | None = None
    drift_after: Decimal | None = None
    turnover: Decimal | None = None
    fees: Decimal | None = None
    warnings: tuple[PortfolioWarning, ...] = ()


class Rebalance(Struct, frozen=True, rename="camel", omit_defaults=True):
    """The header of a rebalance, collection `rebalances`; stored after all its portfolios.

    Attributes:
        rebalance_date: when it was requested.
        priced_at: when the price snapshot was taken; None if no prices were available.
        created_at: when it was stored.
        version: optimistic lock of a deletion.
        rules: the rules it was computed with, as JSON values and Decimals; None if there were none.
        calculated_at: `rebalance_date` by the database's clock, which all instances share; None in
            listings, and in documents stored before it was.
    """

    id: ObjectId = field(name="_id")
    model_id: ObjectId
    model_name: str
    rebalance_date: datetime
    priced_at: datetime | None
    number_of_portfolios: int
    created_at: datetime
    version: int
    rules: dict[str, object] | None = None
    calculated_at: datetime | None = None
