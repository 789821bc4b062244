"""What the solver responds on small portfolios whose optimum a reader can check by hand."""

import random
import subprocess
import sys
from decimal import Decimal, localcontext

import pytest

from benchmarks.solver.portfolios import HARD
from solver import (
    CashShortfall,
    Infeasible,
    InvalidPortfolio,
    Portfolio,
    Security,
    Solution,
    SolutionPath,
    SolverStrategy,
    TimeLimit,
    solve,
)
from tests.oracle.judging import check


def security(name: str, price: str, held: str = "0", target: str = "0", low: str = "1", high: str = "1") -> Security:
    """Drifts that limit nothing, unless given."""
    return Security(name, Decimal(price), Decimal(held), Decimal(target), Decimal(low), Decimal(high))


def outside(name: str, price: str, held: str) -> Security:
    """Held, but not in the model."""
    return Security(name, Decimal(price), Decimal(held))


def solved(
    *securities: Security, cash: str, strategy: SolverStrategy = SolverStrategy.AUTO, path: SolutionPath | None = None
) -> Solution:
    portfolio = Portfolio(securities, Decimal(cash))
    solution = solve(portfolio, strategy=strategy)
    assert isinstance(solution, Solution)
    check(portfolio, solution)
    assert path is None or solution.path is path
    return solution


STRATEGIES = pytest.mark.parametrize("strategy", SolverStrategy)


@STRATEGIES
def test_a_band_that_begins_above_a_whole_share_asks_for_the_next(strategy: SolverStrategy) -> None:
    """The least is 423.000049 shares; rows of money at a solver's tolerances take 423."""
    one = security("A", "425.45", target="0.18", low="0.0000346499995", high="0.05")
    assert solved(one, cash="1000000", strategy=strategy).trades == (424,)


@STRATEGIES
def test_a_band_is_exact_beyond_the_digits_of_a_decimal_context(strategy: SolverStrategy) -> None:
    """The least is 423 shares and a hundredth of a quintillionth of a quintillionth; 28 digits see 423."""
    one = security("A", "1", target="0.423", low="0.00000000000000000000000000000000000001", high="0.05")
    high_only = security("A", "1", target="0.42300000000000000000000000000000000001", low="0", high="0.05")
    assert solved(one, cash="1000", strategy=strategy).trades == (423,)
    assert solved(high_only, cash="1000", strategy=strategy).trades == (424,)


def test_the_callers_decimal_context_changes_nothing() -> None:
    """Nothing is rounded to the three digits that somebody else works with."""
    book = Portfolio((security("A", "123.45", "7.5", "0.5"), security("B", "0.0123", "1", "0.3")), Decimal("98765.43"))
    with localcontext(prec=3):
        outcome = solve(book)
    expected = solve(book)
    assert isinstance(outcome, Solution)
    assert isinstance(expected, Solution)
    assert (outcome.quantities, outcome.objective) == (expected.quantities, expected.objective)
    check(book, outcome)


@STRATEGIES
@pytest.mark.parametrize(
    ("held", "trade"), [("0", 2), ("2", 0), ("3", 0), ("10", -7), ("2.5", 0), ("-1", 3), ("0.5", 2)]
)
def test_half_a_share_goes_the_way_that_trades_less(held: str, trade: int, strategy: SolverStrategy) -> None:
    """Half a percent of 100,000 at 200 a share is 2.5 shares: 2 and 3 are equally near."""
    value = Decimal(held) * 200
    solution = solved(security("A", "200", held, "0.005"), cash=str(100000 - value), strategy=strategy)
    assert solution.trades == (trade,)
    assert solution.tie_proven


@STRATEGIES
def test_where_cash_binds_the_best_combination_is_taken(strategy: SolverStrategy) -> None:
    """Both want a second share (1.58 and 1.53 on target) and the cash pays for one: the one that gains 5, not 2."""
    solution = solved(
        security("A", "30", target="0.475"), security("B", "31", target="0.475"), cash="100", strategy=strategy
    )
    assert solution.trades == (2, 1)
    assert solution.path is (SolutionPath.KNAPSACK if strategy is SolverStrategy.AUTO else SolutionPath.FULL_MILP)


@STRATEGIES
def test_a_cheap_share_is_sold_to_free_the_cents_that_a_dear_one_needs(strategy: SolverStrategy) -> None:
    """Three dear shares and 47 cheap ones leave 0.50 too little for a fourth dear one, worth more than one cheap."""
    solution = solved(
        security("dear", "13.25", target="0.50"), security("cheap", "1", "47", "0.475"), cash="53", strategy=strategy
    )
    assert solution.trades == (4, 0)
    solution = solved(
        security("dear", "13.35", target="0.52"), security("cheap", "1", "47", "0.475"), cash="53", strategy=strategy
    )
    assert solution.trades == (4, -1)


@STRATEGIES
def test_of_equally_good_combinations_the_one_that_trades_less_is_taken(strategy: SolverStrategy) -> None:
    """Two securities alike want 1.75 shares each and the cash pays for three; B is held already."""
    for first, second, trades in (("0", "2", (1, 0)), ("2", "0", (0, 1))):
        solution = solved(
            security("A", "27", first, "0.4725"), security("B", "27", second, "0.4725"), cash="46", strategy=strategy
        )
        assert solution.trades == trades
        assert solution.tie_proven


@STRATEGIES
def test_a_tie_that_does_not_fit_is_decided_with_the_cash(strategy: SolverStrategy) -> None:
    """B would keep both shares where 1.5 are wanted; A's second share needs the cash, and to sell a B costs nothing."""
    solution = solved(security("A", "30", "0", "0.5"), security("B", "30", "2", "0.45"), cash="40", strategy=strategy)
    assert solution.trades == (2, -1)
    assert solution.tie_proven


def test_what_the_model_does_not_want_is_sold() -> None:
    """A security without a target is sold completely."""
    assert solved(outside("A", "10", "7"), cash="30").trades == (-7,)


def test_a_short_position_is_bought_back() -> None:
    """Quantities afterwards are never negative, with a target and without."""
    solution = solved(outside("A", "10", "-3"), security("B", "7", "-2", "0.5"), cash="144")
    assert solution.quantities == (Decimal(0), Decimal(7))


def test_an_overdraft_is_paid_back() -> None:
    """Twenty shares on credit: eight of them are sold, because cash afterwards must not be negative."""
    solution = solved(security("A", "10", "20", "0.95", "1", "1"), cash="-75")
    assert solution.quantities == (Decimal(12),)
    assert solution.cash_after == 5


class TestFractions:
    """Orders are whole shares, so the fraction of a share that is held stays."""

    def test_a_fraction_counts_towards_the_target(self) -> None:
        """Ten of 100 are wanted of 5.75 held at 1: four more make 9.75, nearer than the 10.75 of five."""
        solution = solved(security("A", "1", "5.75", "0.10"), cash="94.25")
        assert solution.trades == (4,)
        assert solution.quantities == (Decimal("9.75"),)

    def test_without_a_target_the_fraction_is_left_over(self) -> None:
        """Whole shares are sold, and the part of a share stays outside the band."""
        solution = solved(outside("A", "10", "3.4"), cash="66")
        assert solution.trades == (-3,)
        assert solution.quantities == (Decimal("0.4"),)
        assert solution.objective == 4

    def test_of_a_short_fraction_the_next_whole_share_is_bought(self) -> None:
        """-2.25 shares become 0.75 by buying three: fewer would leave a short position."""
        assert solved(outside("A", "10", "-2.25"), cash="122.5").quantities == (Decimal("0.75"),)

    def test_a_fraction_above_its_band_is_infeasible_where_there_is_a_target(self) -> None:
        """0.9 shares of 100 are 9%, the band ends at 5%, and nothing can be sold."""
        outcome = solve(Portfolio((security("A", "100", "0.9", "0.04", "0.01", "0.01"),), Decimal(910)))
        assert isinstance(outcome, Infeasible)

    def test_a_fraction_that_the_overdraft_needs_is_cash_that_is_missing(self) -> None:
        """0.9 shares of 100 cannot be sold to pay back 80."""
        outcome = solve(Portfolio((outside("A", "100", "0.9"),), Decimal(-80)))
        assert isinstance(outcome, Infeasible)
        (reason,) = outcome.reasons
        assert isinstance(reason, CashShortfall)
        assert reason.missing == 80


@STRATEGIES
def test_a_portfolio_worth_nothing_sells_everything_to_pay_its_debit(strategy: SolverStrategy) -> None:
    """Every target of a market value of 0 is 0; without holdings there is nothing to do."""
    empty = solved(security("A", "10", target="0.5"), cash="0", path=SolutionPath.NOTHING_TO_DO, strategy=strategy)
    assert empty.trades == (0,)
    assert solved(cash="0", path=SolutionPath.NOTHING_TO_DO, strategy=strategy).trades == ()
    on_credit = solved(security("A", "10", "100", "0.5"), cash="-1000", strategy=strategy)
    assert on_credit.trades == (-100,)
    assert on_credit.cash_after == on_credit.objective == on_credit.gap == 0
    hedged = solved(security("A", "10", "5"), security("B", "10", "-5", "0.1"), cash="0", strategy=strategy)
    assert hedged.trades == (-5, 5)


def test_a_portfolio_worth_nothing_cannot_pay_its_debit_with_a_fraction() -> None:
    """Half a share cannot be sold, so 5 of the debit would remain."""
    outcome = solve(Portfolio((security("A", "10", "100.5", "0.5"),), Decimal(-1005)))
    assert isinstance(outcome, Infeasible)
    (reason,) = outcome.reasons
    assert isinstance(reason, CashShortfall)
    assert reason.missing == 5


def test_a_portfolio_without_securities_keeps_its_cash() -> None:
    """The solution has no trades."""
    assert solved(cash="12.34").cash_after == Decimal("12.34")


@STRATEGIES
def test_out_of_time_there_is_no_response_but_what_is_known(strategy: SolverStrategy) -> None:
    """No time at all: the limit is reported with verified quantities' objective and a true bound, not as zeros."""
    book = HARD["subset sums"](random.Random(1), 50)
    outcome = solve(book, strategy=strategy, time_limit_seconds=0.0)
    optimum = solve(book)
    assert isinstance(outcome, TimeLimit)
    assert isinstance(optimum, Solution)
    assert outcome.objective is not None
    assert outcome.bound is not None
    assert outcome.bound <= optimum.objective <= outcome.objective
    assert outcome.gap == outcome.objective - outcome.bound


def test_what_rounding_proves_needs_no_time() -> None:
    """A time limit of 0 still returns a proven solution."""
    outcome = solve(Portfolio((security("A", "10", target="0.5"),), Decimal(100)), time_limit_seconds=0.0)
    assert isinstance(outcome, Solution)


class TestInvalid:
    """What breaks the solver's own rules is refused, and the field named."""

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("price", "0"),
            ("price", "-1"),
            ("price", "NaN"),
            ("price", "sNaN"),
            ("price", "1E+70"),
            ("price", "1E+999999999"),
            ("quantity", "Infinity"),
            ("quantity", "1E-70"),
            ("quantity", "0." + "1" * 65),
            ("target", "1.0000001"),
            ("target", "-0.1"),
            ("low_drift", "1.5"),
            ("high_drift", "-1E-9"),
        ],
    )
    def test_a_number_out_of_range_is_named(self, field: str, value: str) -> None:
        """Each field of a security is checked, and the error names field and security."""
        numbers = {"price": Decimal(1), field: Decimal(value)}
        with pytest.raises(InvalidPortfolio, match=f"{field} of A"):
            solve(Portfolio((Security("A", **numbers),), Decimal(100)))

    def test_cash_that_is_no_number_is_named(self) -> None:
        """NaN and infinity are rejected by the name of the field."""
        with pytest.raises(InvalidPortfolio, match="cash"):
            solve(Portfolio((), Decimal("-Infinity")))

    def test_a_security_listed_twice_is_named(self) -> None:
        """The error has the id."""
        with pytest.raises(InvalidPortfolio, match="A appears more than once"):
            solve(Portfolio((security("A", "1"), security("B", "1"), security("A", "2")), Decimal(100)))


def test_importing_the_package_loads_no_numerics() -> None:
    """The process that responds HTTP imports the solver's types; a second and 100 MB belong to the solver processes."""
    code = "import sys, solver; sys.exit(any(name in sys.modules for name in ('cvxpy', 'highspy', 'numpy', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
