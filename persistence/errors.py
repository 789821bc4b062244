"""What the persistence package raises.

PersistenceError
├── DatabaseUnavailable
│   └── DatabaseUnusable
│       ├── IndexConflict
│       └── DuplicatesFound
├── DocumentUnreadable
├── NotFound
│   ├── ModelNotFound
│   └── RebalanceNotFound
├── VersionConflict
├── DuplicateName
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
    """The database could not do what was requested."""


class DatabaseUnavailable(PersistenceError):
    """The database failed, whatever the kind of failure. A write may have been made unless stated otherwise.

    Attributes:
        reason: what failed, in words that callers may see: no address, no credentials; such as `connection refused`.
        cause: what failed, for the log: with the hosts, without credentials.
    """

    def __init__(self, reason: str, cause: str | None = None) -> None:
        super().__init__(f"The database is unavailable: {reason}.")
        self.reason = reason
        self.cause = cause or reason


class DatabaseUnusable(DatabaseUnavailable):
    """The database responds but cannot be used until a person changes something, which `reason` names."""


class IndexConflict(DatabaseUnusable):
    """A collection has an index with the name or key of one of ours, but with other options."""

    def __init__(self, collection: str) -> None:
        super().__init__(
            f"collection {collection} has an index that contradicts one this service needs; drop that index",
        )
        self.collection = collection


class DuplicatesFound(DatabaseUnusable):
    """A collection has documents that a unique index does not allow, so that the index cannot be created."""

    def __init__(self, collection: str, duplicate: str) -> None:
        super().__init__(
            f"collection {collection} has more than one document with {duplicate}, which must be unique; "
            "rename or remove all but one",
        )
        self.collection = collection


class DocumentUnreadable(PersistenceError):
    """A stored document is not in this service's format.

    Attributes:
        kind: what it should be, such as `model`.
        document_id: the id under which it was requested.
    """

    def __init__(self, kind: str, document_id: str) -> None:
        super().__init__(f"The stored {kind} {document_id} is not in this service's format.")
        self.kind = kind
        self.document_id = document_id


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


class StorageLost(PersistenceError):
    """Storing a rebalance took too long and was abandoned, or its id is in use; nothing of it is kept."""

    def __init__(self, rebalance_id: ObjectId) -> None:
        super().__init__(f"Rebalance {rebalance_id} was abandoned before it was stored.")
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
