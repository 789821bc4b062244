"""No result under rules leaves the solver that breaks a rule, overspends, or contradicts its proof."""

import re
from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace

from solver import Bands, Direction, Portfolio, Rules, Security, TradeScope
from solver.ruled.book import open_book
from solver.ruled.plain import open_plain
from solver.ruled.verification import Checked, verify, verify_plain
from solver.verification import VerificationError

D = Decimal

PORTFOLIO = Portfolio(
    (
        Security("A", D(10), D(10), D("0.3"), D("0.1"), D("0.1")),
        Security("B", D(5), D(0), D("0.3"), D("0.1"), D("0.1")),
    ),
    D(100),
)
"""Worth 200: the bands allow 40 to 80 of each, and selling 4 of A and buying 12 of B meets both targets."""

BEST = (-4, 12)


def checked(rules: Rules, trades: tuple[int, int] = BEST, portfolio: Portfolio = PORTFOLIO) -> Checked:
    """Verify trades in arrays and in lists, which must agree."""
    plain = open_plain(portfolio, rules)
    try:
        found = verify(open_book(portfolio, rules), np.array(trades))
    except VerificationError as error:
        with pytest.raises(VerificationError, match=re.escape(str(error))):
            verify_plain(plain, trades)
        raise
    assert verify_plain(plain, trades) == found
    return found


def test_what_is_true_of_trades_under_rules_is_recomputed() -> None:
    """Fees are charged for each order and each unit of value, and are part of the objective."""
    rules = Rules(fee_per_order=D(1), fee_rate=D("0.01"))
    book = open_book(PORTFOLIO, rules)
    found = checked(rules)
    assert (book.money(found.fees), book.money(found.cash_after)) == (D(3), D(77))
    assert (found.outside, found.beyond) == (0, ())
    assert book.money(found.objective) == D(3)


@pytest.mark.parametrize(
    ("rules", "trades", "security"),
    [
        (Rules(do_not_trade=("A",)), BEST, 0),
        (Rules(do_not_buy=("B",)), BEST, 1),
        (Rules(do_not_sell=("A",)), BEST, 0),
        (Rules(direction=Direction.BUY_ONLY), BEST, 0),
        (Rules(direction=Direction.SELL_ONLY), BEST, 1),
        (Rules(minimum_trade_value=D("40.01")), BEST, 0),
        (Rules(minimum_trade_value=D("60.01"), do_not_trade=("A",)), (0, 12), 1),
        (Rules(bands=Bands.PREFERRED), (-11, 12), 0),
    ],
    ids=[
        "locked",
        "no buying",
        "no selling",
        "buys only",
        "sells only",
        "small sale",
        "small purchase",
        "more than held",
    ],
)
def test_a_trade_that_a_rule_forbids_is_found(rules: Rules, trades: tuple[int, int], security: int) -> None:
    """The error names the security."""
    with pytest.raises(VerificationError, match=f"a rule forbids the trade of security {security}"):
        checked(rules, trades)


def test_a_trade_within_the_band_is_found_if_only_those_outside_may_trade() -> None:
    """A holding on the edge of its band counts as inside."""
    inside = Portfolio((PORTFOLIO.securities[0], replace(PORTFOLIO.securities[1], quantity=D(8))), D(60))
    with pytest.raises(VerificationError, match="a rule forbids the trade of security 1"):
        checked(Rules(trade=TradeScope.OUT_OF_BAND), (-4, 4), inside)


@pytest.mark.parametrize(
    ("kept", "short"),
    [
        (Rules(minimum_cash=D(80)), Rules(minimum_cash=D("80.01"))),
        (Rules(minimum_cash=D(78), fee_per_order=D(1)), Rules(minimum_cash=D("78.01"), fee_per_order=D(1))),
        (Rules(minimum_cash=D(79), fee_rate=D("0.01")), Rules(minimum_cash=D("79.01"), fee_rate=D("0.01"))),
    ],
    ids=["no fees", "fee for each order", "fee by value"],
)
def test_cash_below_the_minimum_is_found(kept: Rules, short: Rules) -> None:
    """The minimum is kept to the cent, after trades and fees."""
    assert checked(kept).beyond == ()
    with pytest.raises(VerificationError, match="the trades overspend by 1"):
        checked(short)


def test_money_to_be_withdrawn_is_not_spent() -> None:
    """Bands refer to the value without the withdrawal, which is part of the cash afterwards."""
    rules = Rules(withdrawal=D(20), minimum_cash=D(72))
    book = open_book(PORTFOLIO, rules)
    found = checked(rules, (-5, 11))
    assert book.money(found.cash_after) == D(95)
    with pytest.raises(VerificationError, match="overspend"):
        checked(Rules(withdrawal=D(20), minimum_cash=D("75.01")), (-5, 11))


def test_a_security_outside_a_required_band_is_found() -> None:
    """A preferred band reports the distance instead."""
    with pytest.raises(VerificationError, match="security 0 is outside its band"):
        checked(Rules(), (-1, 12))
    book = open_book(PORTFOLIO, Rules(bands=Bands.PREFERRED))
    found = checked(book.rules, (-1, 12))
    assert (book.money(found.outside), found.beyond) == (D(10), (0,))


def test_a_short_position_that_could_be_covered_is_found() -> None:
    """Preferred bands excuse no short position."""
    short = Portfolio((replace(PORTFOLIO.securities[0], quantity=D(-5)), PORTFOLIO.securities[1]), D(250))
    with pytest.raises(VerificationError, match="security 0 stays short"):
        checked(Rules(bands=Bands.PREFERRED), (0, 12), short)


def test_a_bound_under_rules_that_is_beaten_is_found() -> None:
    """An objective equal to the bound is proven, and one below it contradicts the proof."""
    book = open_book(PORTFOLIO, Rules())
    trades = np.array((-3, 12))
    objective = verify(book, trades).objective
    assert verify(book, trades, objective).objective == objective > 0
    with pytest.raises(VerificationError, match="below its proven bound"):
        verify(book, trades, objective + 1)
    with pytest.raises(VerificationError, match="below its proven bound"):
        verify_plain(open_plain(PORTFOLIO, Rules()), (-3, 12), objective + 1)


def test_value_under_rules_that_appears_from_nowhere_is_found() -> None:
    """Cash, holdings and fees add up to the market value, to the unit."""
    book = open_book(PORTFOLIO, Rules())
    with pytest.raises(VerificationError, match="market value is not conserved"):
        verify(replace(book, cash=book.cash + 1), np.array(BEST))
    plain = open_plain(PORTFOLIO, Rules())
    with pytest.raises(VerificationError, match="market value is not conserved"):
        verify_plain(replace(plain, cash=plain.cash + 1), BEST)
