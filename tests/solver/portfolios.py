"""Portfolios to solve: strategies that shrink to small counterexamples, and families drawn by the hundred thousand."""

import random
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from hypothesis import strategies as st

from solver import Portfolio, Security

HALF_PERCENT = Decimal("0.005")
CENT = Decimal("0.01")
TICKS = [CENT, Decimal("0.05"), Decimal("0.5"), Decimal(1)]
"""Coarser ticks do not make a portfolio easier, but let a judge count out its money."""
WIDE = Decimal(1)
"""A drift that limits nothing."""


def weights(*, most: Decimal = WIDE) -> st.SearchStrategy[Decimal]:
    """Targets and drifts as models have them, and with as many decimals as anybody could send."""
    steps = st.integers(0, int(most / HALF_PERCENT)).map(lambda steps: steps * HALF_PERCENT)
    return steps | st.decimals(0, most, places=4) | st.decimals(0, most, places=16)


def quantities() -> st.SearchStrategy[Decimal]:
    """Nothing, whole shares, short positions and fractions of shares."""
    whole = st.integers(-4, 12).map(Decimal)
    return st.just(Decimal(0)) | whole | st.decimals(-3, 9, places=2) | st.decimals(-2, 5, places=8)


@st.composite
def portfolios(draw: st.DrawFn, *, most_securities: int = 5) -> Portfolio:
    """Portfolios of so few shares each that every combination can be tried; many have no response, in all ways."""
    market_value = Decimal(draw(st.sampled_from([100, 1_000, 99_999, 10**6, 10**11])))
    securities = []
    for number in range(draw(st.integers(1, most_securities))):
        target = draw(weights(most=Decimal("0.6")))
        shares = draw(st.decimals(Decimal("0.2"), 6, places=2))
        places = draw(st.sampled_from([0, 2, 4, 8]))
        price = (market_value * max(target, HALF_PERCENT) / shares).quantize(Decimal(1).scaleb(-places))
        low, high = (draw(weights(most=Decimal("0.4"))), draw(weights(most=Decimal("0.4")))) if target else (0, 0)
        price = max(price, Decimal("0.0001"))
        securities.append(Security(f"S{number}", price, draw(quantities()), target, Decimal(low), Decimal(high)))
    held = sum((security.quantity * security.price for security in securities), Decimal(0))
    cash = draw(st.sampled_from([market_value - held, market_value, -market_value / 10]))
    return Portfolio(tuple(securities), cash)


def random_book(chance: random.Random, size: int) -> Portfolio:
    """Anything: 1e2 to 1e11 of money, prices of a hundredth of a cent to 100,000, shorts, fractions, overdrafts."""
    market_value = Decimal(f"{10 ** chance.uniform(2, 11):.{chance.choice([0, 2])}f}")
    cuts = sorted(chance.random() for _ in range(size - 1))
    parts = [high - low for low, high in zip([0.0, *cuts], [*cuts, 1.0], strict=True)]
    total = chance.choice([0.5, 0.9, 0.95, 0.95, 0.95, 0.999])
    width = 10 ** chance.uniform(-2, 0.3)
    # Most books have bands of at least a share, or nearly all large ones would have no response.
    least = 0.55 if chance.random() < 0.8 else 0.0
    securities = []
    for number, part in enumerate(parts):
        target = int(part * total * 200) * HALF_PERCENT
        if chance.random() < 0.2:
            target = Decimal(part * total).quantize(Decimal("0.000000001"), ROUND_FLOOR)
        shares = 10 ** chance.uniform(-0.3, chance.choice([0.6, 1, 4]))
        price = Decimal(float(market_value * max(target, HALF_PERCENT)) / shares)
        price = min(max(price, Decimal("0.0001")), Decimal(100_000)).quantize(
            Decimal(1).scaleb(-chance.choice([2, 2, 2, 4, 8]))
        )
        drifts = [Decimal(0), Decimal(0)]
        if target:
            share = float(price / market_value)
            drifts = [_drift(chance, max(float(target) * width, least * share)) for _ in range(2)]
        security = Security(f"S{number}", max(price, Decimal("0.0001")), Decimal(0), target, *drifts)
        securities.append(_held(chance, security, market_value))
    held = sum((security.quantity * security.price for security in securities), Decimal(0))
    return Portfolio(tuple(securities), market_value - held)


def _drift(chance: random.Random, scale: float) -> Decimal:
    drift = Decimal(min(chance.uniform(1, 3) * scale, 1.0))
    if chance.random() < 0.5:
        return (drift / HALF_PERCENT).quantize(Decimal(1), ROUND_CEILING) * HALF_PERCENT
    return drift.quantize(Decimal(1).scaleb(-chance.choice([4, 8, 13, 17])), ROUND_CEILING)


def _band(price: Decimal, shares: int, market_value: Decimal) -> Decimal:
    """The drift that so many shares make."""
    return min((price * shares / market_value).quantize(Decimal("0.0001"), ROUND_CEILING), WIDE)


def _held(chance: random.Random, security: Security, market_value: Decimal) -> Security:
    kind = chance.random()
    if kind < 0.4:
        return security
    wanted = float(market_value * security.target / security.price) * chance.uniform(0.5, 1.5)
    quantity = Decimal(wanted) if kind < 0.9 else -Decimal(wanted) / 4
    places = 0 if kind < 0.75 else chance.choice([1, 4, 8])
    return Security(
        security.security_id,
        security.price,
        quantity.quantize(Decimal(1).scaleb(-places)),
        security.target,
        security.low_drift,
        security.high_drift,
    )


def expensive_shares(chance: random.Random, size: int) -> Portfolio:
    """Targets of 95% in all, of one to four shares each: the nearest whole ones cost more than there is."""
    return _all_cash(
        chance, [_part(chance, chance.randint(0, 3), 0.55, 0.95) for _ in range(size)], 0.95, chance.choice(TICKS)
    )


def even_dollars(chance: random.Random, size: int) -> Portfolio:
    """Prices in even dollars: many combinations cost the same, and many optima tie."""
    return _all_cash(chance, [_part(chance, chance.randint(0, 9), 0.5, 0.9) for _ in range(size)], 0.97, Decimal(2))


def forced_purchases(chance: random.Random, size: int) -> Portfolio:
    """Every third band begins above the whole share below its target and so forces a purchase."""
    wanted = [_part(chance, chance.randint(0, 5), 0.5, 0.95) for _ in range(size)]
    portfolio = _all_cash(chance, wanted, 0.98, chance.choice(TICKS))
    forced = tuple(
        Security(
            security.security_id, security.price, security.quantity, security.target, Decimal(0), security.high_drift
        )
        if i % 3 == 0
        else security
        for i, security in enumerate(portfolio.securities)
    )
    return Portfolio(forced, portfolio.cash)


def one_cheap(chance: random.Random, size: int) -> Portfolio:
    """One cheap security among dear ones: to sell some of it frees what another dear share needs."""
    wanted = [_part(chance, chance.randint(0, 2), 0.5, 0.95) for _ in range(size - 1)]
    return _all_cash(chance, [Decimal(chance.randint(300, 900)), *wanted], 0.95, chance.choice(TICKS))


def equal_densities(chance: random.Random, size: int) -> Portfolio:
    """Every next share gains half its price: a subset sum, the hardest there is, and every exact fill is an optimum."""
    market_value, tick = Decimal(chance.choice([20_000, 100_000, 1_000_000])), chance.choice(TICKS)
    shares = [Decimal(chance.randint(0, 4)) + Decimal("0.75") for _ in range(size)]
    parts = [chance.uniform(0.3, 1.7) for _ in range(size)]
    unit = market_value * Decimal("0.95") / Decimal(sum(parts))
    securities = []
    for number, (part, wanted) in enumerate(zip(parts, shares, strict=True)):
        price = max((unit * Decimal(part) / wanted / tick).quantize(Decimal(1)) * tick, tick)
        band = _band(price, 6, market_value)
        securities.append(Security(f"S{number}", price, Decimal(0), price * wanted / market_value, band, band))
    return Portfolio(tuple(securities), market_value)


FAMILIES: dict[str, Callable[[random.Random, int], Portfolio]] = {
    "random book": random_book,
    "expensive shares": expensive_shares,
    "even dollars": even_dollars,
    "forced purchases": forced_purchases,
    "one cheap, many dear": one_cheap,
    "equal densities": equal_densities,
}


def _part(chance: random.Random, whole: int, least: float, most: float) -> Decimal:
    return whole + Decimal(chance.uniform(least, most)).quantize(Decimal("0.0001"))


def _all_cash(chance: random.Random, wanted: list[Decimal], total: float, tick: Decimal) -> Portfolio:
    """All cash, targets of about a total in half percents, and prices that make them so many shares each."""
    market_value = Decimal(chance.choice([20_000, 100_000, 1_000_000]))
    steps = max(1, round(total * 200 / len(wanted)))
    securities = []
    for number, shares in enumerate(wanted):
        target = HALF_PERCENT * max(1, chance.randint(steps - 1, steps + 1))
        price = max((market_value * target / shares / tick).quantize(Decimal(1)) * tick, tick)
        held = Decimal(chance.choice([0, 0, 1, 2]))
        band = _band(price, 6 if shares < 100 else 60, market_value)
        securities.append(Security(f"S{number}", price, held, target, band, band))
    held_value = sum((security.quantity * security.price for security in securities), Decimal(0))
    return Portfolio(tuple(securities), market_value - held_value)
