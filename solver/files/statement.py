"""The positions and the cash in an activity statement of Interactive Brokers.

Each line of such a statement begins with its section and with what it is: Header, Data, SubTotal or Total.
"""

from collections.abc import Iterable

from msgspec import Struct

from solver.files.problems import InvalidFile
from solver.files.records import Record
from solver.planning.columns import IDENTIFIERS, Role

_CASH = "Ending Cash"
_BASE = "Base Currency Summary"


class Statement(Struct):
    """The positions and the cash of a statement.

    Attributes:
        header: the header of the positions.
        records: the header, and the rows of the positions, one for each.
        notes: how it was interpreted.
        cash_record: the line of the cash report that counts.
        cash_amount: its cell.
    """

    header: Record
    records: list[Record]
    notes: list[str]
    cash_record: Record | None = None
    cash_amount: str = ""

    def cash(self, roles: dict[Role, list[int]], width: int) -> list[Record]:
        """Return the cash as a row of the table of positions."""
        if self.cash_record is None:
            return []
        cells = [""] * width
        name = next(role for role in IDENTIFIERS if role in roles)
        cells[roles[name][0]] = "CASH"
        cells[roles[Role.VALUE][0] if Role.VALUE in roles else roles[Role.QUANTITY][0]] = self.cash_amount
        return [Record(self.cash_record.line, tuple(cells))]


def positions_of_statement(file: str, records: Iterable[Record]) -> Statement:
    """Collect the open positions and the ending cash in the base currency.

    Raises:
        InvalidFile: two headers of the positions differ, or the cash is reported twice.
    """
    reader = _Reader(file)
    for record in records:
        if record.cell(0) == "Open Positions":
            reader.add_position(record)
        elif record.cell(0) == "Cash Report":
            reader.add_cash(record)
    return reader.statement()


class _Reader:
    """The content of a statement that has been read so far."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: Statement | None = None
        self.lots = 0
        self.cash_header: tuple[str, ...] = ()
        self.cash: tuple[Record, str] | None = None

    def add_position(self, record: Record) -> None:
        kind, rest = record.cell(1), record.cells[2:]
        if kind == "Header" and self.found is None:
            self.found = Statement(Record(record.line, rest), [Record(record.line, rest)], [])
        elif kind == "Header" and self.found is not None and self.found.header.cells != rest:
            raise InvalidFile(self.file, "two headers of the open positions differ", line=record.line)
        elif kind == "Data" and self.found is not None:
            if rest and rest[0] == "Lot":
                self.lots += 1
            else:
                self.found.records.append(Record(record.line, rest))

    def add_cash(self, record: Record) -> None:
        kind, rest = record.cell(1), record.cells[2:]
        if kind == "Header":
            self.cash_header = rest
        elif kind == "Data" and rest[:2] == (_CASH, _BASE) and "Total" in self.cash_header:
            if self.cash is not None:
                line = self.cash[0].line
                raise InvalidFile(
                    self.file, f"the ending cash is reported in line {line}, too: export one account", line=record.line
                )
            self.cash = record, record.cell(2 + self.cash_header.index("Total"))

    def statement(self) -> Statement:
        if self.found is None:
            raise InvalidFile(self.file, "is an activity statement without a section of open positions")
        notes = self.found.notes
        notes.append("activity statement of Interactive Brokers: the open positions are the holdings")
        if self.lots:
            notes.append(f"{self.lots} tax lots are ignored, because the summary rows contain them")
        if self.cash is not None:
            self.found.cash_record, self.found.cash_amount = self.cash
            notes.append(f"the ending cash of the cash report, line {self.cash[0].line}, is the cash")
        return self.found
