"""A portfolio without a response says why: every reason, in data and in a sentence."""

import random
from decimal import Decimal

from solver import (
    CashShortfall,
    Infeasible,
    InfeasibleReason,
    Minimum,
    NegativeMarketValue,
    NoWholeShare,
    Portfolio,
    Security,
    Solution,
    SolverStrategy,
    solve,
)
from tests.solver.portfolios import random_book


def reasons(*securities: Security, cash: str) -> tuple[tuple[InfeasibleReason, ...], str]:
    """The reasons and the message, the same whatever the strategy."""
    portfolio = Portfolio(securities, Decimal(cash))
    outcomes = [solve(portfolio, strategy=strategy) for strategy in SolverStrategy]
    assert all(isinstance(outcome, Infeasible) for outcome in outcomes)
    ((found, message), again) = ((o.reasons, o.message) for o in outcomes if isinstance(o, Infeasible))
    assert (found, message) == again
    return found, message


def security(name: str, price: str, target: str, low: str, high: str, held: str = "0") -> Security:
    return Security(name, Decimal(price), Decimal(held), Decimal(target), Decimal(low), Decimal(high))


def test_a_dear_share_in_a_narrow_band_is_explained() -> None:
    """One share at 1,900 is 1.9% of 100,000: too much for 0.5% and 0.3% either way, and none is too little."""
    (reason,), message = reasons(security("GOOG", "1900", "0.005", "0.003", "0.003"), cash="100000")
    assert reason == NoWholeShare(
        security_id="GOOG",
        price=Decimal(1900),
        lower_value=Decimal(200),
        upper_value=Decimal(800),
        lower_shares=Decimal("0.105263157895"),
        upper_shares=Decimal("0.421052631578"),
        quantity_below=Decimal(0),
        quantity_above=Decimal(1),
        weight_below=Decimal(0),
        weight_above=Decimal("0.019"),
        drift_needed=Decimal("0.005"),
    )
    assert message == (
        "Security GOOG at 1900 has no whole number of shares worth 200 to 800: the nearest holdings are"
        " 0 (weight 0) and 1 (weight 0.019); a drift of 0.005 would admit one."
        " With bands PREFERRED the portfolio would be feasible."
    )


def test_the_drift_that_is_named_is_enough_and_hardly_more() -> None:
    """A portfolio with the drift named is feasible; with a millionth less it is not."""
    (reason,), _ = reasons(security("A", "333.33", "0.0512345", "0.0001", "0.0002"), cash="98765.43")
    assert isinstance(reason, NoWholeShare)
    step = Decimal("0.000001")
    for drift, expected in ((reason.drift_needed, Solution), (reason.drift_needed - step, Infeasible)):
        wider = security("A", "333.33", "0.0512345", str(drift), str(drift))
        assert isinstance(solve(Portfolio((wider,), Decimal("98765.43"))), expected)


def test_a_fraction_that_cannot_be_sold_has_nothing_below_it() -> None:
    """0.9 shares of 100 in a band that ends at 50: one could only hold more."""
    (reason,), message = reasons(security("A", "100", "0.04", "0.01", "0.01", held="0.9"), cash="910")
    assert isinstance(reason, NoWholeShare)
    assert reason.quantity_below is None
    assert reason.weight_below is None
    assert reason.quantity_above == Decimal("0.9")
    assert reason.weight_above == Decimal("0.09")
    assert reason.drift_needed == Decimal("0.05")
    assert "the nearest holdings are 0.9 (weight 0.09);" in message


def test_minimums_that_cost_more_than_there_is_are_listed() -> None:
    """Each band alone asks for a second share; 60 and 62 are more than 100, and the dearest is named first."""
    found, message = reasons(
        security("A", "30", "0.5", "0.1", "0.3"), security("B", "31", "0.5", "0.1", "0.3"), cash="100"
    )
    assert found == (
        CashShortfall(
            missing=Decimal(22),
            minimums=(Minimum("B", Decimal(2), Decimal(62)), Minimum("A", Decimal(2), Decimal(60))),
        ),
    )
    assert message == (
        "The least holdings that the drift bands allow cost 22 more than the portfolio is worth:"
        " 2 of B for 62, 2 of A for 60. With bands PREFERRED the portfolio would be feasible."
    )


def test_all_reasons_are_named_not_the_first() -> None:
    """Two impossible bands, and without them still too little cash for the others."""
    found, message = reasons(
        security("A", "30", "0.5", "0.1", "0.3"),
        security("X", "1900", "0.005", "0.003", "0.003"),
        security("B", "31", "0.5", "0.1", "0.3"),
        security("Y", "2000", "0.005", "0.003", "0.003"),
        cash="100",
    )
    assert [type(reason) for reason in found] == [NoWholeShare, NoWholeShare, CashShortfall]
    assert [reason.security_id for reason in found if isinstance(reason, NoWholeShare)] == ["X", "Y"]
    assert message.count("Security ") == 2
    assert "cost 22 more" in message


def test_a_portfolio_that_owes_more_than_it_owns_is_explained() -> None:
    """The reason and the sentence state the market value."""
    found, message = reasons(security("A", "10", "0.5", "0", "0", held="3"), cash="-31.5")
    assert found == (NegativeMarketValue(Decimal("-1.5")),)
    assert message == "The portfolio owes more than it owns: its market value is -1.5."


def test_granting_what_is_named_makes_any_portfolio_feasible() -> None:
    """Reasons are complete: with every named drift granted, and bands open below where cash is short, it is solved."""
    books = (random_book(random.Random(f"infeasible {number}"), 40) for number in range(400))
    refused = [(book, outcome) for book in books if isinstance(outcome := solve(book), Infeasible)]
    assert len(refused) > 10
    for book, outcome in refused:
        named = {
            reason.security_id: reason.drift_needed for reason in outcome.reasons if isinstance(reason, NoWholeShare)
        }
        short = any(isinstance(reason, CashShortfall) for reason in outcome.reasons)
        assert named or short
        widened = tuple(_widened(one, named.get(one.security_id, Decimal(0)), short=short) for one in book.securities)
        assert isinstance(solve(Portfolio(widened, book.cash)), Solution)


def _widened(one: Security, drift: Decimal, *, short: bool) -> Security:
    low = Decimal(1) if short else max(one.low_drift, drift)
    return Security(one.security_id, one.price, one.quantity, one.target, low, max(one.high_drift, drift))


def test_a_shortfall_of_the_smallest_amount_is_explained() -> None:
    """Each of two securities needs the whole portfolio, worth one share at 1: exactly 1 is missing."""
    (reason,), _ = reasons(security("A", "1", "1", "0", "1"), security("B", "1", "1", "0", "1"), cash="1")
    assert isinstance(reason, CashShortfall)
    assert (reason.missing, len(reason.minimums)) == (Decimal(1), 2)
