"""The table in a file: its delimiter, header and rows, between whatever a broker writes above and below it."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from solver.files.numerals import COMMA, POINT, NotNumber, Numeral, agreed_decimal, read_numeral
from solver.files.problems import Faults, InvalidFile, shown
from solver.files.records import DELIMITERS, Record, declared_delimiter, split_records
from solver.files.statement import positions_of_statement
from solver.files.text import Text
from solver.planning.columns import IDENTIFIERS, Role, is_transactions, normalized, roles_of

_HEADER_WITHIN = 60
"""Records that may stand above the header."""


class Row(Struct, frozen=True):
    """A row below the header, with the heading of its section of the file, if it has sections."""

    record: Record
    section: str

    @property
    def line(self) -> int:
        """The line that it starts on."""
        return self.record.line


class Table(Struct):
    """A table of a file.

    Attributes:
        file: name for messages.
        header_line: 1-based.
        headers: as in the file.
        roles: indexes of the columns by their meaning.
        rows: records below the header that are not blank.
        notes: how the file was interpreted, in sentences.
        delimiter: between cells.
    """

    file: str
    header_line: int
    headers: tuple[str, ...]
    roles: dict[Role, list[int]]
    rows: list[Row]
    notes: list[str]
    delimiter: str

    def column(self, role: Role) -> int | None:
        """Return the index of the only column of a meaning; None if it is missing.

        Raises:
            InvalidFile: several columns have it.
        """
        indexes = self.roles.get(role, [])
        if len(indexes) > 1:
            names = " and ".join(f'"{self.headers[index]}"' for index in indexes)
            raise InvalidFile(
                self.file,
                f"the columns {names} can each be the {role.value}: remove or rename all but one",
                line=self.header_line,
            )
        return indexes[0] if indexes else None

    def problem(self, problem: str, row: Row, index: int | None = None) -> InvalidFile:
        """Build an error with the place of a cell or row."""
        column = None if index is None or index >= len(self.headers) else self.headers[index]
        return InvalidFile(self.file, problem, line=row.line, column=column)

    def numbers(self, index: int, rows: Iterable[Row], faults: Faults | None = None) -> dict[int, Numeral]:
        """Read a column of numbers.

        Args:
            index: of the column.
            rows: to read.
            faults: collects the cells that are no numbers, or unclear ones; None raises them.

        Returns:
            The numbers by line, without the cells that stand for no number; each has a value.

        Raises:
            InvalidFile: the column cannot be read, or a cell, if faults are not collected.
            SeveralFaults: several cells cannot be read.
        """
        wrong = faults if faults is not None else Faults()
        found: dict[int, Numeral] = {}
        for row in rows:
            try:
                if (numeral := self._numeral(row, index)) is not None:
                    found[row.line] = numeral
            except InvalidFile as fault:
                wrong.add(fault)
        decimal = self._decimal(index, found)
        if decimal == COMMA or any(numeral.ambiguous for numeral in found.values()):
            kind = "comma" if decimal == COMMA else "point"
            self._note(f'"{shown(self.headers[index])}" has a decimal {kind}')
        decided: dict[int, Numeral] = {}
        for line, numeral in found.items():
            try:
                decided[line] = _decided(numeral, decimal)
            except NotNumber as problem:
                wrong.add(InvalidFile(self.file, str(problem), line=line, column=self.headers[index]))
        if faults is None:
            wrong.raise_all()
        return decided

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _numeral(self, row: Row, index: int) -> Numeral | None:
        try:
            return read_numeral(row.record.cell(index))
        except NotNumber as problem:
            raise self.problem(str(problem), row, index) from None

    def _decimal(self, index: int, found: dict[int, Numeral]) -> str | None:
        """Return the decimal separator of a column: its own, else that of all other columns, else the file's."""
        proofs: dict[str, int] = {}
        for line, numeral in found.items():
            if numeral.decimal is not None:
                proofs.setdefault(numeral.decimal, line)
        if len(proofs) > 1:
            raise InvalidFile(
                self.file,
                f"line {proofs[POINT]} has a decimal point, line {proofs[COMMA]} a decimal comma: use one of them",
                line=max(proofs.values()),
                column=self.headers[index],
            )
        if proofs or not any(numeral.ambiguous for numeral in found.values()):
            return next(iter(proofs), None)
        others = agreed_decimal(self._all_numerals())
        if others is None and self.delimiter == COMMA and all(COMMA not in each.core for each in found.values()):
            return POINT
        return others

    def _all_numerals(self) -> Iterable[Numeral]:
        columns = [index for role in _NUMBERS for index in self.roles.get(role, [])]
        for row in self.rows:
            for index in columns:
                try:
                    numeral = read_numeral(row.record.cell(index))
                except NotNumber:
                    continue
                if numeral is not None:
                    yield numeral


_NUMBERS = (
    Role.QUANTITY, Role.PRICE, Role.VALUE, Role.COST, Role.TARGET, Role.DRIFT, Role.LOW_DRIFT, Role.HIGH_DRIFT
)  # fmt: skip


def _decided(numeral: Numeral, decimal: str | None) -> Numeral:
    """Return a number that has its value, whatever its separators mean."""
    return msgspec.structs.replace(numeral, number=numeral.value(decimal))


class Purpose(Struct, frozen=True):
    """What a file is read for: its name, the column that it must have, and an example."""

    name: str
    needs: Role
    example: str


HOLDINGS = Purpose("holdings", Role.QUANTITY, "Symbol, Quantity, Price")
TARGETS = Purpose("targets", Role.TARGET, "Symbol, Target, Low drift, High drift")
PRICES = Purpose("prices", Role.PRICE, "Symbol, Price")


def find_table(text: Text, purpose: Purpose) -> Table:
    """Find the table of a file.

    Raises:
        InvalidFile: no row has the headers that are needed, or the table is a list of transactions.
    """
    declared = declared_delimiter(text)
    best: tuple[int, str, int, Record] | None = None
    problem: InvalidFile | None = None
    for delimiter in [declared] if declared else DELIMITERS:
        try:
            found = _find_header(text, delimiter, purpose)
        except InvalidFile as invalid:
            problem = problem or invalid
            continue
        if found and (best is None or found[0] > best[0]):
            best = (found[0], delimiter, *found[1:])
    if best is None:
        raise problem or _no_header(text, purpose)
    _, delimiter, _, header = best
    records = split_records(text, delimiter)
    statement = positions_of_statement(text.file, records) if header.cell(1) in ("Header", "Data") else None
    if statement is not None:
        records, header = iter(statement.records), statement.header
    table = _below(text, delimiter, records, header)
    if not _is_header(table.roles, purpose):
        raise _no_header(text, purpose)
    _reject_orders(table, purpose)
    if statement is not None:
        table.notes += statement.notes
        table.rows += [Row(record, "") for record in statement.cash(table.roles, len(table.headers))]
    return table


def _find_header(text: Text, delimiter: str, purpose: Purpose) -> tuple[int, int, Record] | None:
    """Return how many columns of the header are known, its index, and the header itself."""
    for index, record in enumerate(split_records(text, delimiter)):
        if index >= _HEADER_WITHIN and not _is_statement(record):
            return None
        if _is_statement(record) and record.cells[:2] == ("Open Positions", "Header"):
            if purpose is HOLDINGS:
                return len(record.cells), index, record
            continue
        roles = roles_of(record.cells)
        if is_transactions(roles) and len(roles) > 2:
            raise InvalidFile(
                text.file,
                f"is a list of transactions, not of {purpose.name}: its columns are {_names(record)}",
                line=record.line,
            )
        if _is_header(roles, purpose) and not _is_statement(record):
            return sum(map(len, roles.values())), index, record
    return None


def _reject_orders(table: Table, purpose: Purpose) -> None:
    """Reject a table with a column of nothing but directions of trades, whatever its header is."""
    for index, header in enumerate(table.headers):
        directions = {cell.lower() for row in table.rows if (cell := row.record.cell(index))}
        if directions & _DIRECTIONS and directions <= _DIRECTIONS | _ACTIVITIES:
            raise InvalidFile(
                table.file,
                f"is a list of transactions, not of {purpose.name}: it contains {', '.join(sorted(directions))}",
                line=table.header_line,
                column=header,
            )


_ACTIVITIES = {"dividend", "deposit", "withdrawal", "interest", "fee", "tax", "split", "transfer", "reinvestment"}
_DIRECTIONS = {"buy", "sell", "bought", "sold", "bot", "sld", "b", "s", "kauf", "verkauf", "achat", "vente"}


def _is_statement(record: Record) -> bool:
    """Return whether a record is of an activity statement of Interactive Brokers, with the section in each line."""
    return len(record.cells) > 2 and record.cells[1] in ("Header", "Data", "SubTotal", "Total")


def _is_header(roles: dict[Role, list[int]], purpose: Purpose) -> bool:
    return purpose.needs in roles and any(role in roles for role in IDENTIFIERS)


def _names(record: Record) -> str:
    return ", ".join(f'"{shown(cell)}"' for cell in record.filled[:12])


def _no_header(text: Text, purpose: Purpose) -> InvalidFile:
    widest: Record | None = None
    for delimiter in DELIMITERS:
        try:
            for _, record in zip(range(_HEADER_WITHIN), split_records(text, delimiter), strict=False):
                if _is_statement(record):
                    return InvalidFile(text.file, "is an activity statement without a section of open positions")
                if widest is None or len(record.filled) > len(widest.filled):
                    widest = record
        except InvalidFile:
            continue
    found = f"; line {widest.line} has {_names(widest)}" if widest and widest.filled else ""
    line = widest.line if widest else None
    hint = ""
    if widest and Role.COST in roles_of(widest.cells) and purpose is PRICES:
        hint = "; an average cost is not a price"
    return InvalidFile(
        text.file,
        f"no line has the headers of {purpose.name}: a security (such as Symbol, ISIN or Name) and a column for the"
        f" {purpose.needs.value}, for example: {purpose.example}{found}{hint}",
        line=line,
    )


def _below(text: Text, delimiter: str, records: Iterable[Record], header: Record) -> Table:
    """Collect the rows below the header."""
    same = _spelled(header.cells)
    table = Table(text.file, header.line, header.cells, roles_of(header.cells), [], [], delimiter)
    table.notes.append(f"{text.encoding}, columns separated by {DELIMITERS[delimiter]}, header in line {header.line}")
    heading, inside, above = "", False, 0
    numbers = [index for role in _NUMBERS for index in table.roles.get(role, [])]
    for record in records:
        if inside and any(record.cell(index)[:1].isdigit() for index in numbers):
            _check_width(table, record)
            table.rows.append(Row(record, heading))
            continue
        filled = record.filled
        if not filled:
            continue
        if not inside and record.line < header.line:
            above += record.line > 0
            heading = filled[0] if len(filled) == 1 else heading
        elif _spelled(record.cells) == same:
            inside = True
        elif _is_other_header(record, table):
            table.notes.append(f"the table that begins in line {record.line} is of something else and is ignored")
            break
        elif len(record.cells) == 1 and len(header.cells) > 1:
            table.notes.append(f'line {record.line} is text and is ignored: "{shown(record.cells[0])[:60]}"')
            heading = record.cells[0]
        else:
            _check_width(table, record)
            table.rows.append(Row(record, heading))
    table.notes.append(_meaning(table))
    if above:
        table.notes.append(f"the {above} line{'s' if above > 1 else ''} above the header are ignored" if above > 1
                           else "the line above the header is ignored")  # fmt: skip
    return table


def _meaning(table: Table) -> str:
    """Describe what each column means."""
    meant = {index: role for role, indexes in table.roles.items() for index in indexes if role is not Role.COST}
    known = ", ".join(f'"{shown(table.headers[index])}" is the {role.value}' for index, role in sorted(meant.items()))
    others = [f'"{shown(header)}"' for index, header in enumerate(table.headers) if header and index not in meant]
    return known + (f"; not used: {', '.join(others)}" if others else "")


def _spelled(cells: Iterable[str]) -> tuple[str, ...]:
    return tuple(normalized(cell) for cell in cells if cell)


def _is_other_header(record: Record, table: Table) -> bool:
    """Return whether a record is the header of another table: it has no numbers and several known headers."""
    roles = roles_of(record.cells)
    return len(roles) >= 3 and is_transactions(roles) and not is_transactions(table.roles)


def _check_width(table: Table, record: Record) -> None:
    surplus = [cell for cell in record.cells[len(table.headers) :] if cell]
    if surplus:
        raise InvalidFile(
            table.file,
            f"the row has more cells than the header ({len(record.cells)} instead of {len(table.headers)}): a number"
            f" with a {DELIMITERS[table.delimiter].rstrip('s')} in it must be in quotation marks",
            line=record.line,
        )
