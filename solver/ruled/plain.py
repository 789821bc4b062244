"""A portfolio and its rules in lists of whole numbers: for few securities, a loop takes less time than calls of numpy.

The numbers are those of `solver.ruled.book`, and the best quantities those of `solver.ruled.certificate`, one security
after the other. Whatever is not decided at once is decided by the code that also serves if the cash binds.
"""

from math import gcd
from operator import mul

from msgspec import Struct

from solver.plain import scale_plain
from solver.problem import Portfolio
from solver.ruled.allowed import Interval, Line, Standing, allowed, restraints_on, unrestrained
from solver.ruled.book import Totals, amounts_of, less_withdrawal, lot_sizes, terms_of, unit_of
from solver.ruled.certificate import kinds_of
from solver.ruled.levels import best, levels_of, objective
from solver.ruled.restraints import restraint_on
from solver.rules import Bands, Direction, Goal, Restraint, Rules, TradeScope

_OF_SALES = {Restraint.DO_NOT_SELL, Restraint.BUY_ONLY}
_OF_PURCHASES = {Restraint.DO_NOT_BUY, Restraint.SELL_ONLY}
"""Restraints that remove no purchases, and those that remove no sales."""


class PlainBook(Totals, frozen=True):
    """A portfolio with rules; its securities in their order."""

    lines: list[Line]


class PlainOwn(Struct, frozen=True):
    """The best quantity of each security on its own, in the order of the securities.

    Attributes:
        trades: in lots.
        exempt: whether each is kept outside its band by a restraint.
        uses: cash that all use, fees included.
        objective: what is minimised second.
        restraints: the rule that kept each from a better quantity.
    """

    trades: list[int]
    exempt: list[bool]
    uses: int
    objective: int
    restraints: tuple[Restraint | None, ...]


def open_plain(portfolio: Portfolio, rules: Rules) -> PlainBook:
    """Bring every number of a portfolio and its rules to integers.

    Raises:
        InvalidPortfolio: a number of the portfolio is out of range, or a security appears twice.
    """
    terms = terms_of(rules)
    scaled = scale_plain(less_withdrawal(portfolio, rules))
    sizes = lot_sizes(portfolio, rules, terms)
    raw_lots = scaled.prices if terms.single_shares else list(map(mul, scaled.prices, sizes))
    places, factor = unit_of(terms, scaled, gcd(*raw_lots) if terms.divided else 0)
    minimum_cash, order_fee, minimum_trade, withdrawal = amounts_of(rules, places)
    divisor, rate_divisor = 10**terms.lot_places, 10**terms.rate_places
    seller, buyer = rules.direction is Direction.SELL_ONLY, rules.direction is Direction.BUY_ONLY
    outsiders = rules.trade is TradeScope.OUT_OF_BAND
    unbought, unsold, locked = rules.do_not_buy, rules.do_not_sell, rules.do_not_trade
    lines = []
    for index, (security, price, lot, raw_lot, shares, fraction, target, low, high) in enumerate(
        zip(
            portfolio.securities,
            scaled.prices,
            sizes,
            raw_lots,
            scaled.held,
            scaled.fractions,
            scaled.targets,
            scaled.lows,
            scaled.highs,
            strict=True,
        )
    ):
        name = security.security_id
        value = raw_lot * factor // divisor
        held = (shares * price + fraction) * factor
        lots = held // value
        if target or low or high:
            lower, upper = (target - low) * factor if target > low else 0, (target + high) * factor
        else:
            lower = upper = held - lots * value
        lines.append(
            Line(
                index,
                value,
                value * terms.rate // rate_divisor,
                lot,
                order_fee,
                held,
                lots,
                target * factor,
                lower,
                upper,
                max(-(-minimum_trade // value), 1) if minimum_trade else 1,
                seller or name in unbought,
                buyer or name in unsold,
                name in locked,
                outsiders and lower <= held <= upper,
            )
        )
    return PlainBook(
        portfolio,
        rules,
        places,
        scaled.money_places,
        scaled.market_value * factor,
        scaled.cash * factor,
        minimum_cash,
        order_fee,
        minimum_trade,
        withdrawal,
        lines,
    )


def best_in_lists(book: PlainBook) -> PlainOwn | None:
    """Return the best quantity of each security if cash were no concern; None if one has none."""
    rules, goal = book.rules, book.rules.goal
    restrained = bool(kinds_of(rules))
    trades, exempt, restraints = [], [], []
    uses = cost = 0
    for line in book.lines:
        free, band = _free(line, goal), line.band
        at_once = _at_once(line, free, band, goal)
        found = at_once or _compared(line, rules)
        if found is None:
            return None
        trade, standing = found
        moved, fee = line.lot_value * trade, line.fee(trade)
        uses += moved + fee
        cost += fee + (abs(line.target - line.held - moved) if goal is Goal.TARGET else abs(moved))
        asked = restrained and at_once != (free, Standing.FREE)
        trades.append(trade)
        exempt.append(standing is Standing.EXEMPT)
        restraints.append(_restraint(book, line, trade, free, standing) if asked else None)
    return PlainOwn(trades, exempt, uses, cost, tuple(restraints))


def _free(line: Line, goal: Goal) -> int:
    """Return the best trade without any limit: to the target, or none for the goal BAND; see `certificate`."""
    if goal is Goal.BAND:
        return 0
    value = line.lot_value
    lower, rest = divmod(line.target - line.held, value)
    selling = lower < 0
    farther = value - rest - rest + (-line.lot_fee if selling else line.lot_fee)
    return lower + (farther < selling)


def _at_once(line: Line, free: int, band: Interval, goal: Goal) -> tuple[int, Standing] | None:
    """Return the best trade and how it stands to the band, if few trades matter; None if others do.

    Costs rise on either side of the free trade. So the one nearest to it in the band matters, or if that is too small
    an order, the least one on the same side; and to hold.
    """
    first, last = band
    holds = first <= 0 <= last
    if line.lots < 0:
        return None
    if line.locked or line.in_band:
        return 0, Standing.FREE if holds else Standing.EXEMPT
    if first > last:
        return None
    trade = min(max(free, first), last)
    if line.no_buying if trade > 0 else trade and line.no_selling:
        return 0, Standing.FREE if holds else Standing.EXEMPT
    small = 0 < abs(trade) < line.least_trade and trade != -line.lots
    if small:
        if not holds:
            return None
        trade = line.least_trade if trade > 0 else max(-line.least_trade, -line.lots)
        if not first <= trade <= last:
            return 0, Standing.FREE
    may_hold = trade and holds and (small or line.order_fee)
    if may_hold and objective(line, 0, goal) <= objective(line, trade, goal):
        return 0, Standing.FREE
    return trade, Standing.FREE


def _compared(line: Line, rules: Rules) -> tuple[int, Standing] | None:
    """Return the same by comparing all trades that may be best; None if no quantity is allowed."""
    choices, standing = allowed(line, rules.bands)
    found = best(line, choices, levels_of(rules, ties=True))
    return None if found is None else (found[1], standing)


def _restraint(book: PlainBook, line: Line, own: int, free: int, standing: Standing) -> Restraint | None:
    """Return the rule that kept a security from a better quantity than its own best one, or from its band.

    On the side of the trade that would be best, a restraint that removes this side removed it; see `restraints`.
    """
    first, last = line.band
    if line.lots < 0 or first > last:
        return _restraint_of_odd(book, line, own, standing)
    wanted, goal = min(max(free, first), last), book.rules.goal
    if standing is Standing.FREE and objective(line, wanted, goal) >= objective(line, own, goal):
        return None
    kinds = kinds_of(book.rules)
    if len(kinds) == 1 or (line.in_band and kinds[0] is Restraint.IN_BAND):
        return kinds[0]
    others = _OF_SALES if wanted > 0 else _OF_PURCHASES
    return next((restraint for restraint in restraints_on(book, line) if restraint not in others), None)


def _restraint_of_odd(book: PlainBook, line: Line, own: int, standing: Standing) -> Restraint | None:
    """Return the same for a short position, or if no quantity in whole lots lies in the band."""
    if standing is Standing.FREE:
        band = line.band
        if book.rules.bands is Bands.REQUIRED and band[0] > band[1]:
            return None
        levels = levels_of(book.rules, ties=False)
        found = best(line, unrestrained(line) if book.rules.bands is Bands.PREFERRED else [band], levels)
        if found is None or found[0] >= levels(line, own):
            return None
    return restraint_on(book, line, allowed(line, book.rules.bands)[0], standing)
