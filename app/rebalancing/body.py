"""The parts of a large response body, collected in any order and returned in the right one, in bounded memory.

A response that is collected before it is sent is complete or an error, whatever fails while it is computed.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO, ClassVar, Self

import structlog

from app.errors.codes import ErrorCode, OrderGenerationError

log = structlog.get_logger(__name__)

MEMORY_BYTES = 20 * 1024 * 1024
"""Of one body, a thousand portfolios of 50 positions (17.5 MB); a larger one is kept in a temporary file."""
TOTAL_MEMORY_BYTES = 32 * 1024 * 1024
"""Of all bodies; those that follow are kept in temporary files."""
TOTAL_DISK_BYTES = 512 * 1024 * 1024
"""Of all temporary files; the manifests provide 1 GiB for them."""
RETRY_AFTER_SECONDS = 5


class ResponseBody:
    """The JSON of each portfolio of a rebalance, or blocks of any text, until it is closed or no longer used."""

    memory: ClassVar[int] = 0
    disk: ClassVar[int] = 0

    def __init__(self) -> None:
        # By index: the part, or where it starts in the file and how long it is.
        self._parts: dict[int, bytes | tuple[int, int]] = {}
        self._file: IO[bytes] | None = None
        self._length = 0
        self._closed = False

    def __enter__(self) -> Self:
        """Return the body itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the body if the block raised."""
        if kind is not None:
            self.close()

    def __len__(self) -> int:
        """Return the length of all parts in bytes."""
        return self._length

    def add(self, index: int, part: bytes) -> None:
        """Add the part with this index.

        Raises:
            OrderGenerationError: `OVERLOADED`, too many responses wait to be read, or there is no room for a
                temporary file.
        """
        try:
            self._add(index, part)
        except OSError as error:
            log.warning("no room for a large response", cause=error.strerror, bytes=self._length)
            raise _overloaded("There is no room for another large response") from error

    def _add(self, index: int, part: bytes) -> None:
        if self._file is None and (
            self._length + len(part) > MEMORY_BYTES or ResponseBody.memory + len(part) > TOTAL_MEMORY_BYTES
        ):
            self._move_to_disk()
        if self._file is None:
            ResponseBody.memory += len(part)
            self._length += len(part)
            self._parts[index] = part
            return
        _check_disk(len(part))
        ResponseBody.disk += len(part)
        self._length += len(part)
        self._parts[index] = self._file.tell(), len(part)
        self._file.write(part)
        # A full disk has to be known before the rebalance is stored, not in the middle of its response.
        self._file.flush()

    def _move_to_disk(self) -> None:
        _check_disk(self._length)
        self._file = file = TemporaryFile()  # noqa: SIM115 - closed by `close`
        ResponseBody.memory -= self._length
        ResponseBody.disk += self._length
        for index, part in self._parts.items():
            assert isinstance(part, bytes), "nothing is in the file yet"
            self._parts[index] = file.tell(), len(part)
            file.write(part)

    def parts(self) -> Iterator[bytes]:
        """Yield the parts in the order of their indexes."""
        for index in sorted(self._parts):
            match self._parts[index]:
                case bytes() as part:
                    yield part
                case start, length:
                    assert self._file is not None
                    self._file.seek(start)
                    yield self._file.read(length)

    async def array(self) -> AsyncGenerator[bytes]:
        """Yield the parts as a JSON array, once: the collection is closed afterwards."""
        try:
            opening = b"["
            for part in self.parts():
                yield opening + part
                opening = b","
            yield b"]" if self._length else b"[]"
        finally:
            await self._release()

    async def joined(self) -> AsyncGenerator[bytes]:
        """Yield the parts as they are, once: the collection is closed afterwards."""
        try:
            for part in self.parts():
                yield part
        finally:
            await self._release()

    async def _release(self) -> None:
        if self._file is None:
            self.close()
        else:
            # Releasing a large file takes milliseconds, for which other requests need not wait.
            await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Release what was collected."""
        if self._closed:
            return
        self._closed = True
        self._parts.clear()
        if self._file is None:
            ResponseBody.memory -= self._length
        else:
            ResponseBody.disk -= self._length
            # What did not fit into the file is written once more as it is closed.
            with suppress(OSError):
                self._file.close()

    def __del__(self) -> None:
        """Release the parts of a response that was never sent."""
        self.close()


def _check_disk(length: int) -> None:
    if ResponseBody.disk + length > TOTAL_DISK_BYTES:
        raise _overloaded("Too many responses are waiting to be read")


def _overloaded(reason: str) -> OrderGenerationError:
    return OrderGenerationError(
        ErrorCode.OVERLOADED,
        f"{reason}; try again shortly.",
        {"retryAfterSeconds": RETRY_AFTER_SECONDS},
        {"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
