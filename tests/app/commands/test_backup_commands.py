"""`order-generation backup` and `restore` save a service whose database was destroyed."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from tests.app.conftest import Environment, running_service
from tests.app.test_upgrade import assert_contains
from tests.harness.bodies import created, path
from tests.harness.upstreams import Upstreams

COMMAND = Path(sys.executable).with_name("order-generation")


@pytest.fixture
def database_name(mongodb_url: str) -> Iterator[str]:
    """A database of this test alone."""
    name = f"test_{uuid.uuid4().hex}"
    yield name
    with MongoClient[dict[str, object]](mongodb_url) as client:
        client.drop_database(name)


def _run(environment: Environment, *arguments: str, input_bytes: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [COMMAND, *arguments],
        env={**os.environ, **environment},
        input=input_bytes,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.timeout(600)
def test_a_service_is_as_before_after_backup_destruction_and_restore(
    environment: Environment, mongodb_url: str, database_name: str, upstreams: Upstreams, tmp_path: Path
) -> None:
    """Backed up while it runs, through a file and through pipes; models, rebalances and history read the same."""
    settings = {**environment, "DATABASE_NAME": database_name}
    file = tmp_path / "backup.bson.gz"
    with running_service(settings, tmp_path / "log") as api:
        model = created(api, portfolios=[upstreams.portfolio("100000.00") for _ in range(3)])
        rebalance_id = api.post(f"{path(model)}/rebalance").expect(200).body[0]["rebalanceId"]
        routes = ["/models", f"{path(model)}/history", "/rebalances", f"/rebalance/{rebalance_id}"]
        before = [api.get(route).expect(200).body for route in routes]
        backed_up = _run(settings, "backup", str(file))
        piped = _run(settings, "backup", "-")
    assert backed_up.returncode == piped.returncode == 0, backed_up.stderr + piped.stderr
    assert b"1 models" in backed_up.stderr
    assert [each.name for each in tmp_path.iterdir() if "backup" in each.name] == [file.name]
    for arguments, content in ((str(file), b""), ("-", piped.stdout)):
        with MongoClient[dict[str, object]](mongodb_url) as client:
            client.drop_database(database_name)
        restored = _run(settings, "restore", arguments, input_bytes=content)
        assert restored.returncode == 0, restored.stderr
        with running_service(settings, tmp_path / "log") as api:
            for route, expected in zip(routes, before, strict=True):
                assert_contains(api.get(route).expect(200).body, expected)
            api.post(f"{path(model)}/rebalance").expect(200)


def test_a_restore_that_fails_says_why_in_one_line(environment: Environment, tmp_path: Path) -> None:
    """No traceback, and an exit code that is not 0."""
    file = tmp_path / "nonsense"
    file.write_bytes(b"nonsense")
    failed = _run({**environment, "DATABASE_NAME": "never_written"}, "restore", str(file))
    assert failed.returncode == 1
    assert failed.stderr.startswith(b"Error: the file is not a complete backup")
    assert failed.stderr.count(b"\n") == 1
