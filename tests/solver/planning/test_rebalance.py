"""`solver.rebalance` accepts what people have, and returns a plan that explains itself."""

import doctest
import pkgutil
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import date
from decimal import Decimal
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import solver
import solver.planning
from solver import (
    Infeasible,
    InfeasiblePlan,
    InvalidInput,
    InvalidPortfolio,
    InvalidRules,
    LotSize,
    NoWholeShare,
    Plan,
    Portfolio,
    Restraint,
    Rules,
    Security,
    Solution,
    SolverStrategy,
    rebalance,
    solve,
)

HELD = {"AAA": 100, "BBB": 50}
PRICES = {"AAA": 10, "BBB": 20}
TARGETS = {"AAA": "0.4", "BBB": "0.55"}
EXPECTED = {"AAA": -20, "BBB": 5}

ROWS = [{"symbol": "AAA", "quantity": 100, "price": 10}, {"symbol": "BBB", "quantity": 50, "price": 20}]
TUPLES = [("AAA", 100, 10), ("BBB", 50, 20)]


@pytest.mark.parametrize(
    "holdings",
    [
        {"AAA": (100, 10), "BBB": (50, 20)},
        {"AAA": {"quantity": 100, "price": 10}, "BBB": {"shares": "50", "last price": "20"}},
        ROWS,
        TUPLES,
        pd.DataFrame(ROWS),
        pl.DataFrame(ROWS),
        pl.DataFrame(ROWS).lazy(),
        pd.DataFrame(ROWS).set_index("symbol"),
    ],
    ids=["tuples by id", "mappings by id", "rows", "tuples", "pandas", "polars", "polars lazy", "pandas index"],
)
def test_holdings_may_have_any_form(holdings: object) -> None:
    """Mappings, rows and data frames with the same content have the same plan."""
    assert rebalance(holdings, TARGETS).trades == EXPECTED


@pytest.mark.parametrize(
    "targets",
    [
        {"AAA": 0.4, "BBB": 0.55},
        {"AAA": Decimal("0.4"), "BBB": Decimal("0.55")},
        {"AAA": "40%", "BBB": "55%"},
        {"AAA": 40, "BBB": 55},
        {"AAA": 0.4, "BBB": 0.55, "cash": 0.05},
        {"AAA": (0.4, 0.02), "BBB": (0.55, 0.02, 0.03)},
        [("AAA", 0.4), ("BBB", 0.55)],
        pd.DataFrame({"ticker": ["AAA", "BBB"], "target": [0.4, 0.55]}),
        pd.Series({"AAA": 0.4, "BBB": 0.55}),
        pl.DataFrame({"ticker": ["AAA", "BBB"], "target": ["0.4", "0.55"], "drift": [0.02, 0.02]}),
    ],
    ids=["floats", "decimals", "percent signs", "percentages", "cash", "bands", "tuples", "pandas", "series", "polars"],
)
def test_targets_may_have_any_form(targets: object) -> None:
    """Fractions, percentages and bands are understood in every form."""
    assert rebalance(HELD, targets, PRICES).trades == EXPECTED


def test_numpy_numbers_count_as_what_they_are() -> None:
    """Scalars of numpy are exact if they are short decimals."""
    held = {"AAA": np.int64(100), "BBB": np.float64(50.0)}
    assert rebalance(held, TARGETS, {"AAA": np.float64(10), "BBB": np.int32(20)}).trades == EXPECTED


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ({"AAA": 0.1 + 0.2}, TARGETS, PRICES),
            "quantity of AAA: the float 0.30000000000000004 is not a short decimal",
        ),
        (({"AAA": "1,000"}, TARGETS, PRICES), "quantity of AAA: must be a plain number such as 1234.5, is '1,000'"),
        (({"AAA": float("nan")}, TARGETS, PRICES), "quantity of AAA: must be a finite number"),
        (({"AAA": None}, TARGETS, PRICES), "quantity of AAA: is missing"),
        (({"AAA": True}, TARGETS, PRICES), "quantity of AAA: must be a number, is True"),
        (({"AAA": np.float32(0.1)}, TARGETS, PRICES), "is not a short decimal"),
        ((HELD, TARGETS, {"AAA": 10}), "price: BBB has no price"),
        ((HELD, TARGETS, {"AAA": 10, "BBB": 0}), "price of BBB: must be above 0"),
        ((HELD, {"AAA": 0.7, "BBB": 0.5}, PRICES), "targets: their sum is 1.2"),
        ((HELD, {"AAA": "40%", "BBB": 0.5}, PRICES), "some have a percent sign and some have none"),
        ((HELD, {"AAA": -0.1}, PRICES), "target of AAA: must be 0 or more"),
        ((HELD, {"AAA": (0.4, 2)}, PRICES), "the targets are fractions, but a drift is 2"),
        ((HELD, [("AAA", 0.4), ("AAA", 0.4)], PRICES), "targets: AAA appears twice"),
        (([("AAA", 1), ("AAA", 2)], TARGETS, PRICES), "holdings: AAA appears twice"),
        ((5, TARGETS, PRICES), "holdings: must be a mapping, rows or a data frame, is of type int"),
        (("holdings.csv", TARGETS, PRICES), "files are read by `python -m solver`"),
        ((["AAA"], TARGETS, PRICES), "a row must be a mapping or a tuple"),
        (([{"colour": "red"}], TARGETS, PRICES), "a row has no security; its columns are colour"),
        (({1.5: 3}, TARGETS, PRICES), "a security id must be a string, is 1.5"),
        (({"AAA": 100, "CASH": 5}, TARGETS, PRICES, 6), "6 was passed, but the holdings have a cash row of 5"),
    ],
)
def test_what_is_unclear_or_inexact_is_rejected(arguments: tuple[Any, ...], problem: str) -> None:
    """The message names the value and says what is accepted."""
    with pytest.raises(InvalidInput) as rejected:
        rebalance(*arguments)
    assert problem in str(rejected.value)


def test_accounts_of_a_frame_are_summed() -> None:
    """The same security in two accounts is one holding; twice in one account is an error."""
    rows = [{"account": "X", **ROWS[0]}, {"account": "Y", "symbol": "AAA", "quantity": 20, "price": 10}, ROWS[1]]
    made = rebalance(rows, TARGETS)
    assert {each.security_id: each.quantity_before for each in made.securities} == {"AAA": 120, "BBB": 50}
    with pytest.raises(InvalidInput, match="AAA appears twice in account X"):
        rebalance([rows[0], rows[0]], TARGETS)
    with pytest.raises(InvalidInput, match="price of AAA: is both 10 and 11"):
        rebalance([rows[0], {**rows[1], "price": 11}], TARGETS)


def plan() -> Plan:
    """Return a plan with a sale, a purchase and a security outside the targets."""
    held = {"AAA": 100, "BBB": 50, "CCC": Decimal("3.5"), "cash": 100}
    return rebalance(
        held,
        {"AAA": (0.4, 0.02), "BBB": (0.55, 0.02)},
        {**PRICES, "CCC": 8},
        rules={"feePerOrder": "0.5"},
        tickers={"AAA": "Alpha"},
        trade_date=date(2026, 11, 27),
    )


def test_a_plan_has_trades_weights_reasons_cash_and_fees() -> None:
    """Everything adds up exactly, and sales come first."""
    made = plan()
    assert list(made.trades.items()) == [("AAA", -15), ("CCC", -3), ("BBB", 9)]
    assert made.fees == Decimal("1.5")
    spent = sum(Decimal(each.trade) * (each.price or 0) for each in made.securities)
    assert made.cash_after == made.cash_before - spent - made.fees
    assert made.weights_before["AAA"] == (Decimal(1000) / 2128).quantize(Decimal("0.000001"))
    assert made.weights_after["CCC"] == Decimal("0.001880")
    assert made.reasons["CCC"] == "not in the targets: everything is sold except 0.5 shares"
    assert "above its band of 38.00% to 42.00%" in made.reasons["AAA"]
    assert made.proof.gap == 0
    assert made.drift_after < made.drift_before


def test_a_plan_explains_itself() -> None:
    """The sentences name each order, the cash and the proof."""
    text = plan().explain()
    assert "Sell 15 AAA (Alpha) at 10.00 for 150.00: above its band" in text
    assert "Buy 9 BBB at 20.00 for 180.00" in text
    assert "1.50 of which pay for the orders" in text
    assert "Proven in exact arithmetic" in text


def test_a_plan_explains_what_a_rule_kept() -> None:
    """A security that does not trade because of a rule is named with the rule."""
    text = rebalance(HELD, TARGETS, PRICES, rules={"doNotSell": ["AAA"], "minimumTradeValue": 150}).explain()
    assert "needs no orders" in text
    assert "Keep AAA: stays at 50.00%, target 40.00%, because it must not be sold." in text
    assert "Keep BBB: stays at 50.00%, target 55.00%, because a better order would be smaller than the minimum." in text


def test_a_plan_is_written_as_csv_and_frames(tmp_path: Any) -> None:
    """CSV, pandas and polars have the same columns and exact numbers."""
    path = tmp_path / "trades.csv"
    assert plan().to_csv(path) == path.read_bytes().decode()
    assert "SELL,AAA,Alpha,15,10,150,2026-11-27\r\n" in path.read_bytes().decode()
    frames: list[Any] = [plan().to_frame(), plan().to_frame("polars")]
    for frame in frames:
        assert list(frame.columns)[:2] == ["transactionType", "securityId"]
        assert list(frame["value"]) == [Decimal(150), Decimal(24), Decimal(180)]
    assert isinstance(frames[1], pl.DataFrame)
    fractional = rebalance(
        {**HELD, "CCC": 0}, {**TARGETS, "CCC": "0.03"}, {**PRICES, "CCC": 7}, rules={"lotSizes": {"CCC": 0.1}}
    )
    assert list(fractional.to_frame("polars")["quantity"])[-1] == Decimal("8.6")


def test_a_plan_shows_itself_in_a_notebook() -> None:
    """The HTML fragment has the trades and escapes names."""
    made = rebalance({"<b>": 10}, {"AAA": 0.5}, {"<b>": 10, "AAA": 5})
    content = made._repr_html_()
    assert "&lt;b&gt;" in content
    assert "<b>" not in content
    assert made.to_html().startswith("<!DOCTYPE html>")


def test_infeasible_is_an_error_or_a_value() -> None:
    """The caller chooses; both have the reasons as data and as a sentence."""
    arguments = ({"AAA": 0, "cash": 1000}, {"AAA": (0.1, 0.005)}, {"AAA": "1928.94"})
    with pytest.raises(InfeasiblePlan) as rejected:
        rebalance(*arguments)
    assert isinstance(rejected.value.reasons[0], NoWholeShare)
    assert "Security AAA at 1928.94 has no whole number of shares" in str(rejected.value)
    outcome = rebalance(*arguments, on_infeasible="return")
    assert isinstance(outcome, Infeasible)
    assert outcome.reasons == rejected.value.reasons


def test_rules_may_be_a_mapping_with_the_names_of_the_api() -> None:
    """camelCase, snake_case and `Rules` mean the same."""
    made = [
        rebalance(HELD, TARGETS, PRICES, 100, rules)
        for rules in (
            {"direction": "BUY_ONLY", "bands": "PREFERRED", "lotSizes": {"BBB": "0.5"}},
            {"direction": "BUY_ONLY", "bands": "PREFERRED", "lot_sizes": [{"securityId": "BBB", "lotSize": 0.5}]},
            Rules(
                direction=solver.Direction.BUY_ONLY,
                bands=solver.Bands.PREFERRED,
                lot_sizes=(LotSize(security_id="BBB", lot_size=Decimal("0.5")),),
            ),
        )
    ]
    assert made[0].trades == made[1].trades == made[2].trades == {"BBB": 5}
    assert {each.security_id: each.restraint for each in made[0].securities}["AAA"] is Restraint.BUY_ONLY


def test_a_held_security_without_a_price_stays_if_the_rules_say_so() -> None:
    """It is reported, is no part of the market value, and is not traded."""
    held = {**HELD, "OLD": 7}
    with pytest.raises(InvalidInput, match="OLD has no price"):
        rebalance(held, TARGETS, PRICES)
    made = rebalance(held, TARGETS, PRICES, rules={"unpriced": "HOLD"})
    assert made.trades == EXPECTED
    assert made.market_value == 2000
    assert made.warnings[0].code == "NOT_PRICED"
    assert made.securities[-1].restraint is Restraint.UNPRICED


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ({"lot": 1}, "'lot' is not a rule; the rules are goal, bands"),
        ({"goal": "BEST"}, "goal: must be TARGET or BAND, is 'BEST'"),
        ({"feeRate": 0.1 + 0.2}, "feeRate: the float"),
        ({"doNotSell": "AAA"}, "doNotSell: must be a list of security ids"),
        ({"doNotSell": ["AAA", "AAA"]}, "AAA appears more than once"),
        ({"lotSizes": [{"securityId": "AAA"}]}, "each entry must have a securityId and a lotSize"),
        ({"rules": {}}, 'put the content of "rules" at the top'),
        (["BUY_ONLY"], "must be Rules or a mapping, is of type list"),
    ],
)
def test_wrong_rules_are_rejected_by_name(rules: Any, problem: str) -> None:
    """Each message names the rule and what is accepted."""
    with pytest.raises(InvalidRules) as rejected:
        rebalance(HELD, TARGETS, PRICES, rules=rules)
    assert problem in str(rejected.value)


RIGHT = Security("AAA", Decimal(10), Decimal(5), Decimal("0.5"), Decimal(1), Decimal(1))


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda any_: solve(any_({"cash": 1})), "portfolio: must be a Portfolio, is of type dict"),
        (lambda any_: solve(Portfolio((RIGHT,), any_("5"))), "cash: must be a Decimal, such as Decimal('5')"),
        (lambda any_: solve(Portfolio(any_(None), Decimal(1))), "securities: must be a tuple of Security"),
        (lambda any_: solve(Portfolio((any_({}),), Decimal(1))), "securities[0]: must be a Security, is of type dict"),
        (lambda any_: solve(Portfolio((Security("A", any_("1")),), Decimal(1))), "price of A: must be a Decimal"),
        (lambda any_: solve(Portfolio((Security("A", any_(None)),), Decimal(1))), "must be a Decimal, is None"),
        (lambda any_: solve(Portfolio((RIGHT,), Decimal(1)), strategy=any_("fast")), "strategy: must be auto or milp"),
        (lambda any_: solve(Portfolio((RIGHT,), Decimal(1)), time_limit_seconds=any_("1")), "time_limit_seconds"),
        (lambda any_: solve(Portfolio((RIGHT,), Decimal(1)), rules=any_({"goal": "BAND"})), "rules: must be Rules"),
        (lambda any_: Rules(goal=any_("BAND")), "goal: must be a Goal, is 'BAND' of type str"),
        (lambda any_: Rules(fee_rate=any_(0.1)), "fee_rate: must be a Decimal, is 0.1 of type float"),
        (lambda any_: Rules(do_not_sell=any_("A")), "do_not_sell: must be a tuple"),
        (lambda any_: Rules(lot_sizes=any_(({},))), "lot_sizes: must be a tuple of LotSize, contains a dict"),
    ],
)
def test_wrong_types_are_named(call: Callable[[Callable[[Any], Any]], object], problem: str) -> None:
    """The public names reject a wrong type with a sentence and not with an AttributeError."""
    with pytest.raises((InvalidPortfolio, InvalidRules)) as rejected:
        call(lambda value: value)
    assert problem in str(rejected.value)


def test_the_strategy_may_be_a_string() -> None:
    """Its value means the same as the member."""
    assert isinstance(solve(Portfolio((RIGHT,), Decimal(1)), strategy=SolverStrategy("auto")), Solution)


def test_the_examples_in_docstrings_are_true() -> None:
    """Doctests of the whole package run, and there are some."""
    examples = 0
    for package in ("solver.planning", "solver.files"):
        for module in pkgutil.iter_modules(import_module(package).__path__, f"{package}."):
            result = doctest.testmod(import_module(module.name))
            assert result.failed == 0
            examples += result.attempted
    assert examples > 5


def test_importing_the_solver_is_cheap() -> None:
    """Neither numpy nor anything that reads files is loaded before it is needed."""
    import subprocess  # noqa: PLC0415 - only here

    program = (
        "import time; started = time.process_time(); import solver, sys\n"
        "print(time.process_time() - started)\n"
        "print([name for name in ('numpy', 'cvxpy', 'argparse', 'narwhals', 'csv') if name in sys.modules])"
    )
    seconds, loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert float(seconds) < 0.2
    assert loaded == "[]"


def test_the_readme_is_true() -> None:
    """Each block of Python in the README runs by itself and prints what it says."""
    readme = (Path(solver.__file__).parent / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        (expected,) = re.findall(r"print\(plan\.trades\) *# (\{.*?\})", block)
        with redirect_stdout(StringIO()) as printed:
            exec(block, {})
        assert printed.getvalue().splitlines()[0] == expected
        assert ("explain" in block) == ("Proven in exact arithmetic" in printed.getvalue())
