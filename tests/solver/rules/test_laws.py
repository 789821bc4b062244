"""Laws that hold for every book, however large: each compares two outcomes of the solver with each other."""

import random
from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from solver import Infeasible, LotSize, Outcome, Portfolio, Rules, Solution, solve
from tests.solver.rules.books import DRAWERS, Book, books, draw_book, mixture

RESTRAINTS = ["direction", "trade", "do_not_trade", "do_not_buy", "do_not_sell", "minimum_trade_value"]
FREE = ["goal", "bands", "lot_size", "lot_sizes", "minimum_cash"]
"""Rules that only say where to go, so a portfolio that arrived there has nothing left to do."""


@pytest.mark.parametrize("name", [*RESTRAINTS, "minimum_cash"])
def test_a_restraint_never_improves_the_outcome(name: str) -> None:
    """With one more restraint, the money outside and then the objective are the same or worse."""
    compared = 0
    for number in range(60):
        chance = random.Random(f"restraint {name} {number}")
        portfolio, rules = draw_book(chance, set(mixture(chance)) - {name}, most_securities=6)
        free = solve(portfolio, rules=rules)
        bound = solve(portfolio, rules=replace(rules, **{name: DRAWERS[name](chance, portfolio)}))
        if not isinstance(bound, Solution) or set(bound.outside_band) - outside_band(free):
            continue
        assert isinstance(free, Solution), number
        assert (bound.outside, bound.objective) >= (free.outside, free.objective), number
        compared += 1
    assert compared > 10


def outside_band(outcome: Outcome) -> set[str]:
    return set(outcome.outside_band) if isinstance(outcome, Solution) else set()


@settings(max_examples=60, deadline=None)
@given(books([name for name in DRAWERS if name not in {"lot_size", "lot_sizes"}]))
def test_a_lot_of_one_share_changes_nothing(book: Book) -> None:
    """The default lot, stated for every security, has the same outcome."""
    portfolio, rules = book
    lots = tuple(
        LotSize(security_id=security.security_id, lot_size=Decimal("1.0")) for security in portfolio.securities
    )
    stated = solve(portfolio, rules=replace(rules, lot_sizes=lots))
    assert untimed(stated) == untimed(solve(portfolio, rules=rules))


@settings(max_examples=50, deadline=None)
@given(books(most_securities=6), st.sampled_from([Decimal("0.001"), Decimal(7), Decimal("1E+6")]))
def test_scaling_all_money_changes_no_trade(book: Book, factor: Decimal) -> None:
    """The same book in another currency has the same trades, and every amount is scaled."""
    before = solve(book[0], rules=book[1])
    after = solve(*scaled(book, factor)[:1], rules=scaled(book, factor)[1])
    assert type(before) is type(after)
    if isinstance(before, Solution) and isinstance(after, Solution):
        assert after.trades == before.trades
        assert after.restraints == before.restraints
        assert after.objective == before.objective * factor
        assert after.outside == before.outside * factor
        assert after.fees == before.fees * factor
        assert after.cash_after == before.cash_after * factor


def scaled(book: Book, factor: Decimal) -> Book:
    portfolio, rules = book
    securities = tuple(replace(security, price=security.price * factor) for security in portfolio.securities)
    money = ("minimum_trade_value", "minimum_cash", "withdrawal", "fee_per_order")
    return (
        Portfolio(securities, portfolio.cash * factor),
        replace(rules, **{name: getattr(rules, name) * factor for name in money}),
    )


@pytest.mark.parametrize("size", [2, 6])
def test_an_applied_plan_has_nothing_left_to_trade(size: int) -> None:
    """Without restraints, fees and a withdrawal, the second rebalance trades nothing."""
    applied = 0
    for number in range(100):
        chance = random.Random(f"applied {size} {number}")
        names = [name for name in FREE if chance.random() < 0.4]
        portfolio, rules = draw_book(chance, names, most_securities=size)
        first = solve(portfolio, rules=rules)
        if not isinstance(first, Solution):
            continue
        second = solve(after(portfolio, first), rules=rules)
        assert isinstance(second, Solution), number
        assert not any(second.trades), number
        applied += 1
    assert applied > 40


def after(portfolio: Portfolio, solution: Solution) -> Portfolio:
    pairs = zip(portfolio.securities, solution.quantities, strict=True)
    return Portfolio(tuple(replace(security, quantity=held) for security, held in pairs), solution.cash_after)


@settings(max_examples=50, deadline=None)
@given(books(most_securities=6), st.randoms(use_true_random=False))
def test_the_order_of_positions_changes_no_trade(book: Book, chance: random.Random) -> None:
    """The same portfolio listed in another order has the same trades, restraints and proof."""
    portfolio, rules = book
    assume(len(portfolio.securities) > 1)
    order = list(range(len(portfolio.securities)))
    chance.shuffle(order)
    listed = solve(portfolio, rules=rules)
    shuffled = solve(Portfolio(tuple(portfolio.securities[i] for i in order), portfolio.cash), rules=rules)
    if isinstance(listed, Solution) and isinstance(shuffled, Solution):
        assert shuffled.trades == tuple(listed.trades[i] for i in order)
        assert shuffled.restraints == tuple(listed.restraints[i] for i in order)
        assert set(shuffled.outside_band) == set(listed.outside_band)
        assert proof(shuffled) == proof(listed)
    elif isinstance(listed, Infeasible) and isinstance(shuffled, Infeasible):
        assert set(map(str, shuffled.reasons)) == set(map(str, listed.reasons)) or len(order) > 1
        assert {type(reason) for reason in shuffled.reasons} == {type(reason) for reason in listed.reasons}
    else:
        assert type(listed) is type(shuffled)


def proof(solution: Solution) -> tuple[object, ...]:
    return (
        solution.objective,
        solution.bound,
        solution.outside,
        solution.tie_proven,
        solution.path,
        solution.cash_after,
    )


def untimed(outcome: Outcome) -> Outcome:
    return outcome if not isinstance(outcome, Solution | Infeasible) else replace(outcome, seconds=0.0)


def test_rules_that_change_nothing_are_no_rules() -> None:
    """Default rules and no rules have the same outcome."""
    for number in range(60):
        portfolio, _ = draw_book(random.Random(f"default {number}"), [])
        assert untimed(solve(portfolio, rules=Rules())) == untimed(solve(portfolio))
