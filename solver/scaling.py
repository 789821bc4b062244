"""Turns a portfolio of Decimals into arrays of integers over common denominators, and integers back into Decimals.

Example: 7.5 shares at 12.34, 100.00 in cash, target 0.125. Price and quantity have 2 and 1 decimals, so money has 3:
the market value is 192.550, or 192550 thousandths. The target has 3 further decimals, so the fine unit is a millionth:
the wanted value is 192550 * 125 = 24068750 of them, a share costs 1234 * 10 * 1000 = 12340000, and half a share, the
fraction that stays, is worth 6170000. Every later comparison is one of whole numbers.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Clamped, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow, Rounded
from typing import Any

import numpy as np
from msgspec import Struct, json
from numpy.typing import NDArray

from solver.problem import InvalidPortfolio, Portfolio

type Integers = NDArray[Any]
"""int64 where every sum and product of them provably fits, else Python integers."""

INT64_LIMIT = 2**62

MAGNITUDE = 64
"""Digits allowed on either side of the decimal point: far beyond money, and a bound on what one portfolio can ask."""

EXACT = Context(
    prec=1000, Emin=-999, Emax=999, traps=[Clamped, DivisionByZero, Inexact, InvalidOperation, Overflow, Rounded]
)
"""Wide enough for a sum of products of three admitted numbers, and an error rather than a rounded result beyond."""

_TEXT = json.Encoder(decimal_format="number")
_PLAIN = b"0123456789-,.[]"
_COMMA, _POINT, _END = b",.]"
_NO_DECIMALS = re.compile(rb"\.0+(?=[,\]])")
_LONGEST = 18
"""Digits that surely fit in an int64."""


class Units(Struct, frozen=True):
    """The units of a portfolio in whole numbers, and what it is worth in them.

    All money is in fine units, so small that every value held or wanted is a whole number of them.

    Attributes:
        market_value, cash: before the rebalance.
        money_places: decimals of the cash and of what is held.
        target_places: further decimals of a target's value.
        weight_places: further decimals of a band's value, at least `target_places`; together, those of a fine unit.
    """

    market_value: int
    cash: int
    money_places: int
    target_places: int
    weight_places: int

    def money(self, amount: int) -> Decimal:
        """Return an amount of fine units as money; exact, with no more decimals than a target's value has."""
        places = self.money_places + self.target_places
        return unscaled(amount // 10 ** (self.weight_places - self.target_places), places)

    def cash_money(self, amount: int) -> Decimal:
        """Return as money an amount of fine units that consists of cash and of shares at their price; exact."""
        return unscaled(amount // 10**self.weight_places, self.money_places)


class ScaledPortfolio(Units, frozen=True):
    """A portfolio in whole numbers. Every array is in the order of its securities.

    Attributes:
        prices: of a share, above 0.
        held: whole shares held, rounded down.
        fractions: value of the fraction of a share held above `held`; it can neither be bought nor sold.
        targets: wanted value.
        lows, highs: how far the value may lie below and above the target.
        gross: no value, nor the sum of all values, is larger.
    """

    prices: Integers
    held: Integers
    fractions: Integers
    targets: Integers
    lows: Integers
    highs: Integers
    gross: int


def scale(portfolio: Portfolio) -> ScaledPortfolio:
    """Bring every number of a portfolio to integers.

    Raises:
        InvalidPortfolio: a number is not finite or out of range, or a security appears twice; names the field.
    """
    securities = portfolio.securities
    count = len(securities)
    numbers = [security.price for security in securities]
    numbers += [security.quantity for security in securities]
    numbers += [security.target for security in securities]
    numbers += [security.low_drift for security in securities]
    numbers += [security.high_drift for security in securities]
    numbers.append(portfolio.cash)
    integers, places = _digits(portfolio, numbers)
    common = np.empty(len(numbers), dtype=np.int64)
    common[:count] = price_places = int(places[:count].max(initial=0))
    common[count : 2 * count] = quantity_places = int(places[count : 2 * count].max(initial=0))
    common[2 * count :] = weight_places = int(places[2 * count : -1].max(initial=0))
    common[-1] = cash_places = int(places[-1])
    missing = common - places
    if missing.any():
        integers = integers * np.array(10, dtype=integers.dtype) ** missing
    prices, quantities, weights = integers[:count], integers[count : 2 * count], integers[2 * count : -1]

    share, whole = 10**quantity_places, 10**weight_places
    dearest = int(prices.max(initial=0))
    if (
        len({security.security_id for security in securities}) < count
        or prices.min(initial=1) <= 0
        or weights.min(initial=0) < 0
        or weights.max(initial=0) > whole
    ):
        refuse(portfolio)
    money_places = max(price_places + quantity_places, cash_places)
    to_money = 10 ** (money_places - price_places - quantity_places)
    cash = int(integers[-1]) * 10 ** (money_places - cash_places)
    most_held = int(np.abs(quantities).max(initial=0))
    # No value, nor the sum of all values, before or after the rebalance, exceeds this many fine units by far.
    gross = (count * most_held * dearest * to_money + abs(cash) + dearest * share * to_money) * whole
    if 8 * (count + 1) * gross >= INT64_LIMIT:
        prices, quantities, weights = prices.astype(object), quantities.astype(object), weights.astype(object)

    market_value = int(prices @ quantities) * to_money + cash
    held = quantities // share
    return ScaledPortfolio(
        market_value=market_value * whole,
        cash=cash * whole,
        money_places=money_places,
        target_places=int(places[2 * count : 3 * count].max(initial=0)),
        weight_places=weight_places,
        prices=prices * (share * to_money * whole),
        held=held,
        fractions=(quantities - held * share) * prices * (to_money * whole),
        targets=weights[:count] * market_value,
        lows=weights[count : 2 * count] * market_value,
        highs=weights[2 * count :] * market_value,
        gross=gross,
    )


def unscaled(number: int, places: int) -> Decimal:
    """Return `number * 10 ** -places`, exactly, in any decimal context of the caller."""
    return EXACT.scaleb(Decimal(number), -places)


def numerals(portfolio: Portfolio, numbers: Sequence[Decimal]) -> bytes:
    """Return the numbers of a portfolio, its cash last, in decimal notation, separated by commas and within brackets.

    Books keep eight decimals of every number. Without those that say nothing, nearly everything fits in an int64.
    """
    text = _TEXT.encode(numbers)
    if text.translate(None, _PLAIN):
        refuse_unbounded(portfolio)
        text = f"[{','.join(f'{number:f}' for number in numbers)}]".encode()
    others, separator, cash = _NO_DECIMALS.sub(b"", text).rpartition(b",")
    return others + separator + (cash[:-1].rstrip(b"0") + b"]" if b"." in cash else cash)


def _digits(portfolio: Portfolio, numbers: Sequence[Decimal]) -> tuple[Integers, NDArray[np.int64]]:
    """Return each number of a portfolio, its cash last, as integer digits and the count of its decimals.

    Written out as text and read back at once, five hundred numbers take the time of asking a hundred for their digits.
    """
    text = numerals(portfolio, numbers)
    characters = np.frombuffer(text, dtype=np.uint8)
    ends = np.flatnonzero((characters == _COMMA) | (characters == _END))
    longest = max(int(ends[0]), int(np.diff(ends).max(initial=0))) - 1
    if longest > MAGNITUDE:
        refuse_unbounded(portfolio)
    points = np.flatnonzero(characters == _POINT)
    owners = np.searchsorted(ends, points)
    places = np.zeros(len(ends), dtype=np.int64)
    places[owners] = ends[owners] - points - 1
    digits = text.translate(None, b".[]")
    if longest + int(places.max()) <= _LONGEST:
        return np.fromstring(digits, dtype=np.int64, sep=","), places
    return np.array(list(map(int, digits.split(b","))), dtype=object), places


def refuse_unbounded(portfolio: Portfolio) -> None:
    """Raise if a number is not finite, or so long that arithmetic on it would take its time."""
    _require_bounded("cash", portfolio.cash)
    for security in portfolio.securities:
        for field in ("price", "quantity", "target", "low_drift", "high_drift"):
            _require_bounded(f"{field} of {security.security_id}", getattr(security, field))


def _require_bounded(field: str, number: Decimal) -> None:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        raise InvalidPortfolio(f"{field}: must be a finite number, is {number}")
    if exponent < -MAGNITUDE or number.adjusted() >= MAGNITUDE:
        raise InvalidPortfolio(
            f"{field}: must have at most {MAGNITUDE} digits on either side of the point, is {number}"
        )


def refuse(portfolio: Portfolio) -> None:
    """Raise for the first security that breaks a rule; called once a look at all of them has found that one does."""
    seen: set[str] = set()
    for security in portfolio.securities:
        name = security.security_id
        if name in seen:
            raise InvalidPortfolio(f"security_id: {name} appears more than once")
        seen.add(name)
        _require(f"price of {name}", security.price, lambda price: price > 0, "must be above 0")
        for field in ("target", "low_drift", "high_drift"):
            _require(f"{field} of {name}", getattr(security, field), lambda weight: 0 <= weight <= 1, "must be 0 to 1")


def _require(field: str, number: Decimal, rule: Callable[[Decimal], bool], message: str) -> None:
    if not rule(number):
        raise InvalidPortfolio(f"{field}: {message}, is {number}")
