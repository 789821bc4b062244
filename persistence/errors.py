"""What the persistence package raises.

PersistenceError
├── DatabaseUnavailable
├── NotFound
│   ├── ModelNotFound
│   └── RebalanceNotFound
├── VersionConflict
├── DuplicateName
├── IndexConflict
├── StorageLost
├── OrdersSent
├── DuplicateTimestamp
└── IdempotencyConflict
    ├── KeyInProgress
    └── KeyReused
"""

from datetime import datetime

from bson import ObjectId


class PersistenceError(Exception):
    """Anything that keeps the database from doing what was asked."""


class DatabaseUnavailable(PersistenceError):
    """The database cannot be reached, did not answer in time, or cannot take writes now. A write may have happened."""


class NotFound(PersistenceError):
    """There is no such document."""


class ModelNotFound(NotFound):
    """No model has this id."""

    def __init__(self, model_id: ObjectId) -> None:
        super().__init__(f"There is no model {model_id}.")
        self.model_id = model_id


class RebalanceNotFound(NotFound):
    """No rebalance has this id."""

    def __init__(self, rebalance_id: ObjectId) -> None:
        super().__init__(f"There is no rebalance {rebalance_id}.")
        self.rebalance_id = rebalance_id


class VersionConflict(PersistenceError):
    """The document has moved on from the version the caller saw; `current` is its version now."""

    def __init__(self, current: int) -> None:
        super().__init__(f"The current version is {current}.")
        self.current = current


class DuplicateName(PersistenceError):
    """Another model has the name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is already a model named {name!r}.")
        self.name = name


class IndexConflict(PersistenceError):
    """Somebody else gave the collection an index that contradicts one of ours; a person has to choose."""

    def __init__(self, collection: str) -> None:
        super().__init__(f"Collection {collection} has an index that contradicts one this service needs.")
        self.collection = collection


class StorageLost(PersistenceError):
    """A rebalance took so long to store that it was given up, or its id is in use; nothing of it is kept."""

    def __init__(self, rebalance_id: ObjectId) -> None:
        super().__init__(f"Rebalance {rebalance_id} was given up before it was stored.")
        self.rebalance_id = rebalance_id


class OrdersSent(PersistenceError):
    """Orders of the rebalance were planned or sent, or are being planned now, so it cannot be deleted."""

    def __init__(self, rebalance_id: ObjectId) -> None:
        super().__init__(f"Orders of rebalance {rebalance_id} were planned or sent.")
        self.rebalance_id = rebalance_id


class DuplicateTimestamp(PersistenceError):
    """Another post of orders has this timestamp."""


class IdempotencyConflict(PersistenceError):
    """An idempotency key cannot be used for this request."""


class KeyInProgress(IdempotencyConflict):
    """Another request holds the key, until `lease_until` at the longest."""

    def __init__(self, lease_until: datetime) -> None:
        super().__init__("A request with this idempotency key is still running.")
        self.lease_until = lease_until


class KeyReused(IdempotencyConflict):
    """The key was first used on another target."""

    def __init__(self, target: str) -> None:
        super().__init__(f"This idempotency key belongs to {target}.")
        self.target = target
