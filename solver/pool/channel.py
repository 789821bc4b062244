"""The server's end of the socket to a solver process: chunks go out, messages come in."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import cast, override

import msgspec

from solver.pool import protocol


class Channel(asyncio.Protocol):
    """Sends chunks to one process and queues its messages.

    A stream reader with a queue would do the same in more steps of the event loop for each message.

    Attributes:
        lost: done when no more messages can arrive.
        closed_by_process: the process closed its end, because it ends or has ended.
    """

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed_by_process = False
        self._received = bytearray()
        self._messages: deque[protocol.Message] = deque()
        self._listener: asyncio.Future[None] | None = None

    def send(self, chunk: Sequence[protocol.ChunkEntry]) -> None:
        """Send a chunk."""
        body = protocol.encode(chunk)
        self._transport.write(len(body).to_bytes(protocol.LENGTH_BYTES) + body)

    async def receive(self, seconds: float) -> protocol.Message | None:
        """Return the next message; None if none arrives in time or the channel has ended. For one caller at a time."""
        if not self._messages and not self.lost.done():
            loop = asyncio.get_running_loop()
            self._listener = loop.create_future()
            clock = loop.call_later(max(seconds, 0), self._wake)
            try:
                await self._listener
            finally:
                clock.cancel()
                self._listener = None
        return self._messages.popleft() if self._messages else None

    def close(self) -> None:
        """Stop receiving, and close the socket."""
        self._end()
        self._transport.close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        read = 0
        try:
            while len(self._received) >= (begins := read + protocol.LENGTH_BYTES):
                ends = begins + int.from_bytes(self._received[read:begins])
                if len(self._received) < ends:
                    break
                self._messages.append(protocol.decode_message(bytes(self._received[begins:ends])))
                read = ends
        except msgspec.DecodeError:
            self._end()
        del self._received[:read]
        self._wake()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.closed_by_process = True
            self._end()

    def _end(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        self._wake()

    def _wake(self) -> None:
        if self._listener is not None and not self._listener.done():
            self._listener.set_result(None)
