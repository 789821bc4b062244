"""A portfolio and its rules as integers over one unit of money.

Every trade is counted in lots of its security: `t` lots change the value by `lot_values * t` and cost
`lot_fees * |t| + order_fee`. With `value = held_values + lot_values * t` everything a rule limits is a bound on `t`.
"""

from decimal import Decimal
from functools import lru_cache
from math import gcd

import numpy as np
from msgspec import Struct

from solver.plain import MOST_IN_LISTS, in_arrays, scale_plain
from solver.problem import Portfolio
from solver.rules import Direction, Rules, TradeScope
from solver.scaling import EXACT, INT64_LIMIT, Integers, ScaledPortfolio, Units, scale, unscaled


class Totals(Struct, frozen=True):
    """What concerns a whole portfolio and its rules, as integers over one unit of money.

    Attributes:
        portfolio, rules: what this represents.
        places, money_places: decimals of a unit, and the decimals that cash and holdings need.
        market_value: cash and holdings less the withdrawal.
        cash: before the rebalance, less the withdrawal.
        minimum_cash, order_fee, minimum_trade, withdrawal: of the rules.
    """

    portfolio: Portfolio
    rules: Rules
    places: int
    money_places: int
    market_value: int
    cash: int
    minimum_cash: int
    order_fee: int
    minimum_trade: int
    withdrawal: int

    @property
    def capacity(self) -> int:
        """Cash that trades and fees may use."""
        return self.cash - self.minimum_cash

    def money(self, amount: int) -> Decimal:
        """Return units as money, exactly, without the trailing zeros that only the unit needs."""
        places = self.places
        while places > self.money_places and amount % 10 == 0:
            amount //= 10
            places -= 1
        return unscaled(amount, places)


class Book(Totals, frozen=True):
    """The integers of one portfolio; every array is in the order of its securities, money is in units.

    Attributes:
        lot_values: of one lot, above 0.
        lot_fees: what trading one lot costs by `fee_rate`.
        lot_shares: shares of one lot, over a common denominator, to compare shares traded.
        held_values: before the rebalance; negative if short.
        held_lots: whole lots held, rounded down; negative if short.
        targets: wanted value.
        lower, upper: values at the edges of the band; the residue on both sides if there is no target.
        no_buying, no_selling, locked: whether restraints rule out buying, selling, or both.
        in_band: whether the rule OUT_OF_BAND keeps the security, as it is in its band already.
        wanted: what the targets lack, negative if less is wanted than held.
    """

    lot_values: Integers
    lot_fees: Integers
    lot_shares: Integers
    held_values: Integers
    held_lots: Integers
    targets: Integers
    lower: Integers
    upper: Integers
    no_buying: Integers
    no_selling: Integers
    locked: Integers
    in_band: Integers
    wanted: Integers


def open_book(portfolio: Portfolio, rules: Rules) -> Book:
    """Bring every number of a portfolio and its rules to integers.

    Raises:
        InvalidPortfolio: a number of the portfolio is out of range, or a security appears twice.
    """
    terms = terms_of(rules)
    paid = less_withdrawal(portfolio, rules)
    scaled = in_arrays(scale_plain(paid)) if len(portfolio.securities) <= MOST_IN_LISTS else scale(paid)
    lots = _lot_array(portfolio, rules, terms)
    lot_places = terms.lot_places
    raw_lots = scaled.prices
    largest_lot = scaled.gross
    single = terms.single_shares
    if not single:
        largest_lot = int(scaled.prices.max(initial=0)) * int(np.max(lots, initial=1))
        raw_lots = (scaled.prices if largest_lot < INT64_LIMIT else scaled.prices.astype(object)) * lots

    common = int(np.gcd.reduce(raw_lots)) if terms.divided and len(raw_lots) else 0
    places, factor = unit_of(terms, scaled, common)
    minimum_cash, order_fee, minimum_trade, withdrawal = amounts_of(rules, places)
    held_values = scaled.held * scaled.prices + scaled.fractions
    spread = 32 * (len(lots) + 4) * max(terms.rate, 1)
    amounts = order_fee + minimum_trade + minimum_cash
    # Edges of bands are at most twice the market value. Only if that is not enough are the numbers looked at.
    fits = spread * ((3 * scaled.gross + largest_lot) * factor + amounts) < INT64_LIMIT
    fits = fits or spread * (_widest(scaled, held_values, raw_lots) * factor + amounts) < INT64_LIMIT
    number = np.dtype(np.int64 if fits else object)

    def fine(array: Integers) -> Integers:
        array = array if array.dtype == number else array.astype(number)
        return array * factor if factor != 1 else array

    held_values, targets, lows, highs = map(fine, (held_values, scaled.targets, scaled.lows, scaled.highs))
    lot_values = fine(raw_lots) // 10**lot_places if lot_places else fine(raw_lots)
    lot_fees = np.zeros(len(lots), dtype=number)
    if terms.rate:
        lot_fees = lot_values * terms.rate // 10**terms.rate_places
    held_lots, residues = scaled.held, fine(scaled.fractions)
    if not single:
        held_lots = held_values // lot_values
        residues = held_values - held_lots * lot_values
    elif held_lots.dtype != number:
        held_lots = held_lots.astype(number)
    upper = targets + highs
    # All of them are of one sign, so their sum is 0 only if each is.
    unlisted = upper + lows == 0
    lower = np.maximum(targets - lows, 0)
    if unlisted.any():
        lower, upper = np.where(unlisted, residues, lower), np.where(unlisted, residues, upper)
    in_band = np.zeros(len(lots), dtype=bool)
    if rules.trade is TradeScope.OUT_OF_BAND:
        # The lower edge is at least 0, so a short position is outside.
        in_band = (held_values >= lower) & (held_values <= upper)
    return Book(
        portfolio=portfolio,
        rules=rules,
        places=places,
        money_places=scaled.money_places,
        market_value=scaled.market_value * factor,
        cash=scaled.cash * factor,
        minimum_cash=minimum_cash,
        order_fee=order_fee,
        minimum_trade=minimum_trade,
        withdrawal=withdrawal,
        lot_values=lot_values,
        lot_fees=lot_fees,
        lot_shares=lots,
        held_values=held_values,
        held_lots=held_lots,
        targets=targets,
        lower=lower,
        upper=upper,
        no_buying=listed(portfolio, rules.do_not_buy, everything=rules.direction is Direction.SELL_ONLY),
        no_selling=listed(portfolio, rules.do_not_sell, everything=rules.direction is Direction.BUY_ONLY),
        locked=listed(portfolio, rules.do_not_trade),
        in_band=in_band,
        wanted=targets - held_values,
    )


def listed(portfolio: Portfolio, ids: tuple[str, ...], *, everything: bool = False) -> Integers:
    """Return which securities are in a list of ids, or all of them."""
    count = len(portfolio.securities)
    if everything:
        return np.ones(count, dtype=bool)
    if not ids:
        return np.zeros(count, dtype=bool)
    some = set(ids)
    return np.array([security.security_id in some for security in portfolio.securities], dtype=bool)


def _widest(scaled: ScaledPortfolio, held_values: Integers, raw_lots: Integers) -> int:
    """Return the largest number of a portfolio, times a small number, exactly."""
    largest = max(int(np.abs(held_values).max(initial=0)), int((scaled.targets + scaled.highs).max(initial=0)))
    return largest + int(raw_lots.max(initial=0)) + abs(scaled.market_value)


class Terms(Struct, frozen=True):
    """The numbers of some rules as integers, and the decimals that they need.

    Attributes:
        single_shares: every lot is one share.
        divided: lots or fees are parts of a share or its price.
        lot, lot_places: the lot of securities without their own, and the decimals of all lots.
        rate, rate_places: of the fee.
        money_places: of all amounts.
    """

    single_shares: bool
    divided: bool
    lot: int
    lot_places: int
    rate: int
    rate_places: int
    money_places: int


@lru_cache(maxsize=64)
def amounts_of(rules: Rules, places: int) -> tuple[int, ...]:
    """Return the smallest cash, fee per order, smallest trade and withdrawal in units of that many decimals."""
    amounts = (rules.minimum_cash, rules.fee_per_order, rules.minimum_trade_value, rules.withdrawal)
    return tuple(int(EXACT.scaleb(amount, places)) for amount in amounts)


@lru_cache(maxsize=64)
def terms_of(rules: Rules) -> Terms:
    """Return the numbers of rules, which are the same for all portfolios of a rebalance."""
    lot_places = max(map(_places, (rules.lot_size, *(lot.lot_size for lot in rules.lot_sizes))))
    rate_places = _places(rules.fee_rate)
    amounts = (rules.minimum_cash, rules.fee_per_order, rules.minimum_trade_value, rules.withdrawal)
    return Terms(
        single_shares=not rules.lot_sizes and rules.lot_size == 1,
        divided=bool(lot_places or rules.fee_rate),
        lot=int(EXACT.scaleb(rules.lot_size, lot_places)),
        lot_places=lot_places,
        rate=int(EXACT.scaleb(rules.fee_rate, rate_places)),
        rate_places=rate_places,
        money_places=max(map(_places, amounts)),
    )


def less_withdrawal(portfolio: Portfolio, rules: Rules) -> Portfolio:
    """Return a portfolio without the cash that is withdrawn."""
    if not rules.withdrawal:
        return portfolio
    return Portfolio(portfolio.securities, EXACT.subtract(portfolio.cash, rules.withdrawal))


def lot_sizes(portfolio: Portfolio, rules: Rules, terms: Terms) -> list[int]:
    """Return the lot of each security as an integer."""
    if not rules.lot_sizes:
        return [terms.lot] * len(portfolio.securities)
    special = {lot.security_id: int(EXACT.scaleb(lot.lot_size, terms.lot_places)) for lot in rules.lot_sizes}
    return [special.get(security.security_id, terms.lot) for security in portfolio.securities]


def _lot_array(portfolio: Portfolio, rules: Rules, terms: Terms) -> Integers:
    """Return the lot of each security as an integer of an array."""
    if not rules.lot_sizes:
        count = len(portfolio.securities)
        return np.full(count, terms.lot, dtype=np.int64 if terms.lot < INT64_LIMIT else object)
    sizes = lot_sizes(portfolio, rules, terms)
    return np.array(sizes, dtype=np.int64 if max(sizes, default=1) < INT64_LIMIT else object)


def unit_of(terms: Terms, scaled: Units, common: int) -> tuple[int, int]:
    """Return the decimals of a unit of money, and how many units a fine unit of the portfolio is.

    Args:
        terms: of the rules.
        scaled: the portfolio.
        common: greatest common divisor of prices times lots, which have the decimals of both; 0 if nothing is divided.
    """
    lot_digits = rate_digits = 0
    if terms.divided:
        lot_digits = _digits_needed(common, terms.lot_places)
        part = common * 10**lot_digits // 10**terms.lot_places * terms.rate
        rate_digits = _digits_needed(part, terms.rate_places)
    places = scaled.money_places + scaled.weight_places
    digits = max(lot_digits + rate_digits, terms.money_places - places, 0)
    return places + digits, 10**digits


def _places(number: Decimal) -> int:
    """Return the decimals that a number needs."""
    exponent = number.normalize(EXACT).as_tuple().exponent
    assert isinstance(exponent, int)
    return max(-exponent, 0)


def _digits_needed(common: int, places: int) -> int:
    """How many zeros to append to multiples of `common` so that `10 ** places` divides them."""
    rest = 10**places // gcd(common, 10**places)
    digits = 0
    while 10**digits % rest:
        digits += 1
    return digits
