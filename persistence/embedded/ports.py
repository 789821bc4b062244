"""Ports for processes of this machine."""

import errno
import random
import socket
from contextlib import suppress
from typing import Final

_PORTS: Final = range(10_000, 32_000)
_ATTEMPTS: Final = 100


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on; another program may bind it before the caller.

    The system assigns ports above these to outgoing connections, so none of them occupies the port meanwhile.

    Raises:
        OSError: all that were tried are occupied.
    """
    for port in random.sample(_PORTS, _ATTEMPTS):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(errno.EADDRINUSE, "no port of this machine is free")
