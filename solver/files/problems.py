"""What is wrong with a file, with its place."""


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


def shown(text: str) -> str:
    """Return text from a file made harmless in a terminal: on one line, without control or direction characters."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in " ".join(text.split()))[:120]
