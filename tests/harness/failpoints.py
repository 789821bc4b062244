"""Commands of the service that a real mongod makes fail, as its test commands allow."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient


@contextmanager
def failpoint(url: str, *commands: str, times: int | None = None, **how: Any) -> Iterator[None]:
    """Have commands of the service fail until the block ends.

    Args:
        url: of a server with `enableTestCommands=1`.
        commands: such as `find`.
        times: how many of them fail; None for all.
        how: further fields of the fail point `failCommand`, such as `errorCode`.
    """
    mode = "alwaysOn" if times is None else {"times": times}
    data = {"failCommands": list(commands), "appName": "order-generation", **how}
    with MongoClient[dict[str, Any]](url) as client:
        client.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)
        try:
            yield
        finally:
            client.admin.command("configureFailPoint", "failCommand", mode="off")
