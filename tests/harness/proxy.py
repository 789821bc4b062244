"""A proxy before a real mongod: it can refuse, fall silent, or have something done just before a write goes through."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Self
from urllib.parse import urlsplit

import bson

from persistence.codec import Document
from persistence.embedded import free_port
from persistence.indexes import SWEEPS

_HEADER: Final = struct.Struct("<iiii")
_OP_MSG: Final = 2013
_BEFORE_BODY: Final = 5
_WRITES: Final = frozenset({"insert", "update", "delete", "findAndModify"})


class Proxy:
    """Listens on a port of its own for as long as its block lasts.

    Attributes:
        url: what a client connects to.
        before_write: called with the number of each write command, counted from 0, before the server sees it; a write
            for which it returns True never arrives. What a sweep writes down of its progress does not count, as
            every process sweeps when it starts.
        held_back: called with the same number; a write for which it gives an event gets to the server only when that is
            set, however long its client waits.
        to_drop: how many of the connections that come next are dropped at once.
        to_add: asked about every response for fields that are added to it.
    """

    def __init__(self, mongodb_url: str) -> None:
        self._url = urlsplit(mongodb_url)
        self._target = (str(self._url.hostname), self._url.port or 27017)
        self._writes = 0
        self._port = free_port()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.before_write: Callable[[int], bool] = lambda _: False
        self.held_back: Callable[[int], asyncio.Event | None] = lambda _: None
        self.to_drop = 0
        self.to_add: Callable[[Document], Document] = lambda _: {}

    @classmethod
    @asynccontextmanager
    async def to(cls, mongodb_url: str) -> AsyncIterator[Self]:
        """A proxy to the server at this URL."""
        proxy = cls(mongodb_url)
        await proxy.listen()
        try:
            yield proxy
        finally:
            await proxy.refuse()

    @property
    def url(self) -> str:
        login, at, _ = self._url.netloc.rpartition("@")
        return self._url._replace(netloc=f"{login}{at}127.0.0.1:{self._port}").geturl()

    async def listen(self) -> None:
        """Accepts connections, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def refuse(self) -> None:
        """Drops all connections and accepts no more."""
        assert self._server
        self._server.close()
        self._flowing.set()
        for connection in list(self._connections):
            connection.transport.abort()
        await self._server.wait_closed()

    def fall_silent(self) -> None:
        """Takes what it is sent and passes nothing on."""
        self._flowing.clear()

    def speak(self) -> None:
        """Passes on what it kept and what comes."""
        self._flowing.set()

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if self.to_drop:
            self.to_drop -= 1
            to_client.transport.abort()
            return
        self._connections.add(to_client)
        from_server, to_server = await asyncio.open_connection(*self._target)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            responses = asyncio.create_task(self._response(from_server, to_client))
            while True:
                message = await _message(from_client)
                await self._flowing.wait()
                if _is_write(message):
                    self._writes += 1
                    number = self._writes - 1
                    if self.before_write(number):
                        break
                    if released := self.held_back(number):
                        await released.wait()
                to_server.write(message)
        responses.cancel()
        self._connections.discard(to_client)
        to_server.close()
        to_client.close()

    async def _response(self, from_server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                message = await _message(from_server)
                await self._flowing.wait()
                to_client.write(self._with_additions(message))

    def _with_additions(self, message: bytes) -> bytes:
        _, request, response_to, operation = _HEADER.unpack_from(message)
        start = _HEADER.size + _BEFORE_BODY
        body = bson.decode(message[start:]) if operation == _OP_MSG else {}
        if not (added := self.to_add(body)):
            return message
        rest = message[_HEADER.size : start] + bson.encode(body | added)
        return _HEADER.pack(_HEADER.size + len(rest), request, response_to, operation) + rest


async def _message(stream: asyncio.StreamReader) -> bytes:
    header = await stream.readexactly(_HEADER.size)
    length, *_ = _HEADER.unpack(header)
    return header + await stream.readexactly(length - _HEADER.size)


def _is_write(message: bytes) -> bool:
    *_, operation = _HEADER.unpack_from(message)
    if operation != _OP_MSG:
        return False
    start = _HEADER.size + _BEFORE_BODY
    size = int.from_bytes(message[start : start + 4], "little")
    command, collection = next(iter(bson.decode(message[start : start + size]).items()))
    return command in _WRITES and collection != SWEEPS
