"""The bundled mongod: it starts anywhere, keeps what it should, and leaves nothing behind however its user ends."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pymongo import MongoClient

from persistence import embedded
from persistence.embedded import EmbeddedMongod, MongodUnavailable, free_port

_USER = """
import sys, time
from pathlib import Path
from persistence.embedded import EmbeddedMongod
with EmbeddedMongod.start() as mongod:
    print(mongod.url, mongod.process, flush=True)
    time.sleep(60)
"""


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _directory(url: str) -> Path:
    with MongoClient[dict[str, object]](url) as client:
        return Path(client.admin.command("getCmdLineOpts")["parsed"]["storage"]["dbPath"])


def test_a_temporary_mongod_leaves_neither_process_nor_files() -> None:
    """Server, keeper and directory are gone after the block."""
    with EmbeddedMongod.start() as mongod:
        directory = _directory(mongod.url)
        [server] = psutil.Process(mongod.process).children()
        assert directory.exists()
    assert not server.is_running()
    assert not psutil.pid_exists(mongod.process)
    assert not directory.exists()


def test_data_are_kept_in_a_directory_by_major_version_although_the_port_changes(tmp_path: Path) -> None:
    """A second start finds the documents of the first."""
    urls, versions = set(), set()
    for start in range(2):
        with EmbeddedMongod.start(tmp_path) as mongod:
            urls.add(mongod.url)
            versions.add(mongod.version.rpartition(".")[0])
            with MongoClient[dict[str, int]](mongod.url) as client:
                client["test"]["starts"].insert_one({"_id": start})
                assert client["test"]["starts"].count_documents({}) == start + 1
    assert len(urls) == 2
    assert [folder.name for folder in tmp_path.iterdir()] == [f"mongod-{version}" for version in versions]


def test_two_run_side_by_side_but_not_on_one_directory(tmp_path: Path) -> None:
    """The second start on a directory fails, and leaves the first one running."""
    with EmbeddedMongod.start(tmp_path, replica_set=False) as one:
        with EmbeddedMongod.start(replica_set=False) as other:
            assert one.url != other.url
        with pytest.raises(MongodUnavailable, match="Another mongod is using"), EmbeddedMongod.start(tmp_path):
            pass
        with MongoClient[dict[str, object]](one.url) as client:
            client.admin.command("ping")


def test_a_port_lost_to_another_program_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if that program is a mongod, which would respond in place of ours."""
    with EmbeddedMongod.start(replica_set=False) as other, socket.create_server(("127.0.0.1", 0)) as silent:
        taken = [int(other.url.split(":")[2].split("/")[0]), silent.getsockname()[1]]
        free = free_port()
        monkeypatch.setattr("persistence.embedded.mongod.free_port", iter([*taken, free]).__next__)
        with EmbeddedMongod.start(replica_set=False) as ours:
            assert f":{free}/" in ours.url


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_nothing_is_left_when_its_user_is_killed(number: signal.Signals) -> None:
    """An interrupt goes to the whole process group, as from a terminal."""
    user = subprocess.Popen(
        [sys.executable, "-c", _USER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    with user:
        assert user.stdout
        url, keeper = user.stdout.readline().split()
        [server] = psutil.Process(int(keeper)).children()
        directory = _directory(url.decode())
        if number == signal.SIGINT:
            os.killpg(user.pid, number)
        else:
            user.send_signal(number)
    _await(lambda: not server.is_running() and not directory.exists() and not psutil.pid_exists(int(keeper)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_a_killed_keeper_takes_mongod_with_it() -> None:
    """The kernel ends mongod, and its directory is removed."""
    with EmbeddedMongod.start(replica_set=False) as mongod:
        keeper = psutil.Process(mongod.process)
        [server] = keeper.children()
        directory = _directory(mongod.url)
        keeper.kill()
        _await(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    assert not directory.exists()


def test_a_named_mongod_goes_before_one_on_the_path_and_that_before_the_bundled_one(tmp_path: Path) -> None:
    """EMBEDDED_MONGOD, PATH and the package are searched in this order."""
    bundled = embedded.find_mongod({"PATH": ""})
    on_path = tmp_path / "mongod"
    on_path.symlink_to(bundled)
    assert embedded.find_mongod({"PATH": str(tmp_path)}) == on_path
    named = {"PATH": str(tmp_path), "EMBEDDED_MONGOD": "/opt/mongod"}
    assert embedded.find_mongod(named) == Path("/opt/mongod")


def test_without_any_mongod_the_error_says_what_to_install_or_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names each way out."""
    monkeypatch.delenv("EMBEDDED_MONGOD", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MongodUnavailable) as missing, EmbeddedMongod.start():
        pass
    for way_out in ("extra `embedded`", "PATH", "EMBEDDED_MONGOD", "MONGODB_URL"):
        assert way_out in str(missing.value)


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (None, 0o755, "No such file"),
        ("#!/bin/sh\necho 'libcrypto.so.3: cannot open' >&2; exit 127", 0o755, "libcrypto.so.3"),
        ("not a program", 0o755, "Exec format"),
        ("#!/bin/sh\n", 0o644, "Permission"),
    ],
    ids=["missing", "library missing", "wrong machine", "not executable"],
)
def test_a_mongod_that_does_not_run_here_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, mode: int, told: str
) -> None:
    """A missing, unusable or foreign program is named with its own message."""
    binary = tmp_path / "mongod"
    if content is not None:
        binary.write_text(content)
        binary.chmod(mode)
    monkeypatch.setenv("EMBEDDED_MONGOD", str(binary))
    with pytest.raises(MongodUnavailable, match=told) as failed, EmbeddedMongod.start():
        pass
    assert str(binary) in str(failed.value)


def test_a_mongod_that_ends_at_its_start_is_quoted(tmp_path: Path) -> None:
    """Here its data directory holds what is no database."""
    with EmbeddedMongod.start(tmp_path, replica_set=False):
        pass
    [directory] = tmp_path.iterdir()
    (directory / "WiredTiger.turtle").write_text("nonsense")
    with pytest.raises(MongodUnavailable, match="WiredTiger"), EmbeddedMongod.start(tmp_path, replica_set=False):
        pass
    assert directory.exists()
    shutil.rmtree(directory)
