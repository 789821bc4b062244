"""The last check of trades by rules: every rule, the cash and all figures, recomputed from the decimals.

Shares nothing with the search: no intervals or chains, only the portfolio, its rules and the trades, as fractions.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from msgspec import Struct

from solver.problem import Portfolio, Security
from solver.rules import Bands, Direction, Goal, Rules, TradeScope
from solver.verification import VerificationError


class Checked(Struct, frozen=True):
    """What is true of verified trades; money.

    Attributes:
        cash_after: cash left by trades and fees.
        fees: cost of all orders.
        outside: money by which holdings lie outside their bands.
        objective: what is minimised second, fees included.
        outside_band: indices of the securities outside their band.
    """

    cash_after: Fraction
    fees: Fraction
    outside: Fraction
    objective: Fraction
    outside_band: tuple[int, ...]


def check(portfolio: Portfolio, rules: Rules, trades: Sequence[int | Decimal]) -> Checked:
    """Check trades against a portfolio and its rules.

    Raises:
        VerificationError: a trade breaks a rule, or the cash does not suffice.
    """
    market_value = Fraction(portfolio.cash) - Fraction(rules.withdrawal)
    for security in portfolio.securities:
        market_value += Fraction(security.quantity) * Fraction(security.price)
    lots = {lot.security_id: lot.lot_size for lot in rules.lot_sizes}
    cash = Fraction(portfolio.cash)
    fees = outside = objective = worth = Fraction(0)
    beyond = []
    for index, (security, traded) in enumerate(zip(portfolio.securities, trades, strict=True)):
        name, price, trade = security.security_id, Fraction(security.price), Fraction(traded)
        position = _Position(security, market_value, Fraction(lots.get(name, rules.lot_size)), rules)
        after = position.held + trade
        if (trade / position.lot).denominator != 1:
            raise VerificationError(f"the trade of {name} is not a multiple of its lot")
        if not position.permits(after):
            raise VerificationError(f"a restraint forbids the trade of {name}")
        off = position.off_band(after)
        if off:
            beyond.append(index)
            if rules.bands is Bands.REQUIRED and not position.exempt(after):
                raise VerificationError(f"{name} is outside its band")
        fee = Fraction(rules.fee_per_order) + Fraction(rules.fee_rate) * abs(trade) * price if trade else Fraction(0)
        cash -= trade * price + fee
        fees += fee
        outside += off
        worth += after * price
        if rules.goal is Goal.TARGET:
            objective += abs(market_value * Fraction(security.target) - after * price) + fee
        else:
            objective += abs(trade) * price + fee
    if cash < Fraction(rules.minimum_cash) + Fraction(rules.withdrawal):
        raise VerificationError("the trades overspend")
    if market_value + Fraction(rules.withdrawal) != cash + worth + fees:
        raise VerificationError("market value is not conserved")
    return Checked(cash, fees, outside, objective, tuple(beyond))


class _Position:
    """One security as fractions, and what it may hold."""

    def __init__(self, security: Security, market_value: Fraction, lot: Fraction, rules: Rules) -> None:
        self.held, self.price, self.lot = Fraction(security.quantity), Fraction(security.price), lot
        self._rules, self._name = rules, security.security_id
        self._residue = self.held % lot
        target, low, high = map(Fraction, (security.target, security.low_drift, security.high_drift))
        if market_value == 0 or target == low == high == 0:
            self._least = self._most = self._residue * self.price
        else:
            self._least = max(market_value * (target - low), Fraction(0))
            self._most = market_value * (target + high)

    def off_band(self, quantity: Fraction) -> Fraction:
        """Money by which a quantity lies outside the band."""
        value = quantity * self.price
        return max(self._least - value, value - self._most, Fraction(0))

    def permits(self, quantity: Fraction) -> bool:
        """Whether the restraints allow to hold that much, or to keep what is held."""
        if quantity == self.held:
            required = self._rules.bands is Bands.REQUIRED
            return self.held >= 0 or not self._can_cover() or (required and self.exempt(quantity))
        return quantity >= 0 and self._moves(quantity)

    def exempt(self, quantity: Fraction) -> bool:
        """Whether a quantity outside the band is what is held, and restraints keep it there."""
        if quantity != self.held:
            return False
        if self._name in self._rules.do_not_trade:
            return True
        first = ceil((self._least / self.price - self._residue) / self.lot)
        last = floor((self._most / self.price - self._residue) / self.lot)
        return max(first, 0) <= last and not self._reaches(max(first, 0), last)

    def _can_cover(self) -> bool:
        """Whether a short position may be bought back: at least to its residue."""
        return self._moves(self._residue)

    def _reaches(self, first: int, last: int) -> bool:
        """Whether a trade to between two numbers of lots above the residue is allowed: one end, or just past a gap."""
        step = Fraction(self._rules.minimum_trade_value) / self.price
        above, below = self.held + step, self.held - step
        tried = {first, last, ceil((above - self._residue) / self.lot), floor((below - self._residue) / self.lot), 0}
        quantities = [self._residue + number * self.lot for number in tried if first <= number <= last]
        return any(quantity == self.held or self._moves(quantity) for quantity in quantities)

    def _moves(self, quantity: Fraction) -> bool:
        """Whether a trade to another quantity is allowed."""
        rules, name = self._rules, self._name
        if name in rules.do_not_trade:
            return False
        if rules.trade is TradeScope.OUT_OF_BAND and self.held >= 0 and self.off_band(self.held) == 0:
            return False
        if quantity > self.held and (rules.direction is Direction.SELL_ONLY or name in rules.do_not_buy):
            return False
        if quantity < self.held and (rules.direction is Direction.BUY_ONLY or name in rules.do_not_sell):
            return False
        small = abs(quantity - self.held) * self.price < Fraction(rules.minimum_trade_value)
        return not small or quantity == self._residue
