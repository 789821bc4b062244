"""The data and responses of the release of 2026-11-23, with every date moved 480 days back.

`database.jsonl` holds each document as canonical Extended JSON, after a line that names its collection and indexes.
`responses.json` holds what that release returned over HTTP for these documents: models, histories, rebalances, proofs
and the response stored under an idempotency key, and under `crashed` the ids of documents that crashes left behind.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from bson import json_util
from pymongo import MongoClient

from persistence.codec import Document

_DIRECTORY: Final = Path(__file__).with_name("release_2026_11_23")
_TYPES: Final = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=True, tzinfo=UTC)


def responses() -> Any:
    """Return the recorded responses, numbers as int or Decimal."""
    return json.loads((_DIRECTORY / "responses.json").read_text(), parse_float=Decimal)


def load(url: str, database_name: str) -> None:
    """Restore the documents and indexes into an empty database; idempotency keys count as used just now."""
    with MongoClient[Document](url) as client:
        database = client[database_name]
        collection = database["models"]
        for line in (_DIRECTORY / "database.jsonl").read_text().splitlines():
            document = json_util.loads(line, json_options=_TYPES)
            if "collection" in document:
                collection = database[document["collection"]]
                for index in document["indexes"]:
                    options = {name: value for name, value in index.items() if name not in {"v", "key"}}
                    collection.create_index(list(index["key"].items()), **options)
                continue
            if collection.name == "idempotency_keys":
                document["createdAt"] = datetime.now(UTC)
            collection.insert_one(document)
