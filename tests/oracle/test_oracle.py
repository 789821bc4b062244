"""The judges agree with each other, and with worked examples done by hand."""

from contextlib import suppress
from decimal import Decimal
from fractions import Fraction

from solver import Bands, Portfolio, Restraint, Rules, Security
from tests.oracle.optimum import NoOutcome, Optimum, brute_force, dynamic_programme, each_alone, judge
from tests.oracle.rules import Book, TooLarge
from tests.solver.rules.books import numbered


def test_the_dynamic_programme_finds_what_trying_everything_finds() -> None:
    """Both judges find the same quantities, restraints and reasons for small books with any rules."""
    feasible = infeasible = 0
    for number in range(450):
        portfolio, rules = numbered(number, most_securities=3)
        with suppress(TooLarge):
            tried = judge(portfolio, rules, brute_force)
            assert judge(portfolio, rules, dynamic_programme) == tried, number
            feasible += isinstance(tried, Optimum)
            infeasible += isinstance(tried, NoOutcome)
    assert feasible > 150
    assert infeasible > 40


def test_corners_are_enough_for_each_security_on_its_own() -> None:
    """The judge of any size finds what the judge of every quantity finds, if cash does not matter."""
    agreed = 0
    for number in range(450):
        portfolio, rules = numbered(number, most_securities=3)
        with suppress(TooLarge):
            assert judge(portfolio, rules, each_alone, limit=None) == judge(portfolio, rules, brute_force), number
            agreed += 1
    assert agreed > 150


def test_a_lock_keeps_a_security_outside_its_band() -> None:
    """A locked holding stays as held, and the lock is named."""
    portfolio = Portfolio((Security("A", Decimal(10), Decimal(3), Decimal("0.5")),), Decimal(70))
    optimum = judge(portfolio, Rules(do_not_trade=("A",)), brute_force)
    assert optimum == Optimum(
        quantities=(Fraction(3),),
        outside=Fraction(0),
        objective=Fraction(20),
        second=Fraction(0),
        shares=Fraction(0),
        restraints=(Restraint.DO_NOT_TRADE,),
        outside_band=("A",),
    )


def test_preferred_bands_measure_the_money_outside() -> None:
    """A purchase-only contribution that is too small leaves the least money outside the band."""
    security = Security("A", Decimal(10), Decimal(0), Decimal("0.95"), Decimal("0.01"), Decimal("0.01"))
    book = Book(Portfolio((security,), Decimal(99)), Rules(bands=Bands.PREFERRED))
    (outside, objective, _, shares), lots = brute_force(book)
    assert (lots, outside * book.unit, objective * book.unit) == ((9,), Fraction("3.06"), Fraction("4.05"))
    assert shares == 9
