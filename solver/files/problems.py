"""What is wrong with files, with its place; everything that is wrong is reported at once."""

from collections.abc import Iterator
from contextlib import contextmanager


class InvalidFile(ValueError):
    """A file cannot be used as it is; the message names file, line and column, and what is accepted.

    Attributes:
        file: the name as the user wrote it.
        line: 1-based line; None for the whole file.
        column: name of the column, as in the file; None for the whole line.
    """

    def __init__(self, file: str, problem: str, *, line: int | None = None, column: str | None = None) -> None:
        """Build the message from place and problem."""
        self.file = file
        self.line = line
        self.column = column
        place = shown(file)
        if line is not None:
            place += f", line {line}"
        if column is not None:
            place += f', column "{shown(column)}"'
        super().__init__(f"{place}: {problem}")


class SeveralFaults(ValueError):
    """Several things are wrong.

    Attributes:
        faults: each of them.
    """

    def __init__(self, faults: tuple[ValueError, ...]) -> None:
        """Build a message with a line for each fault."""
        self.faults = faults
        super().__init__("\n".join(map(str, faults)))


class Faults:
    """Collects what is wrong, so that the user can correct all of it before the next attempt."""

    def __init__(self) -> None:
        """Start without any."""
        self._found: list[ValueError] = []
        self.lines: set[int] = set()

    def __bool__(self) -> bool:
        """Return whether anything is wrong."""
        return bool(self._found)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Collect the error that the block raises, and continue behind the block."""
        try:
            yield
        except ValueError as fault:
            self.add(fault)

    def add(self, fault: ValueError) -> None:
        """Collect an error, or each of several."""
        for each in fault.faults if isinstance(fault, SeveralFaults) else (fault,):
            self._found.append(each)
            if isinstance(each, InvalidFile) and each.line is not None:
                self.lines.add(each.line)

    def raise_all(self, *, by_line: bool = False) -> None:
        """Raise what was collected, if anything was.

        Args:
            by_line: whether all of it is of one file and is sorted by its lines.

        Raises:
            ValueError: the only fault, or `SeveralFaults`.
        """
        if by_line:
            self._found.sort(key=lambda fault: (isinstance(fault, InvalidFile) and fault.line) or 0)
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise SeveralFaults(tuple(self._found))


def shown(text: str) -> str:
    """Return text from a file made harmless in a terminal: on one line, without control or direction characters."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in " ".join(text.split()))[:120]
