"""What rules mean at their edges: one small book for each statement, with the numbers that it must produce."""

from decimal import Decimal
from typing import Any

import pytest

from solver import (
    Bands,
    CashShortfall,
    Direction,
    Goal,
    Infeasible,
    LotSize,
    NegativeMarketValue,
    NoWholeShare,
    Portfolio,
    Restraint,
    Rules,
    Security,
    Solution,
    SolverStrategy,
    TradeScope,
    solve,
)
from tests.oracle.agreement import assert_right, right_outcome

D = Decimal
BUY, SELL = Direction.BUY_ONLY, Direction.SELL_ONLY


def security(name: str, price: Any, quantity: Any = 0, target: Any = 0, low: Any = 0, high: Any = 0) -> Security:
    return Security(name, *(D(str(number)) for number in (price, quantity, target, low, high)))


def outcome(cash: Any, *securities: Security, **rules: Any) -> Solution | Infeasible:
    """Solve a book with both strategies, confirm both with the judge, and return the outcome of `auto`."""
    portfolio, asked = Portfolio(securities, D(str(cash))), Rules(**rules)
    right = right_outcome(portfolio, asked)
    outcomes = [solve(portfolio, rules=asked, strategy=strategy) for strategy in SolverStrategy]
    if asked == Rules():
        outcomes += [solve(portfolio, strategy=strategy) for strategy in SolverStrategy]
    for solved in outcomes:
        assert_right(portfolio, asked, solved, right)
    assert isinstance(outcomes[0], Solution | Infeasible)
    return outcomes[0]


def solution(cash: Any, *securities: Security, **rules: Any) -> Solution:
    solved = outcome(cash, *securities, **rules)
    assert isinstance(solved, Solution), solved
    return solved


def infeasible(cash: Any, *securities: Security, **rules: Any) -> Infeasible:
    solved = outcome(cash, *securities, **rules)
    assert isinstance(solved, Infeasible), solved
    return solved


def test_a_residue_stays_and_is_not_outside_its_band() -> None:
    """Below one lot nothing can be sold: it stays without a restraint and without a warning."""
    solved = solution(0, security("A", 10, "20.4"), security("B", 10, 250), lot_sizes=(lot("B", 100),))
    assert solved.trades == (-20, -200)
    assert solved.quantities == (D("0.4"), D(50))
    assert solved.restraints == (None, None)
    assert solved.outside_band == ()


def lot(name: str, size: Any) -> LotSize:
    return LotSize(security_id=name, lot_size=D(str(size)))


def test_a_residue_with_a_target_of_zero_and_a_drift_has_a_band() -> None:
    """Only without a drift is the residue itself the band: a target of 0 with a drift limits the residue, too."""
    assert solution(50, security("A", 10, "5.4", 0, 0, "0.04")).trades == (-5,)
    found = infeasible(50, security("A", 10, "5.4", 0, 0, "0.03"))
    assert isinstance(found.reasons[0], NoWholeShare)


def test_a_residue_counts_in_the_cash() -> None:
    """A residue that is worth more than the market value leaves cash overdrawn, which is infeasible."""
    reason = infeasible(-44, security("A", 10, "4.4")).reasons
    assert isinstance(reason[0], CashShortfall)
    assert reason[0].missing == 4


@pytest.mark.parametrize(("quantity", "trade"), [(-5, 5), ("-0.3", 1), ("-2.5", 3)])
def test_a_short_position_is_covered(quantity: Any, trade: int) -> None:
    """Purchases cover a short position up to its residue."""
    assert solution(1000, security("A", 10, quantity)).trades == (trade,)


@pytest.mark.parametrize(
    ("rules", "restraint"),
    [
        ({"direction": SELL}, Restraint.SELL_ONLY),
        ({"do_not_buy": ("A",)}, Restraint.DO_NOT_BUY),
        ({"do_not_trade": ("A",)}, Restraint.DO_NOT_TRADE),
    ],
)
@pytest.mark.parametrize("bands", Bands)
def test_a_short_position_that_may_not_be_bought_stays(rules: Any, restraint: Restraint, bands: Bands) -> None:
    """A restraint that forbids covering leaves the short position and is named."""
    solved = solution(1000, security("A", 10, -5, 0, 0, 1), bands=bands, **rules)
    assert solved.trades == (0,)
    assert solved.restraints == (restraint,)
    assert solved.outside_band == ("A",)
    assert solved.outside == (50 if bands is Bands.PREFERRED else 0)


def test_only_out_of_band_covers_a_short_position() -> None:
    """A short position is never inside its band, so `OUT_OF_BAND` trades it."""
    assert solution(1000, security("A", 10, -5, 0, 1, 1), trade=TradeScope.OUT_OF_BAND).trades == (5,)


def test_everything_is_sold_at_a_market_value_of_zero() -> None:
    """Nothing has a target if there is nothing to own, so what can be sold pays the debit."""
    solved = solution(-100, security("A", 10, 10, "0.5", "0.5", "0.5"), security("B", 5))
    assert solved.trades == (-10, 0)
    assert [solved.market_value, solved.cash_after, solved.objective] == [0, 0, 0]


def test_a_withdrawal_of_everything_sells_everything() -> None:
    """A withdrawal equal to the whole worth leaves a market value of 0."""
    solved = solution(50, security("A", 10, 5, "0.9", "0.1", "0.1"), withdrawal=D(100))
    assert solved.trades == (-5,)
    assert [solved.market_value, solved.cash_after] == [0, 100]


def test_a_market_value_of_zero_with_restraints() -> None:
    """At a market value of 0, a holding that may not be sold cannot pay the debit."""
    (reason,) = infeasible(-50, security("A", 10, 5, "0.5", "0.1", "0.1"), direction=BUY).reasons
    assert isinstance(reason, CashShortfall)
    assert reason.missing == 50


def test_a_withdrawal_above_the_worth_is_infeasible() -> None:
    """A market value below 0 is the only reason that is named."""
    (reason,) = infeasible(50, security("A", 10, 5, "0.9"), withdrawal=D("100.01")).reasons
    assert isinstance(reason, NegativeMarketValue)
    assert reason.market_value == D("-0.01")


def test_an_overdraft_is_paid_by_sales() -> None:
    """Cash below 0 is brought to 0, even from securities inside their band."""
    solved = solution(-30, security("A", 10, 13, 1, 1, 1), goal=Goal.BAND)
    assert [solved.trades, solved.cash_after] == [(-3,), 0]


def test_locks_that_keep_the_cash_short_are_infeasible() -> None:
    """An overdraft that no sale may pay is infeasible, and the message names what may not be sold."""
    for rules in ({"direction": BUY}, {"do_not_sell": ("A",)}, {"do_not_trade": ("A",)}):
        for bands in Bands:
            found = infeasible(-30, security("A", 10, 13, 1, 1, 1), bands=bands, **rules)
            (reason,) = found.reasons
            assert isinstance(reason, CashShortfall)
            assert reason.missing == 30
            assert "A" in found.message
            assert "PREFERRED" not in found.message


def test_reserve_and_withdrawal_add_up() -> None:
    """After the trades, cash covers the reserve and the withdrawal together; the targets leave out the withdrawal."""
    solved = solution(0, security("A", 10, 100, 1, 1, 1), minimum_cash=D(95), withdrawal=D(200))
    assert solved.market_value == 800
    assert [solved.trades, solved.cash_after] == [(-30,), 300]
    assert solved.objective == 100


def test_a_position_below_the_minimum_trade_can_be_closed() -> None:
    """A holding without a target is sold although the order is smaller than the minimum."""
    assert solution(1000, security("A", 10, 3), minimum_trade_value=D(100)).trades == (-3,)


def test_closing_leaves_the_residue() -> None:
    """An order that closes a position down to its residue may be smaller than the minimum."""
    assert solution(1000, security("A", 10, "3.5"), minimum_trade_value=D(100)).trades == (-3,)


def test_a_minimum_trade_can_keep_a_security_outside_its_band() -> None:
    """If every order into the band is too small, the security stays as held."""
    solved = solution(80, security("A", 10, 2, "0.4", "0.1", "0.1"), minimum_trade_value=D(45))
    assert [solved.trades, solved.restraints] == [(0,), (Restraint.MINIMUM_TRADE,)]
    assert solved.outside_band == ("A",)


def test_an_order_of_exactly_the_minimum_is_allowed() -> None:
    """The minimum itself is not too small."""
    assert solution(100, security("A", 10, 0, "0.3", 1, 1), minimum_trade_value=D(30)).trades == (3,)
    assert solution(100, security("A", 10, 0, "0.3", 1, 1), minimum_trade_value=D("30.01")).trades == (4,)


def test_a_security_inside_its_band_is_not_traded() -> None:
    """`OUT_OF_BAND` keeps a holding on the edge of its band, and names itself if a trade would come closer."""
    solved = solution(60, security("A", 10, 4, "0.5", "0.1", "0.1"), trade=TradeScope.OUT_OF_BAND)
    assert [solved.trades, solved.restraints, solved.outside_band] == [(0,), (Restraint.IN_BAND,), ()]
    assert solution(50, security("A", 10, 5, "0.5", 0, 0), trade=TradeScope.OUT_OF_BAND).restraints == (None,)


def test_a_trade_that_gains_exactly_its_fee_is_not_made() -> None:
    """Of two equal objectives, the one with fewer shares traded is the result."""
    held = security("A", 10, 2, "0.3", 1, 1)
    assert solution(80, held, fee_per_order=D(10)).trades == (0,)
    assert solution(80, held, fee_per_order=D("9.99")).trades == (1,)


def test_a_band_takes_precedence_over_a_fee() -> None:
    """A holding outside the model is sold for less than its order costs, if the cash can pay it."""
    solved = solution(10, security("A", 3, 1), fee_per_order=D(5))
    assert [solved.trades, solved.fees, solved.cash_after] == [(-1,), 5, 8]
    found = infeasible(1, security("A", 3, 1), fee_per_order=D(5))
    (reason,) = found.reasons
    assert isinstance(reason, CashShortfall)
    assert reason.missing == 1
    assert "PREFERRED" in found.message


def test_a_fee_per_order_makes_the_lowest_quantity_not_the_cheapest() -> None:
    """Keeping a share can use less cash than selling it, so the lowest quantities do not decide what is feasible."""
    solved = solution(0, security("A", 3, 1, "0.5", 1, 1), fee_per_order=D(5))
    assert solved.trades == (0,)


def test_fees_are_exact() -> None:
    """A rate of many decimal places is never rounded."""
    solved = solution(100, security("A", "3.33", 0, 1, 1, 1), fee_rate=D("0.00000000123"))
    assert solved.fees == D("0.00000000123") * D("3.33") * 30
    assert solved.cash_after == 100 - D("99.9") - solved.fees


def test_a_fee_rate_binds_the_cash() -> None:
    """A purchase that fits without its fee, but not with it, is not made."""
    assert solution(100, security("A", 10, 0, 1, 1, 1)).trades == (10,)
    assert solution(100, security("A", 10, 0, 1, 1, 1), fee_rate=D("0.000001")).trades == (9,)


@pytest.mark.parametrize(("size", "bought"), [("0.001", "0.083"), ("0.00000001", "0.08333333"), ("0.25", "0")])
def test_fractional_lots(size: str, bought: str) -> None:
    """The nearest multiple of a fractional lot is bought, and no quantity in between is tried."""
    solved = solution(10_000, security("A", 60_000, 0, "0.5", "0.5", "0.5"), lot_size=D(size))
    assert solved.trades == (D(bought),)


def test_tiny_lots_if_cash_binds() -> None:
    """With lots of 1e-8, two securities share the cash to the last lot."""
    securities = [security(name, price, 0, "0.5", 1, 1) for name, price in (("A", 60_000), ("B", 3_000))]
    solved = solve(Portfolio(tuple(securities), D(10_000)), rules=Rules(lot_size=D("0.00000001"), fee_rate=D("0.001")))
    assert isinstance(solved, Solution)
    assert solved.gap == 0
    assert 0 <= solved.cash_after < D("0.0007")


def test_preferred_bands_if_the_cash_is_short() -> None:
    """A contribution that cannot fill the band buys what it can; what is missing is reported as outside."""
    held = security("A", 10, 0, "0.9", "0.1", "0.1"), security("B", 10, 50, "0.1", "0.1", "0.1")
    solved = solution(100, *held, direction=BUY, bands=Bands.PREFERRED)
    assert solved.trades == (10, 0)
    assert solved.outside == (480 - 100) + (500 - 120)
    assert solved.restraints == (None, Restraint.BUY_ONLY)
    assert solved.outside_band == ("B",)
    assert "PREFERRED" in infeasible(100, *held, direction=BUY).message


def test_preferred_bands_come_before_the_goal() -> None:
    """Money outside the bands is reduced even if that leaves the portfolio farther from its targets."""
    narrow, wide = security("A", 50, 0, "0.5", 0, "0.2"), security("B", 45, 0, "0.45", 1, 1)
    solved = solution(90, narrow, wide, bands=Bands.PREFERRED)
    assert solved.trades == (1, 0)
    assert solved.outside == 0


def test_a_band_without_a_lot_is_only_infeasible_if_it_is_required() -> None:
    """With `PREFERRED`, the nearest lot outside the band is the result, and no restraint is named."""
    narrow = security("A", 60, 0, "0.5")
    found = infeasible(100, narrow)
    (reason,) = found.reasons
    assert isinstance(reason, NoWholeShare)
    assert "PREFERRED" in found.message
    solved = solution(100, narrow, bands=Bands.PREFERRED)
    assert [solved.trades, solved.outside, solved.objective] == [(1,), 10, 10]
    assert [solved.restraints, solved.outside_band] == [(None,), ()]


def test_the_lot_decides_whether_a_band_has_a_quantity() -> None:
    """A band that holds whole shares, but no multiple of the lot, is infeasible."""
    assert solution(100, security("A", 10, 0, "0.5", "0.1", "0.1")).trades == (5,)
    found = infeasible(100, security("A", 10, 0, "0.5", "0.1", "0.1"), lot_size=D(10))
    assert [type(reason) for reason in found.reasons] == [NoWholeShare]


def test_the_goal_band_trades_to_the_edge() -> None:
    """As little as possible is traded to bring each security into its band."""
    solved = solution(70, security("A", 10, 3, "0.6", "0.2", "0.1"), goal=Goal.BAND)
    assert [solved.trades, solved.objective] == [(1,), 10]


def test_the_goal_band_then_comes_close_to_the_targets() -> None:
    """Of two equally small trades, the one that leaves less distance to the targets is the result."""
    below, above = security("A", 10, 5, "0.5", 1, 1), security("B", 10, 5, "0.4", 1, 1)
    solved = solution(-10, below, above, goal=Goal.BAND)
    assert [solved.trades, solved.objective] == [(0, -1), 10]


@pytest.mark.parametrize(
    ("rules", "restraint"),
    [
        ({"do_not_trade": ("A",), "do_not_sell": ("A",), "direction": BUY}, Restraint.DO_NOT_TRADE),
        ({"do_not_sell": ("A",), "direction": BUY}, Restraint.DO_NOT_SELL),
        ({"direction": BUY, "minimum_trade_value": D(1000)}, Restraint.BUY_ONLY),
        ({"do_not_buy": ("A",)}, None),
        ({"do_not_trade": ("elsewhere",)}, None),
        ({"direction": SELL}, None),
    ],
)
def test_the_first_restraint_that_matters_is_named(rules: Any, restraint: Restraint | None) -> None:
    """Of several restraints, the first in the documented order is named; one that removed nothing better is not."""
    assert solution(20, security("A", 10, 8, "0.5", 1, 1), **rules).restraints == (restraint,)


def test_a_locked_security_without_a_lot_in_its_band_stays() -> None:
    """A lock holds a security whose band contains no lot, instead of making the portfolio infeasible."""
    solved = solution(40, security("A", 60, 1, "0.5"), do_not_trade=("A",))
    assert solved.trades == (0,)
    for rules in ({"direction": BUY}, {"do_not_sell": ("A",)}, {"minimum_trade_value": D(500)}):
        assert isinstance(infeasible(40, security("A", 60, 1, "0.5"), **rules).reasons[0], NoWholeShare)


def test_ties_are_broken_by_security_id() -> None:
    """Equal choices leave less of the security whose id comes first, wherever it is listed."""
    same = [security(name, 30, 0, "0.45", 1, 1) for name in ("B", "A10", "A9")]
    solved = solution(65, *same[:2])
    assert solved.quantities == (D(1), D(1))
    assert solution(40, *same[:2]).quantities == (D(1), D(0))
    assert solution(40, *reversed(same[:2])).quantities == (D(0), D(1))
    assert solution(75, *same).quantities == (D(1), D(0), D(1))


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e-4])
def test_no_time_limit_breaks_a_proof(seconds: float) -> None:
    """However early the clock ends the search, the outcome is the right one or says that it is not proven."""
    securities = tuple(security(f"S{i}", 97 + 13 * i, i % 3, "0.0475", 1, 1) for i in range(20))
    portfolio, rules = Portfolio(securities, D(9_000)), Rules(fee_per_order=D("1.5"), minimum_trade_value=D(150))
    proven = solve(portfolio, rules=rules)
    assert isinstance(proven, Solution)
    solved = solve(portfolio, rules=rules, time_limit_seconds=seconds)
    if isinstance(solved, Solution):
        assert [solved.gap, solved.objective] == [0, proven.objective]
