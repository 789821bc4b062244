"""Why the documentation warns against dropping orders from a finished plan."""

import random
import re
from decimal import Decimal
from pathlib import Path

from solver import Portfolio, Rules, Solution, solve
from tests.oracle.rules import Book
from tests.solver.rules.books import draw_book

DOCUMENT = Path(__file__).parents[3] / "docs" / "mathematics.md"


def test_dropping_small_orders_from_a_correct_plan_breaks_it_as_often_as_documented() -> None:
    """Count the plans that lose orders to a minimum trade, and those that then overdraw the cash or leave a band."""
    filtered = overdrawn = outside = broken = 0
    for number in range(400):
        portfolio, rules = draw_book(random.Random(f"filter {number}"), ["minimum_trade_value"])
        plan = solve(portfolio, rules=Rules())
        if not isinstance(plan, Solution):
            continue
        kept = without_small_orders(portfolio, plan, rules)
        if kept == plan.trades:
            continue
        filtered += 1
        overspends = overdraws(portfolio, kept)
        leaves = leaves_a_band(portfolio, kept)
        overdrawn += overspends
        outside += leaves
        broken += overspends or leaves
    sentence = f"Of {filtered} random plans that lost an order, {broken} broke"
    documented = re.sub(r"\s+", " ", DOCUMENT.read_text())
    assert f"{sentence}: {overdrawn} overdrew the cash and {outside} left a band." in documented


def without_small_orders(portfolio: Portfolio, plan: Solution, rules: Rules) -> tuple[int | Decimal, ...]:
    kept = []
    for security, trade, after in zip(portfolio.securities, map(Decimal, plan.trades), plan.quantities, strict=True):
        allowed = abs(trade) * security.price >= rules.minimum_trade_value or 0 <= after < 1
        kept.append(trade if allowed else Decimal(0))
    return tuple(kept)


def overdraws(portfolio: Portfolio, trades: tuple[int | Decimal, ...]) -> bool:
    spent = (security.price * trade for security, trade in zip(portfolio.securities, trades, strict=True))
    return sum(spent, Decimal(0)) > portfolio.cash


def leaves_a_band(portfolio: Portfolio, trades: tuple[int | Decimal, ...]) -> bool:
    lines = Book(portfolio, Rules(), None).lines
    return any(not line.in_band(int(line.held + trade)) for line, trade in zip(lines, trades, strict=True))
