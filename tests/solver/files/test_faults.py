"""Everything that is wrong is reported at once, and a rejection leaves nothing behind."""

import os
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from solver import InvalidInput, InvalidRules, rebalance
from tests.solver.files.planning import plan

HELD = "symbol,quantity,price\nAAA,100,10\nBBB,50,20\nCash,,500\n"
TARGETS = "symbol,target,low drift,high drift\nAAA,50%,5%,5%\nBBB,40%,5%,5%\n"


def errors(directory: Path, holdings: str, targets: str, **options: str) -> list[str]:
    """Return the lines of a rejection, without the directory."""
    outcome = plan(directory, holdings, targets, **options)
    assert outcome.code == 1, outcome.output
    assert "Traceback" not in outcome.error
    return [line.removeprefix("error: ").replace(f"{directory}/", "") for line in outcome.error.splitlines()]


def test_all_faults_of_all_files_are_reported_together(tmp_path: Path) -> None:
    """Wrong cells of the holdings, the targets, the prices, the rules and the options are named in one attempt."""
    found = errors(
        tmp_path,
        "symbol,quantity,price\nAAA,many,10\nBBB,50,-3\nCCC,,5\nDDD,5%,1\nCash,,500\n",
        "symbol,target,low drift,high drift\nAAA,-5%,x,5%\nBBB,,5%,y\n",
        prices="symbol,price\nAAA,0\nBBB,z\n",
        rules='{"goal": "BEST", "lotSize": -1, "fees": 3, "minimumCash": "-1", "lotSizes": {"AAA": 0}}',
        cash="lots",
        out=str(tmp_path / "trades.txt"),
    )
    assert [line.partition(": ")[0] for line in found] == [
        "--out",
        "--cash",
        *["rules.json"] * 5,
        'holdings.csv, line 2, column "quantity"',
        'holdings.csv, line 3, column "price"',
        'holdings.csv, line 4, column "quantity"',
        'holdings.csv, line 5, column "quantity"',
        'targets.csv, line 2, column "target"',
        'targets.csv, line 2, column "low drift"',
        'targets.csv, line 3, column "target"',
        'targets.csv, line 3, column "high drift"',
        'prices.csv, line 2, column "price"',
        'prices.csv, line 3, column "price"',
    ]
    rules = [line.removeprefix("rules.json: ") for line in found if line.startswith("rules.json")]
    assert [rule.partition(":")[0].partition(" is not")[0] for rule in rules] == [
        "goal",
        "lotSize",
        "'fees'",
        "minimumCash",
        "lotSize of AAA",
    ]


@pytest.mark.parametrize(
    ("holdings", "targets", "places"),
    [
        (HELD + "AAA,1,10\nBBB,2,20\n", TARGETS + "AAA,1%,1%,1%\n", ["targets.csv, line 4", "holdings.csv, line 5",
                                                                     "holdings.csv, line 6"]),
        ("symbol,quantity,price\nAAA,1,\nBBB,2,20\nCCC,3,\n", TARGETS,
         ['holdings.csv, line 2, column "price"', 'holdings.csv, line 4, column "price"']),
        (HELD, "symbol,target,drift\nAAA,50%,\nBBB,40%,\n",
         ['targets.csv, line 2, column "drift"', 'targets.csv, line 3, column "drift"']),
        (HELD, "symbol,target,low drift,high drift\nAAA,50%,150%,5%\nBBB,40%,5%,200%\n",
         ['targets.csv, line 2, column "low drift"', 'targets.csv, line 3, column "high drift"']),
        ("symbol,quantity\nAAA,1\nBBB,2\n", TARGETS, ["holdings.csv, line 2"]),
    ],
    ids=["repeated", "unpriced", "without drift", "wide drift", "no price column"],
)  # fmt: skip
def test_each_fault_has_its_place(tmp_path: Path, holdings: str, targets: str, places: list[str]) -> None:
    """Faults that only appear when rows or files are compared are reported together, too."""
    assert [line.partition(": ")[0] for line in errors(tmp_path, holdings, targets)] == places


def test_a_file_full_of_faults_is_reported_in_twenty_lines(tmp_path: Path) -> None:
    """Of more faults than a person reads, the first twenty are named and the others counted."""
    found = errors(tmp_path, "symbol,quantity,price\n" + "".join(f"S{n},x,1\n" for n in range(50)), TARGETS)
    assert len(found) == 21
    assert found[-1] == "and 30 more"


def test_rules_of_the_library_are_checked_together() -> None:
    """The error of a caller in Python names every rule by the API's name and has the sentences as data."""
    with pytest.raises(InvalidRules, match="minimumCash: must be 0 or more") as caught:
        rebalance({}, {"A": 1}, {"A": 1}, 5, {"minimum_cash": -1, "feeRate": 2})
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["minimumCash", "feeRate"]


def test_wrong_types_of_options_are_named() -> None:
    """A date as text and tickers as a list are errors that say what is accepted, and no plan that fails later."""
    arguments = ({"A": 1}, {"A": Decimal("0.5")}, {"A": 1}, 5)
    with pytest.raises(InvalidInput, match=r"trade_date: must be a datetime\.date"):
        rebalance(*arguments, trade_date="2026-11-27")  # type: ignore[call-overload]
    with pytest.raises(InvalidInput, match=r"trade_date: must be a datetime\.date"):
        rebalance(*arguments, trade_date=datetime(2026, 11, 27))  # noqa: DTZ001 - the wrong type is the point
    with pytest.raises(InvalidInput, match="tickers: must be a mapping"):
        rebalance(*arguments, tickers=["A"])  # type: ignore[call-overload]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_without_room_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    """If the plan cannot be shown, the command says so in one line and writes no file either."""
    (tmp_path / "h.csv").write_text(HELD)
    (tmp_path / "t.csv").write_text(TARGETS)
    command = [sys.executable, "-m", "solver", "h.csv", "t.csv", "--out", "trades.csv"]
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command,
            check=False,
            cwd=tmp_path,
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert (ended.returncode, ended.stderr) == (1, "error: the output cannot be written: No space left on device\n")
    assert not (tmp_path / "trades.csv").exists()
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command],
        check=False, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, timeout=120,
    )  # fmt: skip
    assert (closed.returncode, closed.stderr) == (0, "")
    assert (tmp_path / "trades.csv").exists()
