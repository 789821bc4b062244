"""Checks a solution against the rules at any size: recomputes in exact arithmetic what it reports of itself."""

from fractions import Fraction

from solver import Bands, Goal, Portfolio, Rules, Solution
from tests.oracle.optimum import kept_outside
from tests.oracle.rules import Book, Line, exact


def verify(portfolio: Portfolio, rules: Rules, solution: Solution) -> None:
    """Assert in exact arithmetic that a solution keeps every rule and reports only what is true.

    Checks lots, restraints, bands or the named exemption, fees, cash, conservation of money, the objective against its
    bound, and every restraint that is named.
    """
    book = Book(portfolio, rules, None)
    count = len(portfolio.securities)
    assert len(solution.trades) == len(solution.quantities) == len(solution.restraints) == count
    spent = fees = distance = traded = outside = Fraction(0)
    for index, (security, line) in enumerate(zip(portfolio.securities, book.lines, strict=True)):
        trade, price = exact(solution.trades[index]), exact(security.price)
        assert exact(solution.quantities[index]) == exact(security.quantity) + trade
        lots = line.held + trade / book.lot(line.security_id)
        assert lots.denominator == 1, "not a multiple of the lot"
        assert_allowed(line, int(lots))
        fee = exact(rules.fee_per_order) + exact(rules.fee_rate) * abs(trade) * price if trade else Fraction(0)
        fees += fee
        spent += trade * price + fee
        traded += abs(trade) * price
        target = exact(security.target) * book.market_value
        distance += abs(target - exact(solution.quantities[index]) * price)
        outside += line.outside(int(lots)) * book.unit
    assert exact(solution.market_value) == book.market_value
    assert exact(solution.fees) == fees
    assert exact(solution.cash_after) == exact(portfolio.cash) - spent
    assert solution.cash_after >= exact(rules.minimum_cash) + exact(rules.withdrawal)
    assert exact(solution.objective) == fees + (distance if rules.goal is Goal.TARGET else traded)
    assert exact(solution.outside) == (outside if rules.bands is Bands.PREFERRED else 0)
    assert solution.bound <= solution.objective
    assert solution.gap == solution.objective - solution.bound
    assert solution.restraints == tuple(line.restraint for line in book.lines)
    assert solution.outside_band == tuple(line.security_id for line in book.lines if kept_outside(line))


def assert_allowed(line: Line, lots: int) -> None:
    """Assert that a security may end with a number of lots."""
    if line.book.rules.bands is Bands.REQUIRED and not line.in_band(lots):
        assert kept_outside(line), f"{line.security_id} is outside its band"
        assert lots == line.held, f"{line.security_id} is traded although a rule keeps it outside its band"
    elif lots < 0:
        assert line.left == [lots], f"{line.security_id} ends short"
    else:
        assert not line.removed_by(lots), f"{line.security_id} is traded against {line.removed_by(lots)}"
