"""A client that writes bytes to a socket, for requests that no HTTP library sends."""

import json
import re
import socket
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from msgspec import Struct

SECONDS = 100


class RawResponse(Struct):
    """A response as it arrived.

    Attributes:
        status: 0 if the connection was closed without a response.
        headers: by name in lower case.
        body: as text.
        seconds: from before the connection was opened, or something was last sent, until its last byte arrived; the
            service has waited no longer, however busy the machine.
    """

    status: int
    headers: dict[str, str]
    body: str
    seconds: float

    @property
    def error(self) -> dict[str, Any]:
        """The inner object of the error envelope, whose correlation id is that of the header."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        assert error["traceId"] == self.headers["x-correlation-id"]
        return error


class RawConnection:
    """A connection to the service.

    Args:
        url: of the service.
        receive_buffer: size of the kernel's buffer for what is not read yet.
        seconds: longest wait for the next bytes.
    """

    def __init__(self, url: str, receive_buffer: int | None = None, seconds: float = SECONDS) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._socket = socket.socket(socket.AF_INET6 if ":" in parts.hostname else socket.AF_INET)
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._surplus = b""
        self._since = time.monotonic()
        self._socket.settimeout(seconds)
        self._socket.connect((parts.hostname, parts.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def half_close(self) -> None:
        """Send nothing more, and still read."""
        with suppress(OSError):  # the service was faster
            self._socket.shutdown(socket.SHUT_WR)

    def send(self, *parts: bytes) -> Self:
        """Send bytes as they are, or as many as the service accepts."""
        self._since = time.monotonic()
        with suppress(ConnectionError):
            self._socket.sendall(b"".join(parts))
        return self

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> Self:
        """Send a request; names of headers are written with underscores."""
        return self.send(head(method, path, **({"Content_Length": str(len(body))} if body else {}), **headers), body)

    def response(self) -> RawResponse:
        """Read a response, or the end of the connection."""
        received, self._surplus = self._surplus, b""
        while b"\r\n\r\n" not in received:
            if not (data := self._read()):
                return RawResponse(0, {}, received.decode("latin-1"), time.monotonic() - self._since)
            received += data
        top, _, body = received.partition(b"\r\n\r\n")
        status_line, *lines = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(body) < length and (data := self._read()):
            body += data
        body, self._surplus = body[:length], body[length:]
        return RawResponse(int(status_line.split()[1]), headers, body.decode(), time.monotonic() - self._since)

    def statuses(self, patience: float = SECONDS) -> list[int]:
        """Return the status of each response until the connection ends; nothing more is sent after the first of them.

        Args:
            patience: how many seconds to wait for the first byte.
        """
        self._socket.settimeout(patience)
        try:
            received = self._read()
        except TimeoutError:
            received = b""
        self.half_close()
        self._socket.settimeout(SECONDS)
        while data := self._read():
            received += data
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([0-9]{3})[ \r]", received)]

    def is_closed(self) -> bool:
        """Wait for the end of the connection; whatever the service still sends is no end."""
        return self._read() == b""

    def read_to_end(self) -> int:
        """Count the bytes until the connection ends."""
        count = 0
        while data := self._read():
            count += len(data)
        return count

    def all_bytes(self) -> bytes:
        """Return what follows the last response's header until the connection ends."""
        received = bytearray(self._surplus)
        while data := self._read():
            received += data
        return bytes(received)

    def _read(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except ConnectionError:
            return b""


def head(method: str, path: str, **headers: str) -> bytes:
    """Write a request's header."""
    lines = [f"{method} {path} HTTP/1.1", "Host: service", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
