"""Draws portfolios with rules: for Hypothesis, which shrinks them, and by number, for runs of many thousands.

Each book has few lots of each security, so that judges can try them all, whatever the lots are worth.
"""

import random
from collections.abc import Callable, Collection
from decimal import Decimal
from itertools import combinations
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from solver import Bands, Direction, Goal, LotSize, Portfolio, Rules, Security, TradeScope

ZERO = Decimal(0)
STEP = Decimal("0.005")
IDS = ["A", "B", "B1", "C", "D", "S1", "S10", "S2", "T", "a"]
UNKNOWN = "elsewhere"
LOTS = [Decimal(text) for text in ("1", "1", "100", "10", "3", "0.5", "0.25", "0.001", "0.00000001")]

type Book = tuple[Portfolio, Rules]
type Drawer = Callable[[random.Random, Portfolio], Any]


def _some(chance: random.Random, portfolio: Portfolio) -> tuple[str, ...]:
    ids = [security.security_id for security in portfolio.securities]
    chosen = [security_id for security_id in ids if chance.random() < 0.4] or [chance.choice(ids)]
    return (*chosen, UNKNOWN) if chance.random() < 0.1 else tuple(chosen)


def _worth(portfolio: Portfolio) -> Decimal:
    held = (abs(security.price * security.quantity) for security in portfolio.securities)
    return sum(held, abs(portfolio.cash))


def _share_of_worth(*shares: str) -> Drawer:
    def drawn(chance: random.Random, portfolio: Portfolio) -> Decimal:
        return _worth(portfolio) * Decimal(chance.choice(shares))

    return drawn


def _lots_of_money(*lots: str) -> Drawer:
    """Draw money that some lots of one security are worth, exactly or about."""

    def drawn(chance: random.Random, portfolio: Portfolio) -> Decimal:
        security = chance.choice(portfolio.securities)
        wanted = security.target * _worth(portfolio) / chance.choice([1, 2, 3, 5])
        return chance.choice([security.price * Decimal(chance.choice(lots)), round(wanted, 4), Decimal("0.01")])

    return drawn


DRAWERS: dict[str, Drawer] = {
    "goal": lambda _chance, _portfolio: Goal.BAND,
    "bands": lambda _chance, _portfolio: Bands.PREFERRED,
    "direction": lambda chance, _portfolio: chance.choice([Direction.BUY_ONLY, Direction.SELL_ONLY]),
    "trade": lambda _chance, _portfolio: TradeScope.OUT_OF_BAND,
    "do_not_trade": _some,
    "do_not_buy": _some,
    "do_not_sell": _some,
    "minimum_trade_value": _lots_of_money("0.5", "1", "2", "2.5", "4", "10"),
    "lot_size": lambda chance, _portfolio: chance.choice(LOTS),
    "lot_sizes": lambda chance, portfolio: tuple(
        LotSize(security_id=security_id, lot_size=chance.choice(LOTS)) for security_id in _some(chance, portfolio)
    ),
    "minimum_cash": _share_of_worth("0.001", "0.02", "0.05", "0.05", "0.3"),
    "withdrawal": _share_of_worth("0.001", "0.02", "0.02", "0.1", "0.5"),
    "fee_rate": lambda chance, _portfolio: Decimal(chance.choice(["0.0001", "0.001", "0.01", "0.1", "0.5", "0.99"])),
    "fee_per_order": _lots_of_money("0.01", "0.1", "0.5", "1", "2"),
}
"""How a value of each rule is drawn that may matter to a portfolio."""

PAIRS = list(combinations(DRAWERS, 2))


def draw_book(chance: random.Random, names: Collection[str], *, most_securities: int = 4, coarse: bool = False) -> Book:
    """Draw a portfolio and the named rules for it.

    Args:
        chance: the source of every draw.
        names: rules, as in `DRAWERS`.
        most_securities: upper limit of the number of securities.
        coarse: draw about the most securities, and prices in whole tens, so that cash can be counted out.
    """
    count = chance.randint(most_securities // 2 if coarse else 1, most_securities)
    ids = chance.sample(IDS if count <= len(IDS) else [f"N{number}" for number in range(count)], count)
    blank = Portfolio(tuple(Security(security_id, Decimal(1)) for security_id in ids), ZERO)
    lots = {name: DRAWERS[name](chance, blank) for name in ("lot_size", "lot_sizes") if name in names}
    portfolio = _portfolio(chance, ids, Rules(**lots), coarse=coarse)
    others = {name: DRAWERS[name](chance, portfolio) for name in DRAWERS if name in names and name not in lots}
    return portfolio, Rules(**lots, **others)


def _portfolio(chance: random.Random, ids: list[str], rules: Rules, *, coarse: bool) -> Portfolio:
    own = {lot.security_id: lot.lot_size for lot in rules.lot_sizes}
    worth = Decimal(chance.choice([100, 1_000, 20_000, 99_999, 10**6]))
    tight = chance.random() < 0.6
    shares = _shares(chance, len(ids), tight=tight)
    securities = tuple(
        _security(chance, security_id, share, worth, own.get(security_id, rules.lot_size), tight=tight)
        for security_id, share in zip(ids, shares, strict=True)
    )
    if coarse:
        securities = tuple(replace(security, price=_coarse(security.price)) for security in securities)
    held = sum((security.quantity * security.price for security in securities), ZERO)
    cash = chance.choice([worth - held] * 20 + [worth, ZERO, -held, -held - 1, -worth / 10])
    return Portfolio(securities, cash)


def _shares(chance: random.Random, count: int, *, tight: bool) -> list[Decimal]:
    """Draw targets: in half percents or with more decimals, some 0, up to nearly everything together."""
    parts = [chance.randint(1 if tight else 0, 9) for _ in range(count)]
    whole = sum(parts) or 1
    total = Decimal(chance.choice(["0.95", "0.99", "1"] if tight else ["0.5", "0.8", "0.95"]))
    places = chance.choice([None, None, 4, 12])
    shares = [total * part / whole for part in parts]
    if places is None:
        return [share // STEP * STEP for share in shares]
    return [share.quantize(Decimal(1).scaleb(-places), "ROUND_DOWN") for share in shares]


def _security(
    chance: random.Random, security_id: str, target: Decimal, worth: Decimal, lot: Decimal, *, tight: bool
) -> Security:
    """Draw a security of a few lots; in a tight book, the nearest lot is usually above the target."""
    lots = chance.randint(0, 5) + Decimal(chance.randint(5, 8) if tight else chance.randint(1, 8)) / 8
    price = worth * max(target, Decimal("0.05")) / (lots * lot)
    places = chance.choice([0, 1, 2, 2, 4])
    digits = places if price > 1 else places - price.adjusted()
    price = round(price, digits) or Decimal(1).scaleb(-digits)
    low, high = (_drift(chance, target, price * lot / worth) for _ in range(2))
    if not target and chance.random() < 0.8:
        low = high = ZERO
    return Security(security_id, price, _quantity(chance, lot), target, low, high)


def _coarse(price: Decimal) -> Decimal:
    """Round a price to two digits."""
    return round(price, 1 - price.adjusted())


def _drift(chance: random.Random, target: Decimal, lot_weight: Decimal) -> Decimal:
    kind = chance.randint(0, 19)
    if kind == 0:
        return ZERO
    if kind < 6:
        return Decimal(1)
    if kind < 8:
        return min(round(target * chance.randint(0, 100) / 100, 4), Decimal(1))
    return min(round(lot_weight * chance.randint(3, 32) / 8, 8), Decimal(1))


def _quantity(chance: random.Random, lot: Decimal) -> Decimal:
    """Draw nothing, whole lots, a part of a lot on top of them, or a short position."""
    kind = chance.randint(0, 9)
    if kind < 3:
        return ZERO
    whole = chance.randint(1, 8) * lot
    if kind < 7:
        return whole
    part = lot * chance.randint(1, 99) / 100
    return whole - lot + part if kind < 9 else chance.choice([-whole, part - whole, -part])


def counted_book(chance: random.Random, size: int) -> Book:
    """Draw a large book in which cash binds: all money is in whole tens, so a dynamic programme can count it out."""
    prices = [Decimal(10 * chance.choice([1, 2, 3, 5, 7, 11, 13, 20, 37])) for _ in range(size)]
    wanted = [price * (chance.randint(0, 3) + Decimal(chance.randint(4, 9)) / 10) for price in prices]
    worth = Decimal(round(sum(wanted) / Decimal(chance.choice(["0.95", "0.99", "1", "1.02"])), -1))
    securities = []
    for number in chance.sample(range(size), size):
        price, target = prices[number], min(round(wanted[number] / worth, 6), Decimal(1))
        low, high = (_drift(chance, target, price / worth) for _ in range(2))
        held = Decimal(chance.choice([0, 0, 1, 2, 3]))
        securities.append(Security(f"N{number}", price, held, target, low, high))
    excess = sum((security.target for security in securities), ZERO) - 1
    if excess > 0:
        securities = [replace(security, target=security.target * (1 - excess)) for security in securities]
    cash = worth - sum((security.price * security.quantity for security in securities), ZERO)
    portfolio = Portfolio(tuple(securities), cash)
    chosen = chance.sample(["goal", "direction", "trade", "do_not_trade", "do_not_buy", "do_not_sell"], 2)
    rules = {name: DRAWERS[name](chance, portfolio) for name in chosen if chance.random() < 0.4}
    rules["bands"] = chance.choice([Bands.PREFERRED, Bands.PREFERRED, Bands.REQUIRED])
    rules["minimum_trade_value"] = Decimal(chance.choice([0, 0, 20, 60, 150]))
    rules["fee_per_order"] = Decimal(chance.choice([0, 0, 10, 20, 40]))
    rules["minimum_cash"] = Decimal(10 * chance.choice([0, 0, 3, 11]))
    return portfolio, Rules(**rules)


def even_book(chance: random.Random, size: int) -> Book:
    """Draw a book of few distinct prices in which cash binds, without rules: many of its optima tie."""
    securities = [
        Security(
            f"N{number}",
            Decimal(chance.choice([10, 20, 20, 30, 50])),
            Decimal(chance.choice([0, 0, 1, 2])),
            round(Decimal(chance.choice(["0.9", "1"])) / size, 3),
            Decimal(1),
            Decimal(1),
        )
        for number in chance.sample(range(10 * size), size)
    ]
    held = sum((security.price * security.quantity for security in securities), ZERO)
    return Portfolio(tuple(securities), 37 * size - held), Rules()


def books(names: Collection[str] | None = None, *, most_securities: int = 4) -> st.SearchStrategy[Book]:
    """Return a strategy of books with the named rules, or with any mixture of rules."""

    def drawn(chance: random.Random) -> Book:
        return draw_book(chance, mixture(chance) if names is None else names, most_securities=most_securities)

    return st.randoms(use_true_random=False).map(drawn)


def mixture(chance: random.Random) -> list[str]:
    """Draw the names of some rules: few or many."""
    share = chance.choice([0.15, 0.3, 0.6])
    return [name for name in DRAWERS if chance.random() < share]


def numbered(number: int, *, most_securities: int = 4) -> Book:
    """Return a book of a long run: a rule alone, a pair or a mixture, in turn."""
    chance = random.Random(f"rules {number}")
    names = list(DRAWERS)
    kind, index = number % 3, number // 3
    chosen = ([names[index % len(names)]], PAIRS[index % len(PAIRS)], mixture(chance))[kind]
    return draw_book(chance, chosen, most_securities=most_securities)
