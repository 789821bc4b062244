"""Numbers in cells are read exactly, or rejected with the place and the choice."""

from decimal import Decimal
from pathlib import Path

import pytest

from solver.files.numerals import NotNumber, read_numeral
from tests.solver.files.planning import plan, rejection, trades

TARGETS = "symbol,target\nAAA,50%\nBBB,40%\n"

CERTAIN = {
    "1234": "1234",
    "0.125": "0.125",
    "0,125": "0.125",
    "1,234.50": "1234.50",
    "1.234,50": "1234.50",
    "1'234.50": "1234.50",
    "1\u2019234,50": "1234.50",
    "1 234,50": "1234.50",
    "1\u00a0234\u202f567": "1234567",
    "1,234,567": "1234567",
    "1.234.567": "1234567",
    "12,34": "12.34",
    "1234.567": "1234.567",
    ".5": "0.5",
    "5.": "5",
    "$1,234.50": "1234.50",
    "1.234,50 €": "1234.50",
    "EUR 12.50": "12.50",
    "12.50 CHF": "12.50",
    "($1,234.50)": "-1234.50",
    "$(12.50)": "-12.50",
    "-$12.50": "-12.50",
    "$-12.50": "-12.50",
    "\u221212.50": "-12.50",
    "12,50-": "-12.50",
    "+12.50": "12.50",
    "12.5%": "12.5",
    "(12.5 %)": "-12.5",
    "1.5e3": "1500",
    "1E-8": "0.00000001",
    "'123": "123",
    "-0.00": "0",
}


@pytest.mark.parametrize(("cell", "expected"), CERTAIN.items())
def test_a_certain_number_is_exact(cell: str, expected: str) -> None:
    """Signs, brackets, currencies, percent signs and separators are understood."""
    numeral = read_numeral(cell)
    assert numeral is not None
    value = numeral.value(None)
    assert value == Decimal(expected)
    assert f"{value:f}".lstrip("-").startswith(f"{abs(Decimal(expected)):f}"[:1])


@pytest.mark.parametrize("cell", ["", "--", "n/a", "N/A", " - ", "NaN", "None", "\u2014"])
def test_an_empty_cell_is_no_number(cell: str) -> None:
    """What brokers write for nothing is nothing, and not zero."""
    assert read_numeral(cell) is None


@pytest.mark.parametrize(
    "cell",
    ["abc", "1.2.3", "1,23,456", "1.234,567.8", "12 34", "--5", "(-5)", "5%%", "$5€", "1/2", "0x10", "inf", "1e999",
     "10 shares", "\u0661\u0662", "1,2345,678", "5-3", "=1+1", "9" * 41],
)  # fmt: skip
def test_what_is_no_number_is_rejected(cell: str) -> None:
    """Nothing is guessed from a cell that is no number."""
    with pytest.raises(NotNumber):
        value_of(cell)


def value_of(cell: str) -> Decimal:
    """Read a cell that is not empty."""
    numeral = read_numeral(cell)
    assert numeral is not None
    return numeral.value(None)


def test_an_ambiguous_number_names_file_line_column_and_the_choice(tmp_path: Path) -> None:
    """A "1,234" that nothing else decides is an error, and nothing is written."""
    error = rejection(tmp_path, 'symbol,quantity,price\nAAA,"1,234",10\nBBB,5,20\n', TARGETS)
    assert 'holdings.csv, line 2, column "quantity"' in error
    assert '"1,234" is either 1234 or 1.234' in error


@pytest.mark.parametrize(
    ("holdings", "shares"),
    [
        ('symbol,quantity,price\nAAA,"1,234",10\nBBB,"1,234.5",20\n', "1234"),
        ('symbol,quantity,price\nAAA,"1,234",10.25\nBBB,5,20\n', "1234"),
        ('symbol,quantity,price\nAAA,"1,234","10,25"\nBBB,5,20\n', "1.234"),
        ("symbol;quantity;price\nAAA;1.234;10,25\nBBB;5;20\n", "1234"),
        ("symbol;quantity;price\nAAA;1.234;10.25\nBBB;5;20\n", "1.234"),
        ('symbol,quantity,price\nAAA,"1,234",10\nBBB,"1,234,567",20\n', "1234"),
        ("symbol,quantity,price\nAAA,1.234,10\nBBB,5,20\n", "1.234"),
    ],
)
def test_other_numbers_decide_an_ambiguous_one(holdings: str, shares: str, tmp_path: Path) -> None:
    """The column decides first, then the other columns; commas between columns leave points for decimals."""
    out = tmp_path / "plan.json"
    assert plan(tmp_path, holdings, TARGETS, out=str(out)).code == 0
    assert f'"originalQuantity": {shares},' in out.read_text()


def test_a_column_with_both_separators_is_an_error(tmp_path: Path) -> None:
    """Decimal points and commas in one column contradict each other."""
    error = rejection(tmp_path, 'symbol;quantity;price\nAAA;1;"10,5"\nBBB;5;20.25\n', TARGETS)
    assert 'line 3, column "price"' in error
    assert "line 3 has a decimal point, line 2 a decimal comma" in error


def test_an_unquoted_thousand_is_seen(tmp_path: Path) -> None:
    """A separator of thousands that splits a cell shifts the columns, which is an error."""
    error = rejection(tmp_path, "symbol,quantity,price\nAAA,1,234,10\n", TARGETS)
    assert "line 2" in error
    assert "more cells than the header (4 instead of 3)" in error


def test_negative_quantities_in_brackets_are_short(tmp_path: Path) -> None:
    """A short position is closed."""
    held = "symbol,quantity,price\nAAA,(12),10\nBBB,100,20\n"
    assert trades(tmp_path, held, "symbol,target\nBBB,90%\n")["AAA"] == "12"


@pytest.mark.parametrize(
    ("option", "problem"),
    [("1,234", "either 1234 or 1.234"), ("ten", "not a number"), ("5%", "not an amount"), ("", "not an amount")],
)
def test_cash_on_the_command_line_is_read_with_the_same_care(option: str, problem: str, tmp_path: Path) -> None:
    """--cash accepts what a cell accepts, and rejects what is ambiguous."""
    error = rejection(tmp_path, "symbol,quantity,price\nAAA,1,10\nBBB,1,10\n", TARGETS, cash=option)
    assert error.startswith("error: --cash:")
    assert problem in error
    assert trades(tmp_path, "symbol,quantity,price\nAAA,0,10\nBBB,0,10\n", TARGETS, cash="$1,000.00") == {
        "AAA": "50", "BBB": "40"
    }  # fmt: skip
