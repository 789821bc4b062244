"""Holdings from a file: securities with quantities, the prices that it has, and its cash."""

from decimal import Decimal

from msgspec import Struct

from solver.files.identity import Identified, identified
from solver.files.numerals import CURRENCY_CODES, Numeral, currency_of
from solver.files.problems import Faults, InvalidFile, shown
from solver.files.records import is_footer
from solver.files.table import HOLDINGS, Row, Table, find_table
from solver.files.text import Text
from solver.planning.columns import IDENTIFIERS, Role, unit_of
from solver.planning.exact import EXACT, plain
from solver.planning.labels import is_cash, is_certain_total, is_pending, is_total


class Holding(Struct, frozen=True):
    """A row of a security.

    Attributes:
        security: its identifiers and line.
        quantity: shares; negative if short.
        price: from the same row; None if missing.
        currency: of the price; None if the file does not state it.
        account: the account of the row; empty if the file has only one.
        mismatch: why price, quantity and value of the row contradict each other; empty if they do not.
    """

    security: Identified
    quantity: Decimal
    price: Decimal | None
    currency: str | None
    account: str
    mismatch: str


class CashRow(Struct, frozen=True):
    """Cash in a file."""

    amount: Decimal
    currency: str | None
    line: int
    account: str


class Holdings(Struct, frozen=True):
    """The content of a file of holdings; `cash_without_amount` is the line of a cash row that is blank."""

    table: Table
    holdings: tuple[Holding, ...]
    cash: tuple[CashRow, ...]
    cash_without_amount: int | None


def read_holdings(text: Text) -> Holdings:
    """Read holdings.

    Raises:
        InvalidFile: the meaning of the file is unclear; the message names line, column and the choice.
        SeveralFaults: several things are wrong.
    """
    table = find_table(text, HOLDINGS)
    quantity = table.column(Role.QUANTITY)
    assert quantity is not None
    faults = Faults()
    securities, cash = _classified(table, quantity, table.column(Role.PRICE), faults)
    amounts = _Amounts(table, [*securities, *cash], faults)
    holdings: list[Holding] = []
    amount_of: dict[int, CashRow | None] = {}
    for row in securities:
        if row.line not in faults.lines:
            with faults.collected():
                holdings.append(_holding(table, row, amounts, quantity))
    for row in cash:
        if row.line not in faults.lines:
            with faults.collected():
                amount_of[row.line] = _cash(table, row, amounts)
    faults.raise_all(by_line=True)
    return Holdings(
        table,
        tuple(holdings),
        tuple(row for row in amount_of.values() if row is not None),
        next((line for line, row in amount_of.items() if row is None), None),
    )


class _Amounts:
    """The numbers of the rows that count, by line."""

    def __init__(self, table: Table, rows: list[Row], faults: Faults) -> None:
        self.quantities = self._read(table, rows, table.column(Role.QUANTITY), faults)
        self.prices = self._read(table, rows, table.column(Role.PRICE), faults)
        self.values = self._read(table, rows, self.value_column(table), faults)
        self.multipliers = self._read(table, rows, table.column(Role.MULTIPLIER), faults)

    @staticmethod
    def _read(table: Table, rows: list[Row], index: int | None, faults: Faults) -> dict[int, Numeral]:
        """Read a column; if it cannot be read as a whole, nothing that is said of its rows would be true."""
        if index is None:
            return {}
        try:
            return table.numbers(index, rows, faults)
        except InvalidFile as fault:
            faults.add(fault)
            faults.raise_all(by_line=True)
            raise

    @staticmethod
    def value_column(table: Table) -> int | None:
        """Return the column of values; the one in the account's currency if there are several."""
        indexes = table.roles.get(Role.VALUE, [])
        named = [index for index in indexes if " in " in table.headers[index].lower()]
        return next(iter(named or indexes), None)


def _classified(table: Table, quantity: int, price: int | None, faults: Faults) -> tuple[list[Row], list[Row]]:
    """Separate securities and cash, and leave out totals, footers and tax lots."""
    identifiers = [index for role in IDENTIFIERS for index in table.roles.get(role, [])]
    securities: list[Row] = []
    cash: list[Row] = []
    skipped: list[Row] = []
    for row in _summaries(table):
        labels = [label for index in identifiers if (label := row.record.cell(index))]
        has_quantity = bool(row.record.cell(quantity).strip("-* "))
        try:
            if _is_cash_row(table, row, labels, has_quantity=has_quantity):
                cash.append(row)
            elif _is_security(table, row, labels, price, has_quantity=has_quantity):
                securities.append(row)
            else:
                skipped.append(row)
        except InvalidFile as fault:
            faults.add(fault)
    securities, footers = _without_footers(securities)
    for row in sorted([*skipped, *footers], key=lambda row: row.line):
        table.notes.append(
            f'line {row.line} is not a security and is ignored: "{shown(" ".join(row.record.filled))[:60]}"'
        )
    return securities, cash


def _is_security(table: Table, row: Row, labels: list[str], price: int | None, *, has_quantity: bool) -> bool:
    """Return whether a row that is not cash is a security; otherwise it is a total, or says nothing.

    Raises:
        InvalidFile: it may be either.
    """
    if any(map(is_total, labels)) and not (has_quantity and _has_price(row, price)):
        return False
    if labels and is_certain_total(labels[0]):
        problem = f'"{shown(labels[0])}" is either a total or a security: remove the row, or use another identifier'
        raise table.problem(problem, row)
    if any(map(is_pending, labels)):
        _reject_pending(table, row)
        return False
    if labels:
        _reject_currency(table, row, labels[0], price)
        return True
    if has_quantity:
        raise table.problem("the row has a quantity, but no security", row)
    return False


def _reject_currency(table: Table, row: Row, label: str, price: int | None) -> None:
    """Reject a row named like a currency and priced like money: some currencies are symbols of funds as well."""
    cell = "" if price is None else row.record.cell(price)
    if label.upper() in CURRENCY_CODES and cell.strip("$€£ ").rstrip("0").rstrip(".,") in ("", "1"):
        problem = f'"{shown(label)}" is either cash or a security: call the row Cash, or state its price with --prices'
        raise table.problem(problem, row)


def _has_price(row: Row, price: int | None) -> bool:
    return price is None or bool(row.record.cell(price).strip("-* "))


def _summaries(table: Table) -> list[Row]:
    """Return the rows without tax lots, if the file has a summary row for each position as well."""
    indexes = table.roles.get(Role.LEVEL, [])
    if not indexes:
        return table.rows
    levels = [row.record.cell(indexes[0]).upper() for row in table.rows]
    if "SUMMARY" not in levels or "LOT" not in levels:
        return table.rows
    table.notes.append(f"{levels.count('LOT')} tax lots are ignored, because the summary rows contain them")
    return [row for row, level in zip(table.rows, levels, strict=True) if level != "LOT"]


def _is_cash_row(table: Table, row: Row, labels: list[str], *, has_quantity: bool) -> bool:
    if any(map(is_cash, labels)):
        return True
    # Fidelity marks the fund that cash is kept in with two stars, and reports it without shares.
    if labels and labels[0].endswith("**") and not has_quantity:
        return True
    return any(
        row.record.cell(index).lower() == "cash" and _is_asset_class(table, index)
        for index in table.roles.get(Role.CLASS, [])
    )


def _is_asset_class(table: Table, index: int) -> bool:
    """Return whether a column is of asset classes, and not of whether a position is held in cash or on margin."""
    values = {row.record.cell(index).lower() for row in table.rows} - {""}
    return not values <= {"cash", "margin", "short"}


def _without_footers(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Separate the sentences below the last security."""
    count = len(rows)
    while count and is_footer(rows[count - 1].record):
        count -= 1
    return rows[:count], rows[count:]


def _reject_pending(table: Table, row: Row) -> None:
    index = _Amounts.value_column(table)
    if index is None or table.numbers(index, [row]).get(row.line) is None:
        return
    if table.numbers(index, [row])[row.line].value(None):
        raise table.problem(
            f'"{shown(row.record.filled[-1])}" is pending: remove the row, and state the cash that will be available'
            " in the cash row or with --cash",
            row,
            index,
        )


def _holding(table: Table, row: Row, amounts: _Amounts, quantity: int) -> Holding:
    numeral = amounts.quantities.get(row.line)
    if numeral is None:
        raise table.problem("the security has no quantity", row, quantity)
    if numeral.percent or numeral.currency:
        raise table.problem(f'"{shown(numeral.text)}" is not a number of shares', row, quantity)
    shares = numeral.value(None)
    multiplier = amounts.multipliers.get(row.line)
    if multiplier is not None and multiplier.value(None) != 1:
        problem = f"the contract multiplier is {plain(multiplier.value(None))}: only securities can be rebalanced"
        raise table.problem(problem, row, table.column(Role.MULTIPLIER))
    price = amounts.prices.get(row.line)
    if price is not None:
        _check_price(table, row, price)
    return Holding(
        identified(table, row),
        shares,
        None if price is None else price.value(None),
        currency_in(table, row, price, table.column(Role.PRICE)),
        _account(table, row),
        _mismatch(shares, price, amounts.values.get(row.line)),
    )


def _check_price(table: Table, row: Row, price: Numeral) -> None:
    index = table.column(Role.PRICE)
    if price.percent:
        raise table.problem(f'"{shown(price.text)}" is a percentage, not a price', row, index)
    if price.value(None) <= 0:
        raise table.problem(f"the price must be above 0, is {shown(price.text)}", row, index)


def currency_in(table: Table, row: Row, numeral: Numeral | None, index: int | None) -> str | None:
    """Return the currency of an amount: that of the header of its column, of the row, or of the cell."""
    unit = None if index is None else unit_of(table.headers[index])
    if unit is not None:
        return currency_of(unit)
    for index in table.roles.get(Role.CURRENCY, [])[:1]:
        if cell := row.record.cell(index):
            return currency_of(cell) or cell.upper()
    return numeral.currency if numeral else None


def _account(table: Table, row: Row) -> str:
    cells = [row.record.cell(index) for index in table.roles.get(Role.ACCOUNT, [])]
    return " ".join(filter(None, cells)) or row.section


def _mismatch(shares: Decimal, price: Numeral | None, value: Numeral | None) -> str:
    """Describe how the value of a row contradicts its quantity and price, beyond what rounding explains."""
    if price is None or value is None:
        return ""
    stated, product = value.value(None), EXACT.multiply(shares, price.value(None))
    exponent = price.value(None).as_tuple().exponent
    assert isinstance(exponent, int)
    rounding = abs(shares) * Decimal(1).scaleb(min(exponent, 0)) + 1
    if abs(stated - product) <= abs(stated) / 100 + rounding:
        return ""
    return (
        f"quantity x price is {plain(product)}, but the value is {plain(stated)}: the price is in another unit or"
        " currency, or a number is wrong"
    )


def _cash(table: Table, row: Row, amounts: _Amounts) -> CashRow | None:
    """Return the amount of a cash row: its value, or a quantity of which each unit is worth 1."""
    value, quantity, price = (numbers.get(row.line) for numbers in (amounts.values, amounts.quantities, amounts.prices))
    numeral = value if value is not None else quantity
    if numeral is None:
        numeral = price
    if numeral is None:
        return None
    amount = numeral.value(None)
    if quantity is not None and value is not None:
        worth = EXACT.multiply(quantity.value(None), price.value(None) if price is not None else Decimal(1))
        if abs(worth - amount) > abs(amount) / 1000 + 1:
            raise table.problem(f"the cash is either {plain(worth)} or {plain(amount)}: state one amount", row)
    elif quantity is not None and price is not None and price.value(None) not in (1, quantity.value(None)):
        raise table.problem(
            f"the cash is either {plain(quantity.value(None))} or {plain(price.value(None))}: state one amount", row
        )
    index = amounts.value_column(table) if numeral is value else table.column(Role.PRICE)
    return CashRow(amount, currency_in(table, row, numeral, index), row.line, _account(table, row))


def reject(table: Table, problem: str, line: int) -> InvalidFile:
    """Build an error about a line."""
    return InvalidFile(table.file, problem, line=line)
