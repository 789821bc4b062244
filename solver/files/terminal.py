"""Tables for terminals of any width: nothing is cut. Columns are left out, then each row becomes a list."""

import shutil
import unicodedata
from collections.abc import Sequence

from msgspec import Struct

NARROWEST = 20


class Column(Struct, frozen=True):
    """A column of a table.

    Attributes:
        header: above its cells.
        right: whether cells are aligned to the right, as numbers are.
        rank: columns with the highest rank are left out first; those of rank 0 never are.
    """

    header: str
    right: bool = False
    rank: int = 0


def terminal_width() -> int:
    """Return the columns of the terminal; `COLUMNS` decides if it is set."""
    return max(shutil.get_terminal_size((100, 24)).columns, NARROWEST)


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Lay out a table within a width.

    Args:
        columns: of the table.
        rows: cells in the order of the columns.
        width: of the terminal.

    Returns:
        Lines. If even the columns of rank 0 do not fit, each row is a list of all its cells, so that nothing is lost.
    """
    chosen = list(range(len(columns)))
    widths = [max(map(_width, [column.header, *(row[index] for row in rows)])) for index, column in enumerate(columns)]
    while sum(widths[index] for index in chosen) + 2 * (len(chosen) - 1) > width:
        ranked = [index for index in chosen if columns[index].rank]
        if not ranked:
            return _list(columns, rows, width)
        chosen.remove(max(ranked, key=lambda index: (columns[index].rank, index)))
    lines = [[columns[index].header for index in chosen], ["-" * widths[index] for index in chosen]]
    lines += [[row[index] for index in chosen] for row in rows]
    aligned = [(widths[index], columns[index].right) for index in chosen]
    return [
        "  ".join(_aligned(cell, *side) for cell, side in zip(line, aligned, strict=True)).rstrip() for line in lines
    ]


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Break a sentence into lines; a word that is longer than a line stays whole."""
    lines: list[str] = []
    current = ""
    for word in text.split():
        start = indent if lines else ""
        if current and _width(current) + 1 + _width(word) > width:
            lines.append(current)
            current = indent + word
        else:
            current = f"{current} {word}" if current else start + word
    return [*lines, current] if current else lines


def _list(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    lines: list[str] = []
    for row in rows:
        if lines:
            lines.append("")
        for column, cell in zip(columns, row, strict=True):
            if cell:
                lines += wrapped(f"{column.header}: {cell}", width, "  ")
    return lines


def _width(text: str) -> int:
    """Return the width of text in columns; East Asian characters have two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _aligned(cell: str, width: int, right: bool) -> str:
    padding = " " * (width - _width(cell))
    return padding + cell if right else cell + padding
