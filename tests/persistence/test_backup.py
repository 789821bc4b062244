"""A backup that is restored after the database was destroyed has every document, byte for byte."""

import gzip
import io
import uuid
from collections.abc import Iterator
from pathlib import Path

import bson
import pytest
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS
from pymongo import MongoClient

from persistence import BackupFailed, back_up, restore_backup
from persistence.codec import Document
from persistence.indexes import INDEXES
from tests.harness import earlier_release
from tests.harness.databases import open_patiently
from tests.persistence.examples import change, model, models_of, portfolios_of


@pytest.fixture
def filled(server_url: str) -> Iterator[str]:
    """A database with every kind of document, crashed ones included."""
    name = f"test_{uuid.uuid4().hex}"
    earlier_release.load(server_url, name)
    yield name
    with MongoClient[Document](server_url) as client:
        client.drop_database(name)


def _contents(url: str, name: str) -> dict[str, list[bytes]]:
    """Return the documents of each collection that has any."""
    with MongoClient[Document](url) as client:
        database = client.get_database(name, DEFAULT_RAW_BSON_OPTIONS)
        found = {each: [bson.encode(one) for one in database[each].find(sort=[("_id", 1)])] for each in INDEXES}
    return {each: documents for each, documents in found.items() if documents}


def _backup(url: str, name: str) -> io.BytesIO:
    file = io.BytesIO()
    back_up(url, name, file)
    return file


async def test_what_was_backed_up_destroyed_and_restored_is_the_same(server_url: str, filled: str) -> None:
    """The service reads it, changes it and sweeps it as before."""
    file = io.BytesIO()
    before = _contents(server_url, filled)
    counts = back_up(server_url, filled, file)
    assert {name: count for name, count in counts.items() if count and name in before} == {
        name: len(documents) for name, documents in before.items()
    }
    with MongoClient[Document](server_url) as client:
        client.drop_database(filled)
    assert restore_backup(server_url, filled, file) == counts
    assert _contents(server_url, filled) == before
    async with open_patiently(server_url, filled) as database:
        recorded = earlier_release.responses()
        assert len(await models_of(database)) == len(recorded["models"])
        headers = await database.rebalances.page(limit=100)
        assert [str(each.id) for each in headers] == [each["rebalanceId"] for each in recorded["rebalances"]]
        for header in headers:
            assert len(await portfolios_of(database, header)) == header.number_of_portfolios
        await database.models.insert(model("After the restore"), change())
        await database.sweep()


def test_a_database_with_documents_is_not_overwritten(server_url: str, filled: str) -> None:
    """The message says where documents are, and what to do."""
    file = _backup(server_url, filled)
    before = _contents(server_url, filled)
    with pytest.raises(BackupFailed, match="already has documents in models, model_history, rebalances"):
        restore_backup(server_url, filled, file)
    assert _contents(server_url, filled) == before


@pytest.mark.parametrize("damage", ["truncated", "a document missing", "a bit flipped", "another file", "empty"])
def test_a_damaged_file_changes_nothing(server_url: str, filled: str, damage: str) -> None:
    """It is read to its end before anything is written."""
    whole = _backup(server_url, filled).getvalue()
    records = list(bson.decode_iter(gzip.decompress(whole), DEFAULT_RAW_BSON_OPTIONS))
    files = {
        "truncated": whole[: len(whole) // 2],
        "a document missing": gzip.compress(b"".join(each.raw for each in [*records[:5], *records[6:]])),
        "a bit flipped": whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:],
        "another file": Path(__file__).read_bytes(),
        "empty": b"",
    }
    with pytest.raises(BackupFailed, match="file"):
        restore_backup(server_url, f"{filled}_restored", io.BytesIO(files[damage]))
    assert _contents(server_url, f"{filled}_restored") == {}


def test_a_backup_of_a_later_format_is_refused(server_url: str, filled: str) -> None:
    """The message names the version that is accepted."""
    later = gzip.compress(bson.encode({"format": "order-generation backup", "version": 2}))
    with pytest.raises(BackupFailed, match="version 1 is accepted"):
        restore_backup(server_url, f"{filled}_restored", io.BytesIO(later))


def test_a_database_that_is_unreachable_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a traceback, and without credentials."""
    monkeypatch.setattr("persistence.backup._SELECTION_MILLISECONDS", 200)
    with pytest.raises(BackupFailed, match="the database failed") as raised:
        back_up("mongodb://clerk:hunter2@127.0.0.1:1", "test", io.BytesIO())
    assert "hunter2" not in str(raised.value)
