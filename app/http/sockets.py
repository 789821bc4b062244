"""The TCP sockets of this process, as the kernel describes them.

Granian accepts and owns its connections in Rust and offers no access to them, so they are found by their descriptors.
Every operation works on a duplicate of the descriptor: a connection that Granian closes in the meantime is never
confused with one that gets its number afterwards. Without /proc (macOS) nothing is found.
"""

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from msgspec import Struct

type Peer = tuple[str, int]
"""Address and port of a client."""

_FAMILIES = frozenset({int(socket.AF_INET), int(socket.AF_INET6)})
_STREAM = int(socket.SOCK_STREAM)
_DESCRIPTORS = Path("/proc/self/fd")
_TCP_INFO_BYTES = 192
_LAST_DATA_SENT = 44  # offsets in the kernel's struct tcp_info, in bytes
_LAST_DATA_RECEIVED = 52
_BYTES_ACKNOWLEDGED = 120
_BYTES_RECEIVED = 128
_UNSENT_BYTES = 0x5411
"""SIOCOUTQ: bytes in the send queue that the client has not acknowledged."""


def peer(address: str, port: int | str) -> Peer:
    """Identify a client, however its address is spelled: Granian and the kernel may spell IPv6 differently."""
    return _canonical(address), int(port)


@lru_cache(maxsize=4096)
def _canonical(address: str) -> str:
    parsed = ip_address(address.partition("%")[0])
    return str((parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None) or parsed)


class Traffic(Struct, frozen=True):
    """The bytes that a connection has transferred.

    Attributes:
        received: bytes received since it was opened.
        acknowledged: bytes that the client has acknowledged.
        unread: bytes that were sent and that the client has not acknowledged.
        since_received: seconds since bytes were received, or since it was opened.
        since_sent: seconds since bytes were sent, or since it was opened.
    """

    received: int
    acknowledged: int
    unread: int
    since_received: float
    since_sent: float


class Connection(Struct, frozen=True):
    """An accepted connection; `socket` is a duplicate, valid while `connections` has not moved on."""

    peer: Peer
    socket: socket.SocketType

    def traffic(self) -> Traffic:
        """Return what the connection has transferred.

        Raises:
            OSError: the connection is closed.
        """
        information = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        sent, received = (
            struct.unpack_from("=I", information, offset)[0] / 1000 for offset in (_LAST_DATA_SENT, _LAST_DATA_RECEIVED)
        )
        acknowledged, bytes_received = (
            struct.unpack_from("=Q", information, offset)[0] for offset in (_BYTES_ACKNOWLEDGED, _BYTES_RECEIVED)
        )
        (unread,) = struct.unpack("=i", fcntl.ioctl(self.socket, _UNSENT_BYTES, b"\0\0\0\0"))
        return Traffic(bytes_received, acknowledged, unread, received, sent)

    def close(self, last_words: bytes = b"", *, discard: bool = False) -> None:
        """Close the connection for both sides; Granian notices and releases it.

        Args:
            last_words: a response to send first, as far as the send queue has room for it.
            discard: discard what is in the send queue instead of sending it.
        """
        if last_words:
            self.socket.send(last_words, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        if discard:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.shutdown(socket.SHUT_RDWR)


def count_descriptors() -> int:
    """Return how many descriptors this process has open; 0 if the system does not say."""
    try:
        return len(os.listdir(_DESCRIPTORS))  # noqa: PTH208 - thousands of paths would take milliseconds
    except OSError:
        return 0


def connections(port: int) -> Iterator[Connection]:
    """Yield the connections that were accepted on a port of this process."""
    for duplicate in _tcp_sockets(port):
        if not duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            try:
                address, peer_port, *_ = duplicate.getpeername()
            except OSError:  # it was closed in the meantime
                continue
            yield Connection(peer(address, peer_port), duplicate)


def limit_send_buffers(port: int, size: int) -> bool:
    """Limit the send buffer of every connection that will be accepted on a port; return whether it is listened on."""
    found = False
    for duplicate in _tcp_sockets(port):
        if duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
            found = True
    return found


def _tcp_sockets(port: int) -> Iterator[socket.SocketType]:
    """Yield a duplicate of each TCP socket bound to a port; it is closed when the iteration continues."""
    try:
        numbers = [int(name) for name in os.listdir(_DESCRIPTORS)]  # noqa: PTH208 - as above
    except OSError:
        return
    for number in numbers:
        duplicate = _duplicate(number)
        if duplicate is None:
            continue
        with closing(duplicate):
            if duplicate.family in _FAMILIES and duplicate.type == _STREAM:
                try:
                    bound_to = duplicate.getsockname()[1]
                except OSError:
                    continue
                if bound_to == port:
                    yield duplicate


def _duplicate(descriptor: int) -> socket.SocketType | None:
    """Return a socket that shares the connection of a descriptor; None if it is closed or not a socket."""
    try:
        number = os.dup(descriptor)
    except OSError:
        return None
    try:
        # The class beneath `socket.socket`, which would make an enumeration of each of its integers.
        return socket.SocketType(fileno=number)
    except OSError:
        os.close(number)
        return None
