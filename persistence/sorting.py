"""The orders of listings, and their translation to orders that an index serves."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct


class ModelField(StrEnum):
    """What models are sorted by; the values are the stored names."""

    MODEL_ID = "_id"
    NAME = "name"
    LAST_REBALANCE_DATE = "lastRebalanceDate"


class RebalanceField(StrEnum):
    """What rebalances are sorted by; the values are the stored names."""

    REBALANCE_ID = "_id"
    REBALANCE_DATE = "rebalanceDate"
    MODEL_NAME = "modelName"
    NUMBER_OF_PORTFOLIOS = "numberOfPortfolios"


class SortKey[Field: StrEnum](Struct, frozen=True):
    """One field of an order."""

    field: Field
    descending: bool = False


# The directions as MongoDB numbers them; importing them from PyMongo would load its client.
_ASCENDING: Final = 1
_DESCENDING: Final = -1

_UNIQUE: Final = frozenset({ModelField.MODEL_ID, ModelField.NAME})


def sort_specification[Field: StrEnum](keys: Sequence[SortKey[Field]]) -> list[tuple[str, int]]:
    """Return the total order that `keys` specify, without redundant fields.

    A field after a unique one, or a repeated one, has no effect. Ties are broken by `_id` in the direction of the last
    key, so that one index serves an order and its reverse.
    """
    specification: dict[str, int] = {}
    for key in keys:
        specification.setdefault(key.field.value, _DESCENDING if key.descending else _ASCENDING)
        if key.field.value in _UNIQUE:
            return list(specification.items())
    last = next(reversed(specification.values()), _ASCENDING)
    return [*specification.items(), ("_id", last)]
