"""Records of delimited text, each with the line that it starts on."""

import csv
import io
from collections.abc import Iterator

from msgspec import Struct

from solver.files.numerals import EMPTY
from solver.files.problems import InvalidFile
from solver.files.text import Text

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_LONGEST_RECORD_LINES = 50
_SENTENCE_WORDS = 3


class Record(Struct, frozen=True):
    """One record: its cells without surrounding white space, and its first line, from 1."""

    line: int
    cells: tuple[str, ...]

    @property
    def filled(self) -> list[str]:
        """The cells that are not empty."""
        return [cell for cell in self.cells if cell]

    def cell(self, index: int) -> str:
        """Return a cell; empty if the record is shorter."""
        return self.cells[index] if index < len(self.cells) else ""


def is_footer(record: Record) -> bool:
    """Return whether a record is only a sentence, which may have commas but no numbers behind them."""
    first, others = record.cell(0), [cell for cell in record.cells[1:] if cell]
    if len(first.split()) < _SENTENCE_WORDS or any(char.isdigit() for cell in others for char in cell):
        return False
    return not others or any(cell.lower() not in EMPTY for cell in others)


def declared_delimiter(text: Text) -> str | None:
    """Return the delimiter of a first line `sep=;`, which Excel reads and writes."""
    first = text.content.lstrip("\ufeff").partition("\n")[0].strip().strip('"').lower()
    return first[4:] if first.startswith("sep=") and first[4:] in DELIMITERS else None


def split_records(text: Text, delimiter: str) -> Iterator[Record]:
    """Split text into records, blank ones included as records without filled cells.

    Raises:
        InvalidFile: a quoted cell is not closed or is followed by text, or a cell is too long.
    """
    reader = csv.reader(io.StringIO(text.content, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    line = 1
    try:
        for cells in reader:
            if reader.line_num - line > _LONGEST_RECORD_LINES:
                raise InvalidFile(text.file, "a quotation mark opens a cell that is never closed", line=line)
            yield Record(line, tuple(map(_clean, cells)))
            line = reader.line_num + 1
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise InvalidFile(text.file, "a quotation mark opens a cell that is never closed", line=line) from None
        if "field larger" in str(error):
            raise InvalidFile(text.file, "a cell has more than 131,072 characters", line=line) from None
        raise InvalidFile(text.file, f"is not delimited text: {error}", line=line) from None


def _clean(cell: str) -> str:
    """Strip white space, and the `="..."` by which spreadsheets keep text as it is."""
    cell = cell.strip()
    if cell.startswith('="') and cell.endswith('"') and len(cell) > 2:
        cell = cell[2:-1].strip()
    return cell
