"""Prices from a file."""

from decimal import Decimal

from msgspec import Struct

from solver.files.holdings import currency_in
from solver.files.identity import Identified, identified
from solver.files.numerals import Numeral
from solver.files.problems import Faults, shown
from solver.files.records import is_footer
from solver.files.table import PRICES, Row, Table, find_table
from solver.files.text import Text
from solver.planning.columns import Role
from solver.planning.labels import is_cash, is_total


class PriceRow(Struct, frozen=True):
    """A price; `currency` is None if the file does not state it."""

    security: Identified
    price: Decimal
    currency: str | None


class Prices(Struct, frozen=True):
    """The content of a file of prices."""

    table: Table
    prices: tuple[PriceRow, ...]


def read_prices(text: Text) -> Prices:
    """Read prices; rows without a price are left out and reported.

    Raises:
        InvalidFile: the meaning of the file is unclear; the message names line, column and the choice.
        SeveralFaults: several things are wrong.
    """
    table = find_table(text, PRICES)
    index = table.column(Role.PRICE)
    assert index is not None
    rows = [
        row
        for row in table.rows
        if not is_footer(row.record) and not any(map(is_total, row.record.filled)) and not _is_cash(row.record.filled)
    ]
    faults = Faults()
    numerals = table.numbers(index, rows, faults)
    found: list[PriceRow] = []
    without = 0
    for row in rows:
        numeral = numerals.get(row.line)
        if numeral is None:
            without += 1
            continue
        with faults.collected():
            found.append(_priced(table, row, index, numeral))
    faults.raise_all(by_line=True)
    if without:
        table.notes.append(f"{without} row{'s' if without > 1 else ''} without a price are left out")
    return Prices(table, tuple(found))


def _priced(table: Table, row: Row, index: int, numeral: Numeral) -> PriceRow:
    if numeral.percent:
        raise table.problem(f'"{shown(numeral.text)}" is a percentage, not a price', row, index)
    if numeral.value(None) <= 0:
        raise table.problem(f"the price must be above 0, is {shown(numeral.text)}", row, index)
    return PriceRow(identified(table, row), numeral.value(None), currency_in(table, row, numeral, index))


def _is_cash(cells: list[str]) -> bool:
    return any(map(is_cash, cells))
