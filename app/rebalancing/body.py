"""The parts of a large answer, collected in any order and given in the right one, in bounded memory."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from tempfile import TemporaryFile
from typing import BinaryIO

MEMORY_BYTES = 16 * 1024 * 1024
"""Of one answer this much is kept in memory, a thousand portfolios of 50 positions; the rest goes to a temporary file.
"""


class Answers:
    """The JSON of each portfolio of a rebalance. To be closed by whoever does not read it to its end."""

    def __init__(self) -> None:
        # By place; of what is in the file, where it starts and how long it is.
        self._parts: dict[int, bytes | tuple[int, int]] = {}
        self._file: BinaryIO | None = None
        self._length = 0

    def __len__(self) -> int:
        """How many bytes there are."""
        return self._length

    def add(self, place: int, part: bytes) -> None:
        """Take the part that belongs to a place.

        Raises:
            OSError: there is no room for a temporary file.
        """
        self._length += len(part)
        if self._length <= MEMORY_BYTES:
            self._parts[place] = part
            return
        if self._file is None:
            self._file = TemporaryFile()  # noqa: SIM115 - `close` is for it
        self._parts[place] = self._file.tell(), len(part)
        self._file.write(part)
        # A disk that is full is to be known before the rebalance is stored, not in the middle of its answer.
        self._file.flush()

    def parts(self) -> Iterator[bytes]:
        """Give the parts by place."""
        for place in sorted(self._parts):
            match self._parts[place]:
                case bytes() as part:
                    yield part
                case start, length:
                    assert self._file is not None
                    self._file.seek(start)
                    yield self._file.read(length)

    async def array(self) -> AsyncGenerator[bytes]:
        """Give the parts as a JSON array; once, as it closes the collection."""
        try:
            opening = b"["
            for part in self.parts():
                yield opening + part
                opening = b","
            yield b"]" if self._length else b"[]"
        finally:
            if self._file is not None:
                # To give a large file up takes milliseconds, which other requests need not wait for.
                await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Give up what was collected."""
        if self._file is not None:
            self._file.close()
