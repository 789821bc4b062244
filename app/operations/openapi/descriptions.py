"""Descriptions of fields in the API document, by their camelCase names, that no type can have."""

from collections.abc import Mapping
from typing import Final

DESCRIPTIONS: Final[Mapping[str, str]] = {
    "action": "The kind of change.",
    "after": "The content after the change; null for a deletion.",
    "before": "The content before the change; null for a creation.",
    "code": "The kind of error.",
    "correlationId": "Correlation id of the request that made the change.",
    "database": "State of the database; null in a stateless optimiser.",
    "databaseFault": "Why the database cannot be used; null if it can be.",
    "deleted": "Always true.",
    "detail": "The same as `message`; the suite's portal reads it here.",
    "details": "The error as data: ids, field paths, limits.",
    "drifts": "Every security of the model, and every other one that is held.",
    "error": "The reason if the portfolio failed; null if it completed.",
    "lastRebalanceDate": "Keeps the stored date if absent, null or earlier.",
    "message": "The error as a sentence.",
    "orders": "The orders of the portfolio, sales first.",
    "path": "The method that found the trades; null if the portfolio failed.",
    "portfolios": "The portfolios whose orders were requested.",
    "positions": "The securities of the model with their targets and drift bands.",
    "proof": "How good the trades are proven to be.",
    "rules": "The rules to rebalance by; none if absent or null.",
    "solvers": "State of the solver processes.",
    "status": "`UP` or `DOWN`.",
    "traceId": "Id of the request in log lines and traces.",
    "transactionType": "Whether shares are bought or sold; null if the position is not traded.",
    "transactions": "The trades, sales first.",
    "upstreams": "State of the circuit breaker of each upstream service; does not affect the status.",
    "warnings": "Warnings about a completed portfolio.",
}
"""Descriptions of fields whose types cannot have one."""
DESCRIPTIONS_OF: Final[Mapping[tuple[str, str], str]] = {
    ("ErrorEnvelope", "error"): "The error.",
    ("ModelDTO", "lastRebalanceDate"): "When the model was last rebalanced, UTC; null if never.",
    ("ModelContentDTO", "lastRebalanceDate"): "When the model was last rebalanced, UTC; null if never.",
    ("ModelHistoryDTO", "changedAt"): "When the model was changed, UTC.",
    ("ModelHistoryDTO", "version"): "The version that the change created.",
    ("OptimizationDTO", "portfolioName"): "Always null.",
    ("OptimizationDTO", "rebalanceId"): "Always null.",
    ("RebalanceResultDTO", "modelName"): "Name of the model when it was rebalanced.",
    ("ErrorDTO", "timestamp"): "When the error occurred, UTC.",
    ("OptimizationHolding", "securityId"): "Id of the security, unique in the list.",
    ("OptimizationPortfolio", "portfolioId"): "Id of the portfolio, unique in the list.",
    ("OptimizationPosition", "securityId"): "Id of the security, unique in the list.",
    ("OptimizationPrice", "securityId"): "Id of the security, unique in the list.",
}
"""Descriptions of fields that say more than those of their types."""
