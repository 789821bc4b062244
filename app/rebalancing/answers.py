"""The parts of a large answer, collected in any order and given in the right one, in bounded memory."""

from collections.abc import AsyncIterator, Iterator
from tempfile import SpooledTemporaryFile

MEMORY_BYTES = 16 * 1024 * 1024
"""Of one answer this much is kept in memory, a thousand portfolios of 50 positions; more goes to a temporary file."""


class Answers:
    """The JSON of each portfolio of a rebalance. To be closed by whoever does not read it to its end."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile[bytes](MEMORY_BYTES)
        self._extents: dict[int, tuple[int, int]] = {}
        self._end = 0

    def __len__(self) -> int:
        """How many bytes there are."""
        return self._end

    def add(self, place: int, part: bytes) -> None:
        """Take the part that belongs to a place."""
        self._extents[place] = self._end, len(part)
        self._end += self._file.write(part)

    def parts(self) -> Iterator[bytes]:
        """Give the parts by place; once, as it closes the collection."""
        with self._file as file:
            for _, (start, length) in sorted(self._extents.items()):
                file.seek(start)
                yield file.read(length)

    async def array(self) -> AsyncIterator[bytes]:
        """Give the parts as a JSON array; once."""
        opening = b"["
        for part in self.parts():
            yield opening + part
            opening = b","
        yield b"]" if self._extents else b"[]"

    def close(self) -> None:
        """Give up what was collected."""
        self._file.close()
