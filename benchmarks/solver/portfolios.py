"""The portfolios to compare on: realistic books, and six families that tell an exact method from the others."""

import random
from collections.abc import Callable, Sequence
from decimal import Decimal

from msgspec import Struct

from solver import Portfolio, Security

CENT = Decimal("0.01")
HALF_PERCENT = Decimal("0.005")
WIDE = Decimal(1)
"""A drift that limits nothing."""


def realistic(chance: random.Random, count: int) -> Portfolio:
    """Build a model like those of the GlobeCo suite; every second book is already invested."""
    market_value = chance.uniform(1e5, 1e6) if chance.random() < 0.6 else chance.uniform(1e6, 4e6)
    cash = Decimal(market_value).quantize(CENT)
    # 190 half percents, dealt so that everybody has at least one, make the usual 95%.
    cuts = sorted(chance.sample(range(1, 190), count - 1))
    invested = chance.random() < 0.5
    securities = []
    for number, (low, high) in enumerate(zip([0, *cuts], [*cuts, 190], strict=True)):
        price = max(Decimal(chance.lognormvariate(4.141, 0.692)).quantize(CENT), Decimal("1.79"))
        target = (high - low) * HALF_PERCENT
        held = int(cash * target / price * Decimal(chance.uniform(0.8, 1.2))) if invested else 0
        securities.append(Security(f"S{number}", price, Decimal(held), target, HALF_PERCENT, HALF_PERCENT))
    spent = sum((security.price * security.quantity for security in securities), Decimal(0))
    return Portfolio(tuple(securities), cash - spent)


class Wanted(Struct, frozen=True):
    """What a family wants of one security.

    Attributes:
        price: relative to the others; 0 for one of a dollar and 37 cents.
        shares: the target.
        least: shares at which the band begins, 0 for no lower end to speak of.
    """

    price: float
    shares: Decimal
    least: Decimal = Decimal(0)


def expensive(chance: random.Random, count: int) -> Portfolio:
    """Build targets of 95% in all, of so few shares each that the nearest whole ones would cost more than there is."""
    wanted = [Wanted(1.0, chance.randrange(1, 4) + _fraction(chance, 0.55, 0.95)) for _ in range(count)]
    return _invested(chance, wanted, Decimal("0.95"), CENT)


def even_dollars(chance: random.Random, count: int) -> Portfolio:
    """Build prices in even dollars: many combinations cost the same, and many optima tie."""
    fractions = [Decimal("0.6"), Decimal("0.75"), Decimal("0.8")]
    wanted = [
        Wanted(chance.uniform(0.5, 1.5), chance.randrange(1, 20) + chance.choice(fractions)) for _ in range(count)
    ]
    return _invested(chance, wanted, Decimal("0.995"), Decimal(2))


def subset_sums(chance: random.Random, count: int) -> Portfolio:
    """Build a book whose shares all gain the same per dollar: only the sum nearest to the cash is best."""
    wanted = [Wanted(chance.uniform(0.5, 1.5), chance.randrange(4, 13) + Decimal("0.75")) for _ in range(count)]
    return _invested(chance, wanted, Decimal("0.9999"), Decimal("0.04"))


def forced_minimums(chance: random.Random, count: int) -> Portfolio:
    """Build bands that force every second security a share above its target leave too little for the others."""
    wanted = []
    for number in range(count):
        whole = Decimal(chance.randrange(1, 12))
        fraction = _fraction(chance, 0.6, 0.9)
        least = whole + Decimal("0.5") if number % 2 else Decimal(0)
        wanted.append(Wanted(chance.uniform(0.1, 1.9), whole + fraction, least))
    return _invested(chance, wanted, Decimal("0.985"), CENT)


def one_cheap(chance: random.Random, count: int) -> Portfolio:
    """One cheap security among dear ones: to sell some of it frees the dollars that another dear share needs."""
    dear = [
        Wanted(chance.uniform(0.5, 1.5), chance.randrange(1, 6) + _fraction(chance, 0.5, 0.9)) for _ in range(count - 1)
    ]
    return _invested(chance, [Wanted(0.0, Decimal(chance.randrange(500, 5000))), *dear], Decimal("0.997"), CENT)


def hairs_breadth(chance: random.Random, count: int) -> Portfolio:
    """Build bands that begin a billionth of a share above a whole one, so one more is needed within any tolerance."""
    wanted = []
    for _ in range(count):
        whole = Decimal(chance.randrange(5, 50))
        wanted.append(
            Wanted(chance.uniform(0.5, 1.5), whole + _fraction(chance, 0.1, 0.4), whole + Decimal("0.000000001"))
        )
    return _invested(chance, wanted, Decimal("0.9"), CENT)


HARD: dict[str, Callable[[random.Random, int], Portfolio]] = {
    "expensive shares": expensive,
    "even dollars": even_dollars,
    "subset sums": subset_sums,
    "forced minimums": forced_minimums,
    "one cheap, many dear": one_cheap,
    "hair's breadth": hairs_breadth,
}
"""Families in which the cash binds, and one in which the bands are the difficulty."""


def _fraction(chance: random.Random, low: float, high: float) -> Decimal:
    return Decimal(chance.uniform(low, high)).quantize(CENT)


def _invested(chance: random.Random, wanted: Sequence[Wanted], part: Decimal, tick: Decimal) -> Portfolio:
    """Build an all-cash portfolio, with targets for a part of it and prices that are multiples of a tick."""
    cash = Decimal(chance.choice([100_000, 1_000_000]))
    cheap = Decimal("1.37")
    to_spend = cash * part - sum(one.shares * cheap for one in wanted if not one.price)
    unit = to_spend / sum((Decimal(one.price) * one.shares for one in wanted), Decimal(0))
    securities = []
    for number, one in enumerate(wanted):
        price = max((Decimal(one.price) * unit / tick).quantize(Decimal(1)) * tick, tick) if one.price else cheap
        # The cash is a power of ten, so targets and drifts are exact decimals.
        target, least = one.shares * price / cash, one.least * price / cash
        securities.append(Security(f"S{number}", price, Decimal(0), target, target - least, WIDE))
    return Portfolio(tuple(securities), cash)
