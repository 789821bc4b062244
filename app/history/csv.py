"""Trades as CSV: RFC 4180, one header row, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import AsyncIterator
from decimal import Decimal

from msgspec.structs import astuple

from app.history.schemas import TradeDTO
from app.http.dialect import Dialect, camel_case
from solver.files import neutralized


async def trades_as_csv(trades: AsyncIterator[list[TradeDTO]], dialect: Dialect) -> AsyncIterator[bytes]:
    """Write trades as CSV, a block for each portfolio.

    Args:
        trades: of one portfolio each.
        dialect: of the header row.
    """
    yield _lines([[dialect.field_name(camel_case(name)) for name in TradeDTO.__struct_fields__]])
    async for block in trades:
        if block:
            yield _lines([[_cell(value) for value in astuple(trade)] for trade in block])


def _lines(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case Decimal():
            return format(value, "f")
        case str():
            return neutralized(value)
        case _:
            return str(value)
