"""The format of stored documents, for the server as filters that match what is wrong, and for reading what is right.

The database may hold documents that this service did not write: of the service that it replaces, or corrupted. Filters
match, as far as the server can tell, what the read functions reject, so that listings, their counts and single reads
agree.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from bson import Decimal128

from persistence.codec import Document, from_document
from persistence.documents import Model, Rebalance

_FRACTION: Final = {"bsonType": "decimal", "minimum": Decimal128("0"), "maximum": Decimal128("1")}
_INTEGER: Final = ["int", "long"]
_FIRST_DATE: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST_DATE: Final = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)

_MODEL: Final = {
    "required": ["name", "positions", "portfolios", "lastRebalanceDate", "version"],
    "properties": {
        "_id": {"bsonType": "objectId"},
        "name": {"bsonType": "string"},
        "version": {"bsonType": _INTEGER, "minimum": 1},
        "lastRebalanceDate": {"bsonType": ["date", "null"]},
        "portfolios": {"bsonType": "array", "items": {"bsonType": "string"}},
        "positions": {
            "bsonType": "array",
            "items": {
                "bsonType": "object",
                "required": ["securityId", "target", "highDrift", "lowDrift"],
                "properties": {
                    "securityId": {"bsonType": "string"},
                    "target": _FRACTION,
                    "highDrift": _FRACTION,
                    "lowDrift": _FRACTION,
                },
            },
        },
        "pending": {"bsonType": "array"},
    },
}

WRONG_MODELS: Final[Sequence[Mapping[str, Any]]] = (
    {
        "$match": {
            "deletedAt": {"$exists": False},
            "$or": [
                {"$nor": [{"$jsonSchema": _MODEL}]},
                {"lastRebalanceDate": {"$gt": _LAST_DATE}},
                {"lastRebalanceDate": {"$lt": _FIRST_DATE}},
            ],
        }
    },
)
"""Finds models that `read_model` rejects. The schema takes 5 microseconds for each position of each model."""

_DATE: Final = {"$type": "date", "$gte": _FIRST_DATE, "$lte": _LAST_DATE}
_HEADER: Final[Mapping[str, Mapping[str, Any]]] = {
    "_id": {"$type": "objectId"},
    "modelId": {"$type": "objectId"},
    "modelName": {"$type": "string"},
    "rebalanceDate": _DATE,
    "createdAt": _DATE,
    "numberOfPortfolios": {"$type": _INTEGER, "$gte": 0},
    "version": {"$type": _INTEGER, "$gte": 1},
}

WRONG_HEADERS: Final[Sequence[Mapping[str, Any]]] = (
    {"$match": {"visible": True}},
    {"$project": dict.fromkeys([*_HEADER, "pricedAt"], True)},
    # Keeps the server from moving the condition before the projection, which the index of headers serves alone: it
    # would read the document of every header.
    {"$limit": 2**31 - 1},
    {
        "$match": {
            "$or": [
                *({name: {"$not": right}} for name, right in _HEADER.items()),
                {"$nor": [{"pricedAt": None}, {"pricedAt": _DATE}]},
            ]
        }
    },
)
"""Finds headers of rebalances that `read_header` rejects, without reading a document. Wrong rules, which the index does
not hold, are noticed when the header is read."""


def read_model(document: Document) -> Model:
    """Return the model that a document holds.

    Raises:
        ValueError: the document is not in this service's format.
    """
    model = from_document(document, Model)
    if model.version < 1:
        raise ValueError("version is below 1")
    for position in model.positions:
        if not all(0 <= fraction <= 1 for fraction in (position.target, position.high_drift, position.low_drift)):
            raise ValueError(f"position {position.security_id} has a target or drift outside 0..1")
    if not isinstance(document.get("pending", []), list):
        raise ValueError("pending is not an array")  # noqa: TRY004 - one error for everything that is wrong
    return model


def read_header(document: Document) -> Rebalance:
    """Return the header of a rebalance that a document holds.

    Raises:
        ValueError: the document is not in this service's format.
    """
    header = from_document(document, Rebalance)
    if header.version < 1 or header.number_of_portfolios < 0:
        raise ValueError("version is below 1, or the number of portfolios below 0")
    require_plain(header.rules)
    return header


def require_plain(value: object) -> None:
    """Check that a value consists of JSON values and finite Decimals.

    Raises:
        ValueError: it does not.
    """
    match value:
        case None | str() | int() | Decimal():
            pass
        case dict():
            for inner in value.values():
                require_plain(inner)
        case list():
            for inner in value:
                require_plain(inner)
        case float() if math.isfinite(value):
            pass
        case _:
            raise ValueError(f"{type(value).__name__} is not a JSON value")
