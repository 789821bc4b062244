"""Stores models, their audit trail, rebalances and idempotency keys in MongoDB.

Everything that other packages use is here, except the bundled mongod of the demo and the tests, which is in
`persistence.embedded`. The documents, the errors and the encoding of a portfolio need only `bson` and are imported at
once. The names that need PyMongo's client are imported on first use (PEP 562), because solver processes encode
portfolios and must not load the client, which would cost each of them start time and memory.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from persistence.documents import (
    AuditNote,
    Failure,
    Model,
    ModelAction,
    ModelContent,
    ModelHistoryEntry,
    PortfolioWarning,
    Position,
    Rebalance,
    RebalancedPortfolio,
    RebalancedPosition,
    Solve,
)
from persistence.errors import (
    DatabaseUnavailable,
    DatabaseUnusable,
    DocumentUnreadable,
    DuplicateName,
    DuplicatesFound,
    DuplicateTimestamp,
    IdempotencyConflict,
    IndexConflict,
    KeyInProgress,
    KeyReused,
    ModelNotFound,
    NotFound,
    OrdersSent,
    PersistenceError,
    RebalanceNotFound,
    StorageLost,
    VersionConflict,
)
from persistence.order_plan import (
    ORDER_DRAFT,
    UNFINISHED_ORDER_STATES,
    Backlog,
    Claim,
    OrderPlan,
    OrderPost,
    OrderState,
    PlannedOrder,
)
from persistence.rebalances.packed import PackedPortfolio, PositionTerms
from persistence.rebalances.record import PortfolioRecord, PositionForm, record_of
from persistence.sorting import ModelField, RebalanceField, SortKey

if TYPE_CHECKING:
    from persistence.backup import BackupFailed, back_up, restore_backup
    from persistence.connection_string import is_connection_string, unreadable_file
    from persistence.database import Database, open_database
    from persistence.idempotency import AlreadyStored, Claimed
    from persistence.orders import OrderRepository

__all__ = [
    "ORDER_DRAFT",
    "UNFINISHED_ORDER_STATES",
    "AlreadyStored",
    "AuditNote",
    "Backlog",
    "BackupFailed",
    "Claim",
    "Claimed",
    "Database",
    "DatabaseUnavailable",
    "DatabaseUnusable",
    "DocumentUnreadable",
    "DuplicateName",
    "DuplicateTimestamp",
    "DuplicatesFound",
    "Failure",
    "IdempotencyConflict",
    "IndexConflict",
    "KeyInProgress",
    "KeyReused",
    "Model",
    "ModelAction",
    "ModelContent",
    "ModelField",
    "ModelHistoryEntry",
    "ModelNotFound",
    "NotFound",
    "OrderPlan",
    "OrderPost",
    "OrderRepository",
    "OrderState",
    "OrdersSent",
    "PackedPortfolio",
    "PersistenceError",
    "PlannedOrder",
    "PortfolioRecord",
    "PortfolioWarning",
    "Position",
    "PositionForm",
    "PositionTerms",
    "Rebalance",
    "RebalanceField",
    "RebalanceNotFound",
    "RebalancedPortfolio",
    "RebalancedPosition",
    "Solve",
    "SortKey",
    "StorageLost",
    "VersionConflict",
    "back_up",
    "is_connection_string",
    "open_database",
    "record_of",
    "restore_backup",
    "unreadable_file",
]

_NEEDS_CLIENT: Final = {
    "BackupFailed": "persistence.backup",
    "back_up": "persistence.backup",
    "restore_backup": "persistence.backup",
    "AlreadyStored": "persistence.idempotency",
    "Claimed": "persistence.idempotency",
    "Database": "persistence.database",
    "OrderRepository": "persistence.orders",
    "is_connection_string": "persistence.connection_string",
    "open_database": "persistence.database",
    "unreadable_file": "persistence.connection_string",
}


def __getattr__(name: str) -> object:
    """Import a name that needs PyMongo's client."""
    if name not in _NEEDS_CLIENT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEEDS_CLIENT[name]), name)
