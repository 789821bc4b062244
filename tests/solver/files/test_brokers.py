"""Exports of brokers are read as they are; each has a file that imitates it with made-up numbers."""

from pathlib import Path

import pytest

from tests.solver.files.planning import EXPORTS, plan, rejection, trades

TARGETS = "Symbol,ISIN,Target,Drift\nNRTH,US0000000019,50%,5%\nSUTH,IE0000000027,40%,5%\n"
GERMAN = "ISIN;Zielgewicht;Drift\nDE0000000019;50 %;5 %\nIE0000000027;40 %;5 %\n"

PLANS = {
    "schwab.csv": {"NRTH": "-31", "MMFX": "-31882", "SUTH": "77"},
    "schwab_all_accounts.csv": {"NRTH": "-43", "SUTH": "14"},
    "fidelity.csv": {"SUTH": "-25", "NRTH": "11"},
    "interactive_brokers_statement.csv": {"NRTH": "-731", "SUTH": "256"},
    "interactive_brokers_flex.csv": {"NRTH": "-498", "SUTH": "118"},
    "vanguard.csv": {"SUTH": "-8", "MMFX": "-3120", "NRTH": "28"},
    "degiro.csv": {"IE0000000027": "-298", "US0000000019": "17"},
    "wealthfolio.csv": {"SUTH": "-9", "NRTH": "12"},
    "ghostfolio.csv": {"NRTH": "-6", "SUTH": "-5"},
}
"""What each export comes to; computed by hand from market value, targets and prices."""

CASH = {
    "schwab.csv": "2,473.29",
    "schwab_all_accounts.csv": "750.00",
    "fidelity.csv": "4,180.55",
    "interactive_brokers_statement.csv": "5,817.123456789",
    "degiro.csv": "512.40",
    "wealthfolio.csv": "1,830.55",
    "ghostfolio.csv": "905.12",
}


@pytest.mark.parametrize("name", PLANS)
def test_an_export_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    """The trades are those of the positions, prices and cash of the export, without totals, footers and tax lots."""
    assert trades(tmp_path, EXPORTS / name, TARGETS) == PLANS[name]


@pytest.mark.parametrize("name", CASH)
def test_the_cash_of_an_export_is_read(name: str, tmp_path: Path) -> None:
    """The cash is that of the export, to the last digit."""
    assert f"Cash: {CASH[name]} before" in plan(tmp_path, EXPORTS / name, TARGETS).output


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("degiro_german.csv", {"IE0000000027": "-266", "DE0000000019": "23"}),
        ("spreadsheet_german.csv", {"IE0000000027": "-152", "DE0000000019": "1596"}),
    ],
)
def test_a_german_file_is_read_as_it_is(name: str, expected: dict[str, str], tmp_path: Path) -> None:
    """Semicolons or tabs, Windows-1252 or UTF-16, decimal commas, points for thousands and brackets are understood."""
    assert trades(tmp_path, EXPORTS / name, GERMAN) == expected


@pytest.mark.parametrize("name", ["schwab_transactions.csv", "wealthfolio_activities.csv"])
def test_transactions_are_no_holdings(name: str, tmp_path: Path) -> None:
    """A list of transactions is rejected as what it is."""
    assert "is a list of transactions, not of holdings" in rejection(tmp_path, EXPORTS / name, TARGETS)


def test_the_trades_of_a_plan_are_no_holdings(tmp_path: Path) -> None:
    """The command's own output is a list of transactions as well."""
    own = tmp_path / "own.csv"
    assert plan(tmp_path, EXPORTS / "schwab.csv", TARGETS, out=str(own)).code == 0
    assert "list of transactions" in rejection(tmp_path, own, TARGETS)


def test_pending_activity_must_be_settled_by_the_user(tmp_path: Path) -> None:
    """Money on its way is neither counted nor ignored silently."""
    content = (EXPORTS / "fidelity.csv").read_text("utf-8-sig")
    pending = "Z00000001,INDIVIDUAL - TOD,Pending Activity,,,,,-$1000.00,,,,,,,,,\n"
    error = rejection(tmp_path, content.replace("\n\n\n", f"\n{pending}\n\n", 1), TARGETS)
    assert "line 5" in error
    assert "is pending" in error


def test_what_is_left_out_is_reported(tmp_path: Path) -> None:
    """Totals, footers, tax lots and summed accounts are named before the plan."""
    output = plan(tmp_path, EXPORTS / "schwab_all_accounts.csv", TARGETS).output
    assert 'line 7 is not a security and is ignored: "Account Total' in " ".join(output.split())
    assert "NRTH is summed over lines 5 and 12: 120 shares" in output
    assert output.index("How the files were read") < output.index("Market value")
    statement = plan(tmp_path, EXPORTS / "interactive_brokers_statement.csv", TARGETS).output
    assert "2 tax lots are ignored" in " ".join(statement.split())
