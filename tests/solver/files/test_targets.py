"""Targets: percentages or fractions for a whole column, bands, cash and sums."""

from pathlib import Path

import pytest

from solver.files.identity import Identified, common_role
from solver.planning.columns import Role
from tests.solver.files.planning import plan, rejection, trades

HELD = "symbol,quantity,price\nAAA,100,10\nBBB,50,20\n"


@pytest.mark.parametrize(
    ("targets", "because"),
    [
        ("symbol,target\nAAA,60%\nBBB,35%\n", "percentages, because they have a percent sign; they add up to 95%"),
        ("symbol,target\nAAA,60\nBBB,35\n", "percentages, because their sum is 95; they add up to 95%"),
        ("symbol,target\nAAA,0.6\nBBB,0.35\n", "fractions, because their sum is 0.95; they add up to 95%"),
        ("symbol,target %\nAAA,60\nBBB,35\n", "percentages, because the header has a percent sign"),
        ("symbol,target %\nAAA,0.6\nBBB,0.3\n", "percentages, because the header has a percent sign"),
        ("symbol,target\nAAA,0.6\nBBB,0.35\nCash,0.05\n", "fractions, because their sum is 1; they add up to 100%"),
    ],
)
def test_the_scale_is_decided_for_the_column_and_reported(targets: str, because: str, tmp_path: Path) -> None:
    """A percent sign decides, otherwise the sum."""
    outcome = plan(tmp_path, HELD, targets)
    assert outcome.code == 0, outcome.error
    assert because in " ".join(outcome.output.split())


@pytest.mark.parametrize(
    ("targets", "problem"),
    [
        ("symbol,target\nAAA,1\nBBB,0.5\n", "add up to 1.5, which is either 1.5% or 150%"),
        ("symbol,target\nAAA,1\nBBB,1\n", "either 2% or 200%"),
        ("symbol,target\nAAA,60%\nBBB,0.35\n", "line 2 has a percent sign, line 3 has none"),
        ("symbol,target\nAAA,60%\nBBB,45%\n", "add up to 105%, which is more than 100%"),
        ("symbol,target\nAAA,60\nBBB,45\n", "add up to 105%"),
        ("symbol,target\nAAA,60%\nBBB,\n", "the target is missing"),
        ("symbol,target\nAAA,60%\nBBB,-5%\n", "must be 0 or more"),
        ("symbol,target\nAAA,60%\nAAA,5%\n", "AAA has a target in line 2, too"),
        ("symbol,target\nAAA,60%\nBBB,$5\n", "is money, not a share"),
        ("symbol,target\n", "has no securities"),
        ("symbol,target,drift\nAAA,60%,2%\nBBB,30%,\n", "the drift is missing"),
        ("symbol,target,drift\nAAA,60%,2%\nBBB,30%,3\n", "some drifts have a percent sign and some have none"),
        ("symbol,target,drift\nAAA,60%,0.02\nBBB,30%,0.02\n", "either 0.02% or 2%"),
        ("symbol,target,drift\nAAA,0.6,2\nBBB,0.3,2\n", "the targets are fractions, but a drift is 2"),
        ("symbol,target,low drift\nAAA,60%,2%\nBBB,30%,2%\n", "no column for the high drift"),
        ("symbol,target,drift,low drift\nAAA,60%,2%,2%\n", "keep the one or the others"),
        ("symbol,target\nAAA,60%\nBBB,30%\nCash,5%\n", "5% remain as cash, but the targets leave 10%"),
        ("symbol,target\nAAA,60%\nBBB,30%\nCash,5%\nCash,5%\n", "states the cash twice, in lines 4 and 5"),
        ("symbol,target,low,high\nAAA,50%,45%,55%\nBBB,40%,35%,45%\n", "the numbers are either drifts or weights"),
        ("symbol,target,min,max\nAAA,50%,45%,55%\n", "is a bound of the weight"),
        ("symbol,weight,share of model\nAAA,60%,1\n", "AAA"),
    ],
)
def test_unclear_targets_are_rejected(targets: str, problem: str, tmp_path: Path) -> None:
    """Mixed scales, sums above 100% and missing values are errors that name the place."""
    if problem == "AAA":
        assert trades(tmp_path, HELD, targets)
        return
    assert problem in rejection(tmp_path, HELD, targets)


def test_without_drift_columns_there_is_no_band(tmp_path: Path) -> None:
    """A single expensive share may be far from its target without making the portfolio infeasible."""
    held = "symbol,quantity,price\nAAA,0,900\nBBB,0,10\nCash,1000,\n"
    targets = "symbol,target\nAAA,30%\nBBB,60%\n"
    assert trades(tmp_path, held, targets) == {"BBB": "60"}
    error = rejection(tmp_path, held, "symbol,target,drift\nAAA,30%,5%\nBBB,60%,5%\n")
    assert "Security AAA at 900 has no whole number of shares" in error


def test_low_and_high_drifts_are_separate(tmp_path: Path) -> None:
    """Each side of the band has its own drift, in the scale of the targets."""
    out = tmp_path / "plan.json"
    targets = "symbol;target;low drift;high drift\nAAA;50,5;2;3\nBBB;40;1;1\n"
    assert plan(tmp_path, HELD, targets, out=str(out)).code == 0
    content = out.read_text()
    assert '"target": 0.505' in content
    assert '"highDrift": 0.03' in content
    assert '"lowDrift": 0.02' in content


def test_a_target_of_zero_is_sold(tmp_path: Path) -> None:
    """Zero means that nothing shall be held."""
    assert trades(tmp_path, HELD, "symbol,target\nAAA,0\nBBB,0.9\n")["AAA"] == "-100"


def test_cash_that_differs_by_rounding_is_accepted(tmp_path: Path) -> None:
    """Three thirds of 33.3% and no cash are a model as people write it."""
    assert plan(tmp_path, HELD, "symbol,target\nAAA,66.6\nBBB,33.3\nCash,0\n").code == 0


def test_a_total_below_the_targets_is_ignored_and_reported(tmp_path: Path) -> None:
    """A total row would double the sum."""
    outcome = plan(tmp_path, HELD, "symbol,target\nAAA,60%\nBBB,35%\nTotal,95%\n")
    assert outcome.code == 0, outcome.error
    assert "line 4 is a total and is ignored" in " ".join(outcome.output.split())


@pytest.mark.parametrize(
    ("prices", "role"),
    [([], Role.SYMBOL), ([Identified("prices.csv", 1, {Role.ISIN: "US01"})], Role.ISIN)],
    ids=["none", "one"],
)
def test_files_are_matched_by_an_identifier_that_only_some_rows_of_each_have(
    prices: list[Identified], role: Role
) -> None:
    """An identifier that every file has in some row is better than one that a file lacks; no rows are no obstacle."""
    mixed = [Identified("a.csv", 1, {Role.ISIN: "US01"}), Identified("a.csv", 2, {Role.SYMBOL: "AAA"})]
    groups = [("targets", mixed), ("holdings", list(reversed(mixed))), ("prices", prices)]
    assert common_role(groups) == (role,) * 3
