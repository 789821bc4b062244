"""Runs the server of `benchmarks.floor`, which repeats recorded rebalances of the service."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from app.commands.stack import Stack
from benchmarks.models import RESPONSE_SECONDS, rebalance_url
from benchmarks.stack import DATABASE_NAME
from persistence.embedded import free_port
from persistence.indexes import REBALANCES

OPTIONS = ("--interface", "asgi", "--factory", "--workers", "1", "--loop", "uvloop", "--no-ws", "--no-log")
START_SECONDS = 20


@contextmanager
def running_floor(stack: Stack, model_id: str, rebalances: int = 1) -> Iterator[str]:
    """Record rebalances of the model, and run the floor server that repeats them; yields its URL."""
    responses = [
        httpx.post(rebalance_url(stack, model_id), timeout=RESPONSE_SECONDS).raise_for_status()
        for _ in range(rebalances)
    ]
    rebalance_ids = [response.json()[0]["rebalanceId"] for response in responses]
    rebalance_id = ObjectId(rebalance_ids[-1])
    stored = httpx.get(f"{stack.service_url}/api/v1/rebalance/{rebalance_id}", timeout=RESPONSE_SECONDS)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with MongoClient[RawBSONDocument](stack.mongodb_url, document_class=RawBSONDocument) as client:
            documents = client[DATABASE_NAME][REBALANCES].find({"_id.rebalanceId": rebalance_id})
            (directory / "documents.bson").write_bytes(b"".join(each.raw for each in documents))
        (directory / "response.json").write_bytes(responses[-1].content)
        (directory / "rebalances.txt").write_text("\n".join(rebalance_ids))
        (directory / "stored.json").write_bytes(stored.raise_for_status().content)
        port = free_port()
        server = subprocess.Popen(
            [sys.executable, "-m", "granian", *OPTIONS, "--port", str(port), "benchmarks.floor:create_app"],
            env={
                **os.environ,
                "FLOOR_RECORDING": str(directory),
                "MONGODB_URL": stack.mongodb_url,
                "PORTFOLIO_ACCOUNTING_SERVICE_URL": stack.simulator.portfolio_accounting,
            },
        )
        try:
            _await_listening(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def _await_listening(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the floor did not start")
