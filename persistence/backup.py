"""Backup and restore of the service's database as one compressed file.

On a replica set a backup is a snapshot: all collections as they were at one moment, while the service keeps writing. On
a standalone server collections are read in an order in which a change during the backup loses nothing: an audit entry
is in its model or, later, in the history, and the header of a rebalance is read before its portfolios, which were all
stored before it.

The file holds BSON documents: a header, then each document wrapped with the name of its collection, then the counts,
without which the file is incomplete. Documents are copied byte for byte.
"""

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any, Final, cast

import bson
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from pymongo import MongoClient, WriteConcern
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from persistence.errors import PersistenceError
from persistence.indexes import (
    IDEMPOTENCY_KEYS,
    INDEXES,
    MODEL_HISTORY,
    MODELS,
    ORDER_PLANS,
    REBALANCES,
    SWEEPS,
)

_FORMAT: Final = "order-generation backup"
_VERSION: Final = 1
# The order of a backup from a standalone server; the `_id` of a header sorts after those of portfolios.
_COLLECTIONS: Final[Mapping[str, int]] = {
    MODELS: 1,
    MODEL_HISTORY: 1,
    ORDER_PLANS: 1,
    REBALANCES: -1,
    IDEMPOTENCY_KEYS: 1,
    SWEEPS: 1,
}
_BATCH_DOCUMENTS: Final = 500
_BATCH_BYTES: Final = 8_000_000
_SELECTION_MILLISECONDS: Final = 10_000

type Counts = Mapping[str, int]
"""Documents for each collection."""


class BackupFailed(PersistenceError):
    """A backup could not be written or restored; the message says why and what is accepted."""


def back_up(url: str, database_name: str, target: IO[bytes]) -> Counts:
    """Write a backup of a database.

    Returns:
        How many documents of each collection it holds.

    Raises:
        BackupFailed: the database or the file failed.
    """
    counts: Counter[str] = Counter(dict.fromkeys(_COLLECTIONS, 0))
    with _failures(), _client(url) as client, gzip.GzipFile(fileobj=target, mode="wb") as file:
        snapshot = "setName" in client.admin.command("hello")
        header = {"format": _FORMAT, "version": _VERSION, "takenAt": datetime.now(UTC), "snapshot": snapshot}
        file.write(bson.encode(header))
        database = client.get_database(
            database_name,
            codec_options=DEFAULT_RAW_BSON_OPTIONS,
            read_concern=None if snapshot else ReadConcern("majority"),
        )
        with client.start_session(snapshot=snapshot) as session:
            for name, direction in _COLLECTIONS.items():
                for document in database[name].find(session=session, sort=[("_id", direction)]):
                    file.write(bson.encode({"in": name, "document": document}))
                    counts[name] += 1
        file.write(bson.encode({"counts": dict(counts)}))
    return counts


def restore_backup(url: str, database_name: str, source: IO[bytes]) -> Counts:
    """Restore a backup into a database that has no documents of the service.

    The file is read completely before anything is written, so a damaged or incomplete file changes nothing.

    Returns:
        How many documents of each collection were restored.

    Raises:
        BackupFailed: the file is not a complete backup, the database is not empty, or either of them failed.
    """
    with _failures(), _client(url) as client:
        counts = _verified(source)
        database = client.get_database(
            database_name, codec_options=DEFAULT_RAW_BSON_OPTIONS, write_concern=WriteConcern(w="majority", j=True)
        )
        occupied = [name for name in _COLLECTIONS if database[name].find_one({}, {"_id": True}) is not None]
        if occupied:
            raise BackupFailed(
                f"database {database_name} already has documents in {', '.join(occupied)}; restore into a database "
                "without them, or drop these collections first"
            )
        for name, indexes in INDEXES.items():
            database[name].create_indexes(list(indexes))
        for name, batch in _batches(source):
            database[name].insert_many(batch, ordered=False)
        stored = {name: database[name].count_documents({}) for name in counts}
        if stored != dict(counts):
            raise BackupFailed(f"restored {stored} of {dict(counts)} documents")
    return counts


def _verified(source: IO[bytes]) -> Counts:
    """Read the whole file and return its counts."""
    found: Counter[str] = Counter(dict.fromkeys(_COLLECTIONS, 0))
    counts: Counts | None = None
    # To the end of the file, where its checksum is.
    for record in _records(source):
        if "counts" in record:
            counts = dict(record["counts"])
        else:
            found[record["in"]] += 1
    if counts != dict(found):
        raise BackupFailed("the file is incomplete: its counts are missing or differ from its documents")
    return counts


def _batches(source: IO[bytes]) -> Iterator[tuple[str, list[RawBSONDocument]]]:
    batch: list[RawBSONDocument] = []
    name, size = "", 0
    for record in _records(source):
        collection = record.get("in", "")
        if batch and (collection != name or len(batch) == _BATCH_DOCUMENTS or size >= _BATCH_BYTES):
            yield name, batch
            batch, size = [], 0
        if not collection:
            return
        name = collection
        batch.append(record["document"])
        size += len(record["document"].raw)


def _records(source: IO[bytes]) -> Iterator[RawBSONDocument | dict[str, Any]]:
    """Yield the records of a backup after its header, from the beginning of the file."""
    source.seek(0)
    with gzip.GzipFile(fileobj=source) as file:
        records = bson.decode_file_iter(cast("IO[bytes]", file), DEFAULT_RAW_BSON_OPTIONS)
        header = next(records, None)
        if header is None or header.get("format") != _FORMAT:
            raise BackupFailed("the file is not a backup of this service")
        if header["version"] != _VERSION:
            raise BackupFailed(f"the backup has format version {header['version']}; version {_VERSION} is accepted")
        yield from records


def _client(url: str) -> MongoClient[Any]:
    return MongoClient(url, appname="order-generation-backup", serverSelectionTimeoutMS=_SELECTION_MILLISECONDS)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, bson.errors.InvalidBSON, KeyError) as error:
        raise BackupFailed(f"the file is not a complete backup: {error}") from error
    except PyMongoError as error:
        raise BackupFailed(f"the database failed: {str(error)[:300]}") from error
