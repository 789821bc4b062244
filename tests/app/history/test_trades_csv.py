"""Trades as a file that is safe to open."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal

import pytest

from app.history.csv import trades_as_csv
from app.history.schemas import TradeDTO
from app.http.dialect import Dialect


@pytest.mark.parametrize("name", ["=1+1", "  =1+1", "@SUM(A1)", "\t=1", "\n=1"])
async def test_a_name_is_never_a_formula_in_a_spreadsheet(name: str) -> None:
    """A portfolio's name that a spreadsheet would run as a formula is written as text."""
    trade = TradeDTO("P" * 24, name, "BUY", "S" * 24, None, Decimal(5), Decimal("1E+1"), Decimal(50), date(2026, 1, 2))

    async def trades() -> AsyncIterator[list[TradeDTO]]:
        yield [trade]

    text = b"".join([block async for block in trades_as_csv(trades(), Dialect.STANDARD)]).decode()
    header, row = csv.reader(io.StringIO(text, newline=""))
    assert dict(zip(header, row, strict=True))["portfolioName"] == f"'{name}"
    assert dict(zip(header, row, strict=True))["price"] == "10"
