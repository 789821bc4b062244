"""Runs the server of `benchmarks.floor`, which repeats recorded rebalances of the service."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import httpx
import msgspec
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from app.commands.stack import Stack
from app.http.dialect import Dialect
from app.solver_task.assignment import Assignment, Terms
from benchmarks.models import RESPONSE_SECONDS, rebalance_url
from benchmarks.stack import DATABASE_NAME
from persistence import open_database
from persistence.embedded import free_port
from persistence.indexes import REBALANCES
from solver import Security

OPTIONS = ("--interface", "asgi", "--factory", "--workers", "1", "--loop", "uvloop", "--no-ws", "--no-log")
START_SECONDS = 20
ZERO = Decimal(0)


@contextmanager
def running_floor(stack: Stack, model_id: str, rebalances: int = 1, additions: Sequence[str] = ()) -> Iterator[str]:
    """Record rebalances of the model, and run the floor server that repeats the last one; yields its URL.

    Args:
        stack: where to record.
        model_id: of the model.
        rebalances: to record; the floor's list has all of them.
        additions: what a rebalance of the floor does in addition: `model` for the calls to the database that concern
            the model, `solvers` for the calculation in solver processes.
    """
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
            found = client[DATABASE_NAME][REBALANCES].find({"_id.rebalanceId": rebalance_id})
            documents = [bytes(each.raw) for each in found]
        (directory / "documents.bson").write_bytes(b"".join(documents))
        assignments = asyncio.run(_assignments(stack, rebalance_id))
        (directory / "assignments.msgpack").write_bytes(msgspec.msgpack.encode(assignments))
        (directory / "response.json").write_bytes(responses[-1].content)
        (directory / "rebalances.txt").write_text("\n".join(rebalance_ids))
        (directory / "stored.json").write_bytes(stored.raise_for_status().content)
        (directory / "model.txt").write_text(model_id)
        port = free_port()
        server = subprocess.Popen(
            [sys.executable, "-m", "granian", *OPTIONS, "--port", str(port), "benchmarks.floor:create_app"],
            env={
                **os.environ,
                "FLOOR_RECORDING": str(directory),
                "FLOOR_ADDITIONS": ",".join(additions),
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


async def _assignments(stack: Stack, rebalance_id: ObjectId) -> list[Assignment]:
    """Return what the solver processes were sent for each portfolio of a stored rebalance."""
    async with open_database(stack.mongodb_url, DATABASE_NAME) as database:
        header = await database.rebalances.get(rebalance_id)
        rebalanced = [portfolio async for portfolio in database.rebalances.portfolios(header)]
    first = rebalanced[0]
    securities = tuple(
        Security(
            each.security_id,
            each.price or ZERO,
            ZERO,
            each.target,
            low_drift=each.low_drift,
            high_drift=each.high_drift,
        )
        for each in first.positions
    )
    tickers = tuple(each.ticker for each in first.positions)
    terms = msgspec.msgpack.encode(
        Terms(str(first.rebalance_id), first.trade_date, Dialect.STANDARD, securities, tickers)
    )
    return [
        Assignment(
            terms=terms,
            index=each.place,
            portfolio_id=each.portfolio_id,
            portfolio_name=each.portfolio_name,
            cash=each.cash_before or ZERO,
            quantities=tuple(position.original_quantity for position in each.positions),
            others=(),
        )
        for each in rebalanced
    ]


def _await_listening(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the floor did not start")
