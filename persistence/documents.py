"""The documents as MongoDB holds them: one Struct a collection, field names as stored."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from bson import ObjectId
from msgspec import Struct, field


class Position(Struct, frozen=True, rename="camel"):
    """A security's place in a model; shares of the market value."""

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
    """What was done to a model."""

    CREATED = "CREATED"
    REPLACED = "REPLACED"
    POSITION_ADDED = "POSITION_ADDED"
    POSITION_CHANGED = "POSITION_CHANGED"
    POSITION_REMOVED = "POSITION_REMOVED"
    PORTFOLIOS_ADDED = "PORTFOLIOS_ADDED"
    PORTFOLIOS_REMOVED = "PORTFOLIOS_REMOVED"
    DELETED = "DELETED"


class Change(Struct, frozen=True):
    """Who changes a model, what they do, and when."""

    action: ModelAction
    at: datetime
    correlation_id: str


class ModelContent(Struct, frozen=True, rename="camel"):
    """What a model said at one version."""

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


class RebalancedPosition(Struct, frozen=True, rename="camel"):
    """One security of one rebalanced portfolio: price, quantities before and after, and what was asked of it."""

    security_id: str
    price: Decimal
    original_quantity: Decimal
    adjusted_quantity: Decimal
    target: Decimal
    high_drift: Decimal
    low_drift: Decimal


class Failure(Struct, frozen=True, rename="camel"):
    """Why a portfolio was not rebalanced: the error envelope's inner facts.

    `details` holds plain JSON values and Decimals.
    """

    code: str
    message: str
    details: dict[str, object]
    timestamp: datetime
    trace_id: str


class Solve(Struct, frozen=True, rename="camel"):
    """How a portfolio was solved: path, exact gap in money, whether the tie is proven, seconds in the solver."""

    path: str
    gap: Decimal
    tie_proven: bool
    seconds: float


class RebalancedPortfolio(Struct, frozen=True, rename="camel"):
    """One portfolio of one rebalance, collection `rebalances`; `_id` holds the rebalance and the place.

    Attributes:
        rebalance_id: its header's `_id`.
        place: 0-based place in the model's order of portfolios.
        status: `COMPLETED` or `FAILED`; a failed one has a failure and no positions.
        trade_date: ISO 8601 day of the trades.
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


class Rebalance(Struct, frozen=True, rename="camel"):
    """The header of a rebalance, collection `rebalances`; stored after all its portfolios.

    Attributes:
        rebalance_date: when it was asked for.
        priced_at: when the one price snapshot was taken; None where no prices could be had.
        created_at: when it was stored.
        version: optimistic lock of a deletion.
    """

    id: ObjectId = field(name="_id")
    model_id: ObjectId
    model_name: str
    rebalance_date: datetime
    priced_at: datetime | None
    number_of_portfolios: int
    created_at: datetime
    version: int
