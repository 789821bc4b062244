"""What the persistence package raises; what PyMongo raises of an outage becomes `DatabaseUnavailable` here.

PersistenceError
├── DatabaseUnavailable
├── NotFound
│   ├── ModelNotFound
│   └── RebalanceNotFound
├── VersionConflict
├── DuplicateName
├── IndexConflict
├── StorageLost
└── IdempotencyConflict
    ├── KeyInProgress
    └── KeyReused
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from bson import ObjectId
from pymongo.errors import BulkWriteError, ConnectionFailure, OperationFailure, PyMongoError

_DUPLICATE_KEY: Final = 11000
# What a server that is shutting down, changing its primary, unsure of its writes or refusing the login answers.
_UNAVAILABLE_CODES: Final = frozenset(
    {
        *(6, 7, 89, 9001),  # the server's own network trouble
        *(11600, 11602, 91, 189, 10107, 13435, 13436),  # shutting down or not the primary
        *(50, 64, 262, 202),  # out of time
        *(13, 18, 8000),  # the login is missing or refused
        14031,  # the disk is full
        *(117, 12587, 276),  # another process is building or dropping the same indexes
        20,  # PyMongo tried a write again whose connection could not be made, as only a replica set lets it
    }
)


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


@contextmanager
def unavailability() -> Iterator[None]:
    """Turns every PyMongo error that means an unreachable or unfit database into `DatabaseUnavailable`."""
    try:
        yield
    except BulkWriteError as error:
        details = error.details or {}
        codes = {fault["code"] for fault in (*details["writeErrors"], *details["writeConcernErrors"])}
        if error.timeout or codes & _UNAVAILABLE_CODES:
            raise DatabaseUnavailable("The database is not available.") from None
        # PyMongo's message would repeat every document.
        raise PersistenceError(f"{len(details['writeErrors'])} writes failed with {sorted(codes)}.") from None
    except PyMongoError as error:
        if _is_unavailability(error):
            raise DatabaseUnavailable("The database is not available.") from error
        raise


def duplicates(error: BulkWriteError) -> set[int]:
    """Which documents of an insert were there already, by index; an error that has other causes is raised again."""
    details = error.details or {}
    faults = details.get("writeErrors", [])
    if details.get("writeConcernErrors") or any(fault["code"] != _DUPLICATE_KEY for fault in faults):
        raise error
    return {fault["index"] for fault in faults}


def _is_unavailability(error: PyMongoError) -> bool:
    if isinstance(error, ConnectionFailure) or error.timeout:
        return True
    return isinstance(error, OperationFailure) and (
        error.code in _UNAVAILABLE_CODES or error.has_error_label("RetryableWriteError")
    )
