"""A mongod for the demo and the tests: found, started, watched and removed without any set-up."""

from persistence.embedded.mongod import EmbeddedMongod, MongodUnavailable, find_mongod
from persistence.embedded.ports import free_port

__all__ = ["EmbeddedMongod", "MongodUnavailable", "find_mongod", "free_port"]
