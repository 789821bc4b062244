"""What others do to the service during a campaign: to its database, and at its port.

Foreign documents and what a jumped clock leaves behind are inserted and removed again; operations of the service are
killed in the database server; clients connect and then send nothing, send slowly, or read nothing.
"""

import contextlib
import socket
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlsplit

from bson import Decimal128, ObjectId
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.harness.stack import DATABASE_NAME

type Document = dict[str, Any]
type StoredDocument = tuple[str, Document]
"""A document after the name of its collection."""

AHEAD = timedelta(days=400)
PATIENCE_MILLISECONDS = 2_000
CLIENTS = 200
LOOKS = 50


def strange_documents(portfolio_ids: Sequence[str], chance: Random) -> list[StoredDocument]:
    """Return documents that the service did not write, or wrote when its clock was ahead, with their collections."""
    ahead = datetime.now(UTC) + AHEAD
    name = f"Foreign {chance.getrandbits(64):016x}"
    portfolios = list(portfolio_ids)
    good = {"name": name, "positions": [], "portfolios": portfolios, "lastRebalanceDate": None, "version": 1}
    return [
        ("models", good | {"_id": ObjectId(), "version": "1"}),
        ("models", good | {"_id": ObjectId(), "name": f"{name} 2", "positions": [{"security_id": "x", "target": 0.5}]}),
        ("models", {"_id": ObjectId(), "name": f"{name} 3", "portfolios": portfolios}),
        ("models", good | {"_id": ObjectId(), "name": f"{name} 4", "portfolios": [], "lastRebalanceDate": ahead}),
        ("rebalances", {"_id": ObjectId(), "model_id": ObjectId(), "rebalance_date": datetime.now(UTC)}),
        ("rebalances", {"_id": ObjectId(), "visible": True, "version": 1.5, "portfolioIds": portfolios}),
        ("model_history", {"_id": ObjectId(), "modelId": ObjectId(), "action": "INVENTED", "at": ahead}),
        ("idempotency_keys", {"_id": name, "target": 7, "leaseUntil": ahead, "createdAt": datetime.now(UTC)}),
        ("order_plans", {"_id": name, "portfolioId": 7, "due": ahead, "open": True, "cash": Decimal128("NaN")}),
    ]


def insert(mongodb_url: str, documents: Sequence[StoredDocument]) -> int:
    """Insert documents as far as the database can be reached; return how many."""
    stored = 0
    with MongoClient[Document](mongodb_url, timeoutMS=PATIENCE_MILLISECONDS) as client:
        for collection, document in documents:
            with contextlib.suppress(PyMongoError):
                client[DATABASE_NAME][collection].insert_one(document)
                stored += 1
    return stored


def remove(mongodb_url: str, documents: Sequence[StoredDocument]) -> None:
    """Remove documents again, whether or not they were inserted."""
    with MongoClient[Document](mongodb_url) as client:
        for collection, document in documents:
            client[DATABASE_NAME][collection].delete_one({"_id": document["_id"]})


def kill_operations(mongodb_url: str) -> int:
    """Kill what the database server does for the service during some moments; return how many operations that were.

    An operation takes a millisecond or two, so that one look would find hardly any.
    """
    killed = 0
    client: MongoClient[Document] = MongoClient(mongodb_url, timeoutMS=PATIENCE_MILLISECONDS)
    with client, contextlib.suppress(PyMongoError):
        for _ in range(LOOKS):
            running = client.admin.aggregate([{"$currentOp": {}}, {"$match": {"appName": "order-generation"}}])
            for operation in running:
                if "opid" in operation and "hello" not in operation.get("command", {}):
                    client.admin.command("killOp", op=operation["opid"])
                    killed += 1
    return killed


def poor_clients(url: str, chance: Random, until: threading.Event) -> int:
    """Keep connections of clients that are silent, slow or do not read until the event; return how many connected."""
    address = urlsplit(url)
    sockets: list[socket.socket] = []
    try:
        for _ in range(CLIENTS):
            with contextlib.suppress(OSError):
                connection = socket.create_connection((address.hostname, address.port or 80), timeout=1)
                sockets.append(connection)
                connection.sendall(chance.choice(BEGINNINGS))
                connection.setblocking(False)
        while not until.wait(0.2):
            for connection in chance.sample(sockets, min(20, len(sockets))):
                with contextlib.suppress(OSError):
                    connection.send(b"x")
    finally:
        for connection in sockets:
            connection.close()
    return len(sockets)


_BODY = b"POST /api/v1/models HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\n"
BEGINNINGS = (
    b"",
    b"GET",
    b"GET /api/v1/models HTTP/1.1\r\nHost: slow\r\nX-Slow: ",
    _BODY + b"Content-Length: 900000\r\n\r\n{",
    _BODY + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n{",
    b"GET /api/v1/rebalances?limit=100 HTTP/1.1\r\nHost: slow\r\n\r\n",
)
"""What such a client sends before it falls silent: nothing, half a request, or a request whose response it ignores."""
