"""The collections and their indexes, declared once."""

from collections.abc import Mapping
from typing import Final

from pymongo import ASCENDING, DESCENDING, IndexModel

MODELS: Final = "models"
MODEL_HISTORY: Final = "model_history"
REBALANCES: Final = "rebalances"
SWEEPS: Final = "sweeps"
IDEMPOTENCY_KEYS: Final = "idempotency_keys"
ORDER_PLANS: Final = "order_plans"

IDEMPOTENCY_SECONDS: Final = 24 * 60 * 60
# How long the mark of an abandoned rebalance keeps its writer from storing it: no process stands still for longer and
# then goes on.
ABANDONED_SECONDS: Final = 24 * 60 * 60

type Keys = tuple[tuple[str, int], ...]
"""Fields of an index and their directions, as a hint names it."""

HEADERS_BY: Final[Mapping[str, Keys]] = {
    "_id": (("visible", ASCENDING), ("_id", ASCENDING)),
    "modelName": (("visible", ASCENDING), ("modelName", ASCENDING), ("_id", ASCENDING)),
    "numberOfPortfolios": (("visible", ASCENDING), ("numberOfPortfolios", ASCENDING), ("_id", ASCENDING)),
}
"""Indexes of the headers of rebalances by the field that they are ordered by."""

WHOLE_HEADERS: Final[Keys] = (
    ("visible", ASCENDING),
    ("rebalanceDate", ASCENDING),
    ("_id", ASCENDING),
    *((each, ASCENDING) for each in ("modelName", "numberOfPortfolios", "modelId", "pricedAt", "createdAt", "version")),
)
"""The index of headers by date, which holds all that a listing shows of them. Headers lie scattered among their
portfolios; any order that no index has is sorted from this one, without reading a document."""

HEADERS_BY_PORTFOLIO: Final[Keys] = (
    ("visible", ASCENDING),
    ("portfolioIds", ASCENDING),
    ("rebalanceDate", ASCENDING),
    ("_id", ASCENDING),
)

# Named as MongoDB itself would name them, so that an equal index made by another tool is recognised as the same.
INDEXES: Final[Mapping[str, tuple[IndexModel, ...]]] = {
    MODELS: (
        IndexModel([("name", ASCENDING)], unique=True),
        IndexModel([("portfolios", ASCENDING)]),
        IndexModel([("positions.securityId", ASCENDING)], sparse=True),
        # The sort orders that the unique name and _id do not already serve.
        IndexModel([("lastRebalanceDate", ASCENDING), ("_id", ASCENDING)]),
        IndexModel([("lastRebalanceDate", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("lastRebalanceDate", ASCENDING), ("name", ASCENDING)]),
        IndexModel([("lastRebalanceDate", ASCENDING), ("name", DESCENDING)]),
        # Only models whose audit entry a crash left behind.
        IndexModel([("pending.at", ASCENDING)], sparse=True),
    ),
    MODEL_HISTORY: (IndexModel([("modelId", ASCENDING), ("version", DESCENDING)], unique=True),),
    REBALANCES: (
        # Every listing asks for what is visible. As the first field of the key that is a bound of the index rather than
        # a question to each document, so that documents before the page are not read. Portfolios are in no index but
        # `_id`, which is all that they are looked up and ordered by, and cost that much less to write.
        *(
            IndexModel(list(keys), partialFilterExpression={"visible": True})
            for keys in (*HEADERS_BY.values(), WHOLE_HEADERS, HEADERS_BY_PORTFOLIO)
        ),
        # Only rebalances that are being deleted.
        IndexModel([("hiddenSince", ASCENDING)], sparse=True),
        # Only the marks of those that were given up.
        IndexModel([("abandonedAt", ASCENDING)], sparse=True, expireAfterSeconds=ABANDONED_SECONDS),
    ),
    ORDER_PLANS: (
        IndexModel([("rebalanceId", ASCENDING), ("place", ASCENDING)]),
        # Of two plans that are inserted for a portfolio at the same time, one fails.
        IndexModel([("portfolioId", ASCENDING), ("sequence", ASCENDING)], unique=True),
        # A timestamp belongs to one post.
        IndexModel(
            [("posts.timestamp", ASCENDING)],
            unique=True,
            partialFilterExpression={"posts.timestamp": {"$exists": True}},
        ),
        IndexModel([("due", ASCENDING)], sparse=True),
        IndexModel([("open", ASCENDING)], sparse=True),
    ),
    IDEMPOTENCY_KEYS: (IndexModel([("createdAt", ASCENDING)], expireAfterSeconds=IDEMPOTENCY_SECONDS),),
}
