"""TLS and authentication towards MongoDB, both asked for by nothing but the URL."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from msgspec import Struct
from pymongo import MongoClient
from pymongo.errors import ServerSelectionTimeoutError

from app.commands.stack import StackFailed, running_service_process
from persistence.embedded import find_mongod, free_port
from tests.harness.api import PATIENCE_SECONDS

PASSWORD = "p@ss/word"
ESCAPED = "p%40ss%2Fword"


class SecureMongod(Struct, frozen=True):
    """A mongod that takes only TLS connections and known users."""

    port: int
    authority: Path

    def url(self, password: str, *, trusted: bool = True) -> str:
        trust = f"&tlsCAFile={self.authority}" if trusted else ""
        return f"mongodb://service:{password}@127.0.0.1:{self.port}/?authSource=admin&tls=true{trust}"


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureMongod]:
    directory = tmp_path_factory.mktemp("mongod")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "authority.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    (directory / "data").mkdir()
    server = SecureMongod(free_port(), directory / "authority.pem")
    command: list[str | Path] = [
        find_mongod(os.environ),
        *("--dbpath", directory / "data", "--port", str(server.port), "--bind_ip", "127.0.0.1", "--nounixsocket"),
        *("--auth", "--tlsMode", "requireTLS", "--tlsCertificateKeyFile", directory / "server.pem"),
        *("--tlsCAFile", server.authority, "--tlsAllowConnectionsWithoutCertificates"),
        *("--wiredTigerCacheSizeGB", "0.25", "--logpath", directory / "log"),
    ]
    process = subprocess.Popen(command)
    try:
        _create_user(server, process)
        yield server
    finally:
        process.terminate()
        process.wait()


def _create_user(server: SecureMongod, process: subprocess.Popen[bytes]) -> None:
    """Use the one connection from this machine that a server without users allows."""
    url = f"mongodb://127.0.0.1:{server.port}/?tls=true&tlsCAFile={server.authority}&serverSelectionTimeoutMS=500"
    until = time.monotonic() + 30
    with MongoClient[dict[str, object]](url) as client:
        while True:
            try:
                client.admin.command("createUser", "service", pwd=PASSWORD, roles=["readWriteAnyDatabase"])
            except ServerSelectionTimeoutError:
                assert process.poll() is None
                assert time.monotonic() < until
            else:
                return


def test_it_serves_over_tls_as_an_authenticated_user(mongod: SecureMongod, tmp_path: Path) -> None:
    """The URL alone configures TLS and login, and no log line has the password."""
    with running_service_process({"MONGODB_URL": mongod.url(ESCAPED)}, tmp_path / "log") as (url, _):
        model = {"name": "Secured", "positions": [], "portfolios": []}
        created = httpx.post(f"{url}/api/v1/models", json=model, timeout=PATIENCE_SECONDS)
        assert created.status_code == 201
        assert httpx.get(f"{url}/api/v1/models", timeout=PATIENCE_SECONDS).json() == [created.json()]
    assert PASSWORD not in (tmp_path / "log").read_text()
    assert ESCAPED not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(("password", "trusted"), [("wrong", True), (ESCAPED, False)], ids=["password", "authority"])
def test_a_wrong_password_or_an_unknown_authority_leaves_it_unready(
    mongod: SecureMongod, tmp_path: Path, password: str, *, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not become ready, and no log line has the password."""
    monkeypatch.setattr("app.commands.stack.READY_SECONDS", 3)
    environment = {"MONGODB_URL": mongod.url(password, trusted=trusted)}
    with pytest.raises(StackFailed), running_service_process(environment, tmp_path / "log"):
        pass
    assert password not in (tmp_path / "log").read_text()
