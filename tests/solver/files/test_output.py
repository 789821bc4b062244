"""What the command prints and writes."""

import csv
import io
import json
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from solver.files import PortfolioDocument, render_report
from solver.files.terminal import Column, table
from tests.solver.files.planning import plan

HELD = (
    "isin,ticker,name,quantity,price\n"
    "US01,AAA,Alpha,100,10.10\nUS02,BBB,Beta,50.5,20\nUS03,CCC,Gamma,7,3\nCash,,,400,\n"
)
TARGETS = "isin,target,drift\nUS01,30%,5%\nUS02,60%,5%\n"
RULES = '{"lotSizes": [{"securityId": "us02", "lotSize": 0.001}]}'


def test_the_columns_of_the_csv_are_those_of_the_api(tmp_path: Path) -> None:
    """Sales come first; numbers are plain; lines end as RFC 4180 says."""
    out = tmp_path / "trades.csv"
    assert plan(tmp_path, HELD, TARGETS, out=str(out)).code == 0
    content = out.read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n") == 4
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert list(rows[0]) == ["transactionType", "securityId", "ticker", "quantity", "price", "value", "tradeDate"]
    assert [(row["transactionType"], row["securityId"], row["ticker"], row["quantity"]) for row in rows] == [
        ("SELL", "US01", "AAA", "27"),
        ("SELL", "US03", "CCC", "7"),
        ("BUY", "US02", "BBB", "23"),
    ]
    for row in rows:
        assert Decimal(row["quantity"]) * Decimal(row["price"]) == Decimal(row["value"])


def test_the_json_has_the_shape_of_the_api(tmp_path: Path) -> None:
    """One array with the fields of a rebalanced portfolio and its proof, all present and exact."""
    out = tmp_path / "plan.json"
    assert plan(tmp_path, HELD, TARGETS, out=str(out)).code == 0
    (portfolio,) = json.loads(out.read_text(), parse_float=Decimal)
    assert set(portfolio) == {
        "portfolioId", "portfolioName", "rebalanceId", "status", "marketValue", "cashBeforeRebalance",
        "cashAfterRebalance", "driftBefore", "driftAfter", "turnover", "fees", "transactions", "drifts", "warnings",
        "error", "proof",
    }  # fmt: skip
    assert set(portfolio["transactions"][0]) == {
        "transactionType", "securityId", "ticker", "quantity", "price", "tradeDate"
    }  # fmt: skip
    assert set(portfolio["drifts"][0]) == {
        "securityId", "ticker", "originalQuantity", "adjustedQuantity", "target", "highDrift", "lowDrift", "actual",
        "originalActual", "restraint",
    }  # fmt: skip
    assert set(portfolio["proof"]) == {"path", "gap", "tieProven", "objective", "bound", "outside"}
    assert portfolio["marketValue"] == 2441
    bought = sum(
        (1 if each["transactionType"] == "BUY" else -1) * each["quantity"] * each["price"]
        for each in portfolio["transactions"]
    )
    assert portfolio["cashBeforeRebalance"] - bought == portfolio["cashAfterRebalance"]
    assert [each["securityId"] for each in portfolio["drifts"]] == ["US01", "US02", "US03"]


class Elements(HTMLParser):
    """Collects the elements of a document."""

    def __init__(self) -> None:
        """Start without any."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.text += data


def test_the_html_report_is_self_contained_and_complete(tmp_path: Path) -> None:
    """One file has trades, weights, drawn bands, proof and interpretation, and loads nothing."""
    out = tmp_path / "report.html"
    assert plan(tmp_path, HELD, TARGETS, out=str(out)).code == 0
    document = Elements()
    document.feed(out.read_text())
    for tag, attributes in document.tags:
        assert tag not in ("script", "link", "img", "iframe", "object")
        assert not {"src", "href"} & set(attributes)
    assert sum(tag == "svg" for tag, _ in document.tags) == 3
    assert all(attributes.get("aria-label") for tag, attributes in document.tags if tag == "svg")
    for text in ("SELL", "US01", "AAA", "272.70", "Proven in exact arithmetic", "securities are matched by ISIN"):
        assert text in document.text


def test_the_report_can_be_embedded_under_a_strict_policy(tmp_path: Path) -> None:
    """The fragment has no style attributes or elements, and is rendered from the API's own JSON."""
    out = tmp_path / "plan.json"
    assert plan(tmp_path, HELD, TARGETS, out=str(out)).code == 0
    documents = msgspec.json.decode(out.read_bytes(), type=tuple[PortfolioDocument, ...])
    fragment = Elements()
    fragment.feed(render_report(documents))
    assert fragment.tags
    assert not [tag for tag, attributes in fragment.tags if tag in ("style", "script") or "style" in attributes]


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 120, 200])
def test_nothing_is_cut_at_any_width(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns give way and then the table becomes a list; each number stays whole on lines that fit."""
    monkeypatch.setenv("COLUMNS", str(width))
    output = plan(tmp_path, HELD, TARGETS).output.partition("\n\n")[2]
    for word in ("SELL", "BUY", "US01", "27", "23", "272.70", "460.00"):
        assert word in output.split()
    longest = max(len(word) for word in output.split())
    assert max(map(len, output.splitlines())) <= max(width, longest + 2)


def test_a_table_gives_way_column_by_column() -> None:
    """The columns with the highest rank go first; without any left, each row is a list of all cells."""
    columns = [Column("Trade"), Column("Price", right=True, rank=1), Column("Value", right=True)]
    rows = [("BUY", "10.5", "105")]
    assert table(columns, rows, 30) == ["Trade  Price  Value", "-----  -----  -----", "BUY     10.5    105"]
    assert table(columns, rows, 15) == ["Trade  Value", "-----  -----", "BUY      105"]
    assert table(columns, rows, 11) == ["Trade: BUY", "Price: 10.5", "Value: 105"]


def test_each_trade_has_a_reason(tmp_path: Path) -> None:
    """A sentence says why each security trades."""
    output = " ".join(plan(tmp_path, HELD, TARGETS).output.split())
    assert "US01: above its band of 25.00% to 35.00%: from 41.38% to 30.20%, target 30.00%" in output
    assert "US03: not in the targets: everything is sold" in output


def test_rules_of_a_file_apply_to_the_spelling_of_the_holdings(tmp_path: Path) -> None:
    """Ids in rules are found in upper and lower case; unknown ones are reported."""
    assert "the rules are goal, bands" in plan(tmp_path, HELD, TARGETS, rules='{"lots": 1}').error
    repeated = plan(tmp_path, HELD, TARGETS, rules='{"goal": "BAND", "goal": "BAND"}')
    assert repeated.code == 1
    assert "'goal' appears more than once" in repeated.error
    assert plan(tmp_path, HELD, TARGETS, rules="[1,\n").code == 1
    outcome = plan(tmp_path, HELD, TARGETS, rules='{"doNotSell": ["us03", "ZZZ"]}')
    assert "a rule names ZZZ, which is neither held nor a target" in " ".join(outcome.output.split())
    assert "SELL   US03" not in outcome.output
    out = tmp_path / "trades.csv"
    assert plan(tmp_path, HELD, TARGETS, rules=RULES, out=str(out)).code == 0
    assert ",US02,BBB,22.73,20,454.6," in out.read_text()
