"""Reads a portfolio and its rules as whole numbers and decides, quantity by quantity, what the rules say of each.

Written from the definition of the rules alone. Money is an integer count of one small unit that makes every price,
band, fee and limit of the book whole, so nothing is rounded. A quantity is `residue + lots * lot size`, and only `lots`
varies.
"""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from math import floor, lcm
from typing import NamedTuple

from msgspec import Struct

from solver import Bands, Direction, Goal, Portfolio, Restraint, Rules, Security, TradeScope


class TooLarge(Exception):
    """The book has more quantities or combinations than this judge can visit."""


class Choice(NamedTuple):
    """One quantity that a security may end with, and what it contributes to the portfolio.

    Attributes:
        lots: lots above the residue.
        spent: cash that the trade and its fee use, in units; negative if it raises cash.
        cost: level 1, level 2 with the fee, second stage of the goal BAND, and shares traded; in units.
    """

    lots: int
    spent: int
    cost: tuple[int, int, int, int]


class Line(Struct, frozen=True, dict=True):
    """One security of a book, in units of money and in lots.

    Attributes:
        security_id: the security.
        lot_value: money of one lot.
        lot_fee: fee of trading one lot, without the fee per order.
        lot_shares: shares of one lot, in units of shares.
        residue_value: money of the residue, the smallest quantity of 0 or more that the lots allow.
        held: lots held before the rebalance; negative for a short position.
        low, high: the band in money, never below 0.
        target: money that the model wants in the security.
        wanted: the target or a drift is above 0; otherwise the band is the residue alone.
        book: the book that contains the security.
    """

    security_id: str
    lot_value: int
    lot_fee: int
    lot_shares: int
    residue_value: int
    held: int
    low: int
    high: int
    target: int
    wanted: bool
    book: "Book"

    def value(self, lots: int) -> int:
        return self.residue_value + lots * self.lot_value

    def traded(self, lots: int) -> int:
        """Return the money of the trade that ends at `lots`, 0 or more."""
        return abs(lots - self.held) * self.lot_value

    def fee(self, lots: int) -> int:
        return 0 if lots == self.held else self.book.fee_per_order + abs(lots - self.held) * self.lot_fee

    def in_band(self, lots: int) -> bool:
        if lots < 0:
            return False
        return self.low <= self.value(lots) <= self.high if self.wanted else lots == 0

    def outside(self, lots: int) -> int:
        """Return the money by which a quantity lies outside the band."""
        if not self.wanted:
            return abs(lots) * self.lot_value
        return max(self.low - self.value(lots), self.value(lots) - self.high, 0)

    def removed_by(self, lots: int) -> list[Restraint]:
        """Return every restraint that forbids a quantity, in the order in which restraints are named."""
        rules, name, move = self.book.rules, self.security_id, lots - self.held
        removals = {
            Restraint.DO_NOT_TRADE: name in rules.do_not_trade and move != 0,
            Restraint.DO_NOT_BUY: name in rules.do_not_buy and move > 0,
            Restraint.DO_NOT_SELL: name in rules.do_not_sell and move < 0,
            Restraint.BUY_ONLY: rules.direction is Direction.BUY_ONLY and move < 0,
            Restraint.SELL_ONLY: rules.direction is Direction.SELL_ONLY and move > 0,
            Restraint.IN_BAND: rules.trade is TradeScope.OUT_OF_BAND and self.in_band(self.held) and move != 0,
            Restraint.MINIMUM_TRADE: 0 < self.traded(lots) < self.book.minimum_trade and lots != 0,
        }
        return [restraint for restraint, removes in removals.items() if removes]

    def choice(self, lots: int) -> Choice:
        fee, distance = self.fee(lots), abs(self.target - self.value(lots))
        preferred = self.book.rules.bands is Bands.PREFERRED
        first, second = (
            (distance + fee, 0) if self.book.rules.goal is Goal.TARGET else (self.traded(lots) + fee, distance)
        )
        return Choice(
            lots,
            (lots - self.held) * self.lot_value + fee,
            (
                self.outside(lots) if preferred else 0,
                first,
                second,
                abs(lots - self.held) * self.lot_shares,
            ),
        )

    def alone(self, lots: int) -> tuple[int, int]:
        """Return levels 1 and 2 of the security on its own; a quantity in the band is better than any outside."""
        return (self.outside(lots), self.choice(lots).cost[1])

    @cached_property
    def quantities(self) -> list[int]:
        """Every number of lots that could matter: above the target and the minimum trade, each lot only makes it worse.

        One lot less is in the band if the larger quantity is, uses less cash, and is better at every level.

        Raises:
            TooLarge: there are more than the book's limit.
        """
        if self.book.limit is None:
            return self.corners
        enough = max(self.target, self.value(self.held) + self.book.minimum_trade)
        top = max(0, -((self.residue_value - enough) // self.lot_value)) + 1
        if top > self.book.limit:
            raise TooLarge
        return list(range(top + 1))

    @property
    def corners(self) -> list[int]:
        """The lots next to every value at which a band, a restraint or a cost changes.

        In between, everything that a security contributes rises or falls evenly, so its best quantity on its own and
        both ends of what it may have are among them. With cash short, its best quantity may lie elsewhere.
        """
        minimum = self.book.minimum_trade
        values = [self.low, self.high, self.target, self.value(self.held)]
        values += [self.value(self.held) - minimum, self.value(self.held) + minimum, self.residue_value]
        near = {(value - self.residue_value) // self.lot_value + step for value in values for step in (-1, 0, 1, 2)}
        return sorted(lots for lots in near if lots >= 0)

    @cached_property
    def left(self) -> list[int]:
        """The quantities that the restraints leave; a short position only if they leave nothing else."""
        return [lots for lots in self.quantities if not self.removed_by(lots)] or [self.held]

    @cached_property
    def band(self) -> list[int]:
        return [lots for lots in self.quantities if self.in_band(lots)]

    @cached_property
    def exempt(self) -> bool:
        """A restraint keeps the security outside its band: its band has a quantity, but none that is left."""
        return bool(self.band) and not set(self.band) & set(self.left)

    @cached_property
    def allowed(self) -> list[int]:
        """The quantities that the security may end with; empty if it makes the portfolio infeasible."""
        if self.book.rules.bands is Bands.PREFERRED:
            return self.left
        both = [lots for lots in self.left if self.in_band(lots)]
        if both:
            return both
        return [self.held] if self.exempt or self.security_id in self.book.rules.do_not_trade else []

    @cached_property
    def choices(self) -> list[Choice]:
        return [self.choice(lots) for lots in self.allowed]

    @cached_property
    def restraint(self) -> Restraint | None:
        """The first restraint that removed something better than everything that is left."""
        best = min(map(self.alone, self.allowed))
        lost = [
            removers[0]
            for lots in self.quantities
            if (removers := self.removed_by(lots)) and (self.alone(lots) < best or (self.exempt and self.in_band(lots)))
        ]
        return min(lost, key=list(Restraint).index, default=None)


class Book(Struct, frozen=True, dict=True):
    """A portfolio and its rules in whole numbers.

    Attributes:
        portfolio, rules: what was read.
        limit: the most quantities of one security that a judge visits; None visits the corners alone.
    """

    portfolio: Portfolio
    rules: Rules
    limit: int | None = 400

    @cached_property
    def market_value(self) -> Fraction:
        held = (exact(security.quantity) * exact(security.price) for security in self.portfolio.securities)
        return sum(held, exact(self.portfolio.cash) - exact(self.rules.withdrawal))

    @cached_property
    def _rows(self) -> list[tuple[Security, Fraction, int, list[Fraction]]]:
        """Return for each security its lot, the lots held, and its money: lot, residue, fee, low, high, target."""
        total = self.market_value
        rows = []
        for security in self.portfolio.securities:
            price, quantity, lot = exact(security.price), exact(security.quantity), self.lot(security.security_id)
            held = floor(quantity / lot)
            target, low, high = (
                exact(share) * total for share in (security.target, security.low_drift, security.high_drift)
            )
            rows.append(
                (
                    security,
                    lot,
                    held,
                    [
                        lot * price,
                        (quantity - held * lot) * price,
                        lot * price * exact(self.rules.fee_rate),
                        max(target - low, Fraction(0)),
                        target + high,
                        target,
                    ],
                )
            )
        return rows

    @cached_property
    def unit(self) -> Fraction:
        """The money that one unit stands for."""
        rules = self.rules
        amounts = [
            *(exact(amount) for amount in (rules.minimum_trade_value, rules.minimum_cash, rules.fee_per_order)),
            *(exact(amount) for amount in (rules.withdrawal, self.portfolio.cash)),
            *(amount for *_, money in self._rows for amount in money),
        ]
        return Fraction(1, denominator(amounts))

    @cached_property
    def lines(self) -> list[Line]:
        """The securities, in the order of the portfolio."""
        shares = denominator(lot for _, lot, *_ in self._rows)
        lines = []
        for security, lot, held, money in self._rows:
            lot_value, residue_value, lot_fee, low, high, target = (self.units(amount) for amount in money)
            lines.append(
                Line(
                    security_id=security.security_id,
                    lot_value=lot_value,
                    lot_fee=lot_fee,
                    lot_shares=int(lot * shares),
                    residue_value=residue_value,
                    held=held,
                    low=low,
                    high=high,
                    target=target,
                    wanted=self.market_value > 0 and any((security.target, security.low_drift, security.high_drift)),
                    book=self,
                )
            )
        return lines

    @cached_property
    def minimum_trade(self) -> int:
        return self.units(exact(self.rules.minimum_trade_value))

    @cached_property
    def fee_per_order(self) -> int:
        return self.units(exact(self.rules.fee_per_order))

    @cached_property
    def available(self) -> int:
        """The cash that trades and fees may use, in units."""
        return self.units(exact(self.portfolio.cash) - exact(self.rules.minimum_cash) - exact(self.rules.withdrawal))

    def lot(self, security_id: str) -> Fraction:
        own = [lot.lot_size for lot in self.rules.lot_sizes if lot.security_id == security_id]
        return exact(own[0] if own else self.rules.lot_size)

    def units(self, amount: Fraction) -> int:
        whole = amount / self.unit
        assert whole.denominator == 1
        return whole.numerator

    def missing(self) -> int:
        """Return the cash that the cheapest allowed quantities lack, in units; 0 or less if they fit."""
        return sum(min(choice.spent for choice in line.choices) for line in self.lines) - self.available


def exact(number: Decimal | int) -> Fraction:
    return Fraction(number)


def denominator(numbers: Iterable[Fraction]) -> int:
    return lcm(1, *(number.denominator for number in numbers))
