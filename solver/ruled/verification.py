"""The last check of trades by rules: every rule, the cash and all figures, recomputed in exact integers.

Shares nothing with the search but the book: no intervals or chains. What keeps a security outside its band is decided
once more from its decimals, as fractions.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

import numpy as np
from msgspec import Struct

from solver.problem import Security
from solver.ruled.book import Book, Totals
from solver.ruled.plain import PlainBook
from solver.rules import Bands, Direction, Goal, Rules, TradeScope
from solver.scaling import Integers
from solver.verification import VerificationError


class Checked(Struct, frozen=True):
    """What is true of verified trades; money in units.

    Attributes:
        trades: lots to trade, positive to buy.
        cash_after: cash left by trades and fees, a withdrawal included.
        fees: cost of all orders.
        outside: money by which holdings lie outside their bands.
        objective: what is minimised second, fees included.
        beyond: indices of the securities outside their band.
    """

    trades: list[int]
    cash_after: int
    fees: int
    outside: int
    objective: int
    beyond: tuple[int, ...]


def verify(book: Book, trades: Integers, bound: int | None = None) -> Checked:
    """Check trades in lots against a book.

    Raises:
        VerificationError: a trade breaks a rule, the cash does not suffice, value is not conserved, or the objective
            lies below the bound.
    """
    rules = book.rules
    moved = trades != 0
    changes = trades * book.lot_values
    turnovers, values = np.abs(changes), book.held_values + changes
    lots = book.held_lots + trades
    forbidden = _forbidden(book, trades, turnovers)
    if forbidden.any():
        raise VerificationError(f"a rule forbids the trade of security {int(np.argmax(forbidden))}")
    off = np.maximum(np.maximum(book.lower - values, values - book.upper), 0)
    beyond = ((off > 0) | (lots < 0)).nonzero()[0].tolist()
    # What is held may stay outside a preferred band, unless it is short.
    for index in beyond if rules.bands is Bands.REQUIRED else (book.held_lots < 0).nonzero()[0].tolist():
        _require_excuse(book, index, traded=bool(moved[index]))
    fees = int(moved.sum()) * book.order_fee if book.order_fee else 0
    if rules.fee_rate:
        fees += int((np.abs(trades) * book.lot_fees).sum())
    cash_after = book.cash - int(changes.sum()) - fees
    if cash_after < book.minimum_cash:
        raise VerificationError(f"the trades overspend by {book.minimum_cash - cash_after}")
    if cash_after + int(values.sum()) + fees != book.market_value:
        raise VerificationError("market value is not conserved")
    cost = turnovers if rules.goal is Goal.BAND else np.abs(values - book.targets)
    objective = int(cost.sum()) + fees
    if bound is not None and objective < bound:
        raise VerificationError(f"the objective {objective} lies below its proven bound {bound}")
    return Checked(trades.tolist(), cash_after + book.withdrawal, fees, int(off.sum()), objective, tuple(beyond))


def verify_plain(book: PlainBook, trades: Sequence[int], bound: int | None = None) -> Checked:
    """Check trades in lots against a portfolio in lists; see `verify`."""
    rules = book.rules
    required, band_goal = rules.bands is Bands.REQUIRED, rules.goal is Goal.BAND
    changed = fees = outside = objective = worth = 0
    beyond = []
    for index, (line, trade) in enumerate(zip(book.lines, trades, strict=True)):
        change = trade * line.lot_value
        value, lots = line.held + change, line.lots + trade
        if trade:
            fees += book.order_fee + abs(trade) * line.lot_fee
            small = abs(change) < book.minimum_trade and lots != 0
            barred = line.no_buying if trade > 0 else line.no_selling
            if lots < 0 or line.locked or line.in_band or barred or small:
                raise VerificationError(f"a rule forbids the trade of security {index}")
        off = max(line.lower - value, value - line.upper, 0)
        if off or lots < 0:
            beyond.append(index)
        # What is held may stay outside a preferred band, unless it is short.
        if (required and (off or lots < 0)) or (not required and line.lots < 0):
            _require_excuse(book, index, traded=bool(trade))
        changed += change
        worth += value
        outside += off
        objective += abs(change) if band_goal else abs(value - line.target)
    cash_after = book.cash - changed - fees
    if cash_after < book.minimum_cash:
        raise VerificationError(f"the trades overspend by {book.minimum_cash - cash_after}")
    if cash_after + worth + fees != book.market_value:
        raise VerificationError("market value is not conserved")
    objective += fees
    if bound is not None and objective < bound:
        raise VerificationError(f"the objective {objective} lies below its proven bound {bound}")
    return Checked(list(trades), cash_after + book.withdrawal, fees, outside, objective, tuple(beyond))


def _forbidden(book: Book, trades: Integers, turnovers: Integers) -> Integers:
    """Return which trades a rule forbids, or sell more than is held."""
    rules, moved = book.rules, trades != 0
    lots = book.held_lots + trades
    forbidden: Integers = moved & (lots < 0)
    if rules.do_not_trade or rules.trade is TradeScope.OUT_OF_BAND:
        forbidden |= moved & (book.locked | book.in_band)
    if rules.do_not_buy or rules.direction is Direction.SELL_ONLY:
        forbidden |= (trades > 0) & book.no_buying
    if rules.do_not_sell or rules.direction is Direction.BUY_ONLY:
        forbidden |= (trades < 0) & book.no_selling
    if rules.minimum_trade_value:
        forbidden |= moved & (turnovers < book.minimum_trade) & (lots != 0)
    return forbidden


def _require_excuse(book: Totals, index: int, *, traded: bool) -> None:
    """Raise unless a security may be where it is outside its band, or short."""
    security = book.portfolio.securities[index]
    market_value = Fraction(book.market_value, 10**book.places)
    position = _Position(security, market_value, book.rules)
    required = book.rules.bands is Bands.REQUIRED
    if required and (traded or not position.exempt()):
        raise VerificationError(f"security {index} is outside its band")
    if not traded and position.held < 0 and position.can_cover() and not (required and position.exempt()):
        raise VerificationError(f"security {index} stays short")


class _Position:
    """One security as fractions, and what it may hold."""

    def __init__(self, security: Security, market_value: Fraction, rules: Rules) -> None:
        lots = {lot.security_id: lot.lot_size for lot in rules.lot_sizes}
        self.held, self._price = Fraction(security.quantity), Fraction(security.price)
        self._lot = Fraction(lots.get(security.security_id, rules.lot_size))
        self._rules, self._name = rules, security.security_id
        self._residue = self.held % self._lot
        target, low, high = map(Fraction, (security.target, security.low_drift, security.high_drift))
        if market_value == 0 or target == low == high == 0:
            self._least = self._most = self._residue * self._price
        else:
            self._least = max(market_value * (target - low), Fraction(0))
            self._most = market_value * (target + high)

    def exempt(self) -> bool:
        """Return whether restraints keep the security from every quantity in its band, of which there are some."""
        if self._name in self._rules.do_not_trade:
            return True
        first = max(ceil((self._least / self._price - self._residue) / self._lot), 0)
        last = floor((self._most / self._price - self._residue) / self._lot)
        return first <= last and not self._reaches(first, last)

    def can_cover(self) -> bool:
        """Return whether a short position may be bought back, at least to its residue."""
        return self._moves(self._residue)

    def _reaches(self, first: int, last: int) -> bool:
        """Return whether a trade to between two lots above the residue is allowed: one end, or just past a gap."""
        step = Fraction(self._rules.minimum_trade_value) / self._price
        above, below = self.held + step, self.held - step
        tried = {first, last, ceil((above - self._residue) / self._lot), floor((below - self._residue) / self._lot), 0}
        quantities = [self._residue + number * self._lot for number in tried if first <= number <= last]
        return any(quantity == self.held or self._moves(quantity) for quantity in quantities)

    def _moves(self, quantity: Fraction) -> bool:
        """Return whether a trade to another quantity is allowed."""
        rules, name = self._rules, self._name
        if name in rules.do_not_trade:
            return False
        value = self.held * self._price
        if rules.trade is TradeScope.OUT_OF_BAND and self.held >= 0 and self._least <= value <= self._most:
            return False
        if quantity > self.held and (rules.direction is Direction.SELL_ONLY or name in rules.do_not_buy):
            return False
        if quantity < self.held and (rules.direction is Direction.BUY_ONLY or name in rules.do_not_sell):
            return False
        small = abs(quantity - self.held) * self._price < Fraction(rules.minimum_trade_value)
        return not small or quantity == self._residue
