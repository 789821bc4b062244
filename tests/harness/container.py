"""MongoDB 8.0 in a container, for machines with a container engine."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pymongo import MongoClient
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

_PORT = 27017


@contextmanager
def mongodb_container(*, replica_set: bool) -> Iterator[str]:
    """The URL of a server that runs until the block ends."""
    container = DockerContainer("mongo:8.0").with_exposed_ports(_PORT)
    container.waiting_for(LogMessageWaitStrategy("Waiting for connections"))
    if replica_set:
        container.with_command("--replSet rs0")
    with container:
        address = f"{container.get_container_host_ip()}:{container.get_exposed_port(_PORT)}"
        url = f"mongodb://{address}/?directConnection=true"
        if replica_set:
            with MongoClient[dict[str, object]](url) as client:
                members = [{"_id": 0, "host": f"localhost:{_PORT}"}]
                client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
                while not client.admin.command("hello")["isWritablePrimary"]:
                    time.sleep(0.1)
        yield url
