"""Compares what the solver returns for a book with rules with the one right outcome that a judge found."""

from fractions import Fraction

from solver import (
    CashShortfall,
    Infeasible,
    NegativeMarketValue,
    NoWholeShare,
    Outcome,
    Portfolio,
    Rules,
    Solution,
)
from tests.oracle.optimum import NoOutcome, Optimum, dynamic_programme, each_alone, judge
from tests.oracle.rules import TooLarge
from tests.oracle.verification import verify


def right_outcome(portfolio: Portfolio, rules: Rules) -> Optimum | NoOutcome:
    """Return the right outcome by the fastest judge that can find it.

    Raises:
        TooLarge: cash binds and the book has too many quantities.
    """
    try:
        return judge(portfolio, rules, each_alone, limit=None)
    except TooLarge:
        return judge(portfolio, rules, dynamic_programme)


def assert_right(portfolio: Portfolio, rules: Rules, outcome: Outcome, right: Optimum | NoOutcome) -> None:
    """Assert that an outcome is the right one, to the share, and that all it reports is true."""
    if isinstance(right, NoOutcome):
        assert isinstance(outcome, Infeasible), "a solution of an infeasible book"
        assert_reasons(outcome, rules, right)
        return
    assert isinstance(outcome, Solution), outcome
    verify(portfolio, rules, outcome)
    assert outcome.gap == 0
    assert (Fraction(outcome.outside), Fraction(outcome.objective)) == (right.outside, right.objective)
    if outcome.tie_proven:
        assert tuple(map(Fraction, outcome.quantities)) == right.quantities
    assert outcome.restraints == right.restraints
    assert outcome.outside_band == right.outside_band


def assert_reasons(outcome: Infeasible, rules: Rules, right: NoOutcome) -> None:
    """Assert that an infeasible outcome names every reason, and the way out if there is one."""
    if right.market_value is not None:
        (reason,) = outcome.reasons
        assert isinstance(reason, NegativeMarketValue)
        assert reason.market_value == outcome.market_value
        assert Fraction(outcome.market_value) == right.market_value
        return
    named = tuple(reason.security_id for reason in outcome.reasons if isinstance(reason, NoWholeShare))
    assert named == right.without_lot
    if right.missing is not None:
        (shortfall,) = outcome.reasons
        assert isinstance(shortfall, CashShortfall)
        assert Fraction(shortfall.missing) == right.missing
        values = [minimum.value for minimum in shortfall.minimums]
        used = sum(map(Fraction, (shortfall.minimum_cash, shortfall.withdrawal, shortfall.fees, *values)), Fraction(0))
        assert shortfall.withdrawal == rules.withdrawal
        assert used - Fraction(outcome.market_value) - Fraction(rules.withdrawal) == right.missing
        assert {locked.security_id: locked.restraint for locked in shortfall.locked} == right.locked
    assert ("PREFERRED" in outcome.message) == right.preferred_helps, outcome.message
