"""Turns a portfolio of Decimals into arrays of integers over common denominators, and integers back into Decimals.

Example: 7.5 shares at 12.34, 100.00 in cash, target 0.125. Price and quantity have 2 and 1 decimals, so money has 3:
the market value is 192.550, or 192550 thousandths. The target has 3 further decimals, so the fine unit is a millionth:
the wanted value is 192550 * 125 = 24068750 of them, a share costs 1234 * 10 * 1000 = 12340000, and half a share, the
fraction that stays, is worth 6170000. Every later comparison is one of whole numbers.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Clamped, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow, Rounded
from functools import lru_cache
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
REMEMBERED_LISTINGS = 8
"""Prices and weights of models whose portfolios are being solved."""
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
    listing = _listing(Listed(portfolio))
    quantity_text, cash_text = held_numerals(portfolio)
    quantities, quantity_places = _quantities(portfolio, quantity_text)
    cash_digits, cash_places = number_of(portfolio, cash_text)

    share, whole = 10**quantity_places, 10**listing.weight_places
    money_places = max(listing.price_places + quantity_places, cash_places)
    to_money = 10 ** (money_places - listing.price_places - quantity_places)
    cash = cash_digits * 10 ** (money_places - cash_places)
    most_held = int(np.abs(quantities).max(initial=0))
    dearest = listing.dearest
    # No value, nor the sum of all values, before or after the rebalance, exceeds this many fine units by far.
    gross = (count * most_held * dearest * to_money + abs(cash) + dearest * share * to_money) * whole
    number = np.dtype(object if 8 * (count + 1) * gross >= INT64_LIMIT else np.int64)
    prices, quantities, weights = (
        each.astype(number, copy=False) for each in (listing.prices, quantities, listing.weights)
    )

    market_value = int(prices @ quantities) * to_money + cash
    held = quantities // share if share > 1 else quantities
    values = weights * market_value
    return ScaledPortfolio(
        market_value=market_value * whole,
        cash=cash * whole,
        money_places=money_places,
        target_places=listing.target_places,
        weight_places=listing.weight_places,
        prices=prices * (share * to_money * whole),
        held=held,
        fractions=(quantities - held * share) * prices * (to_money * whole),
        targets=values[:count],
        lows=values[count : 2 * count],
        highs=values[2 * count :],
        gross=gross,
    )


class Listed:
    """What the portfolios of one model share: the ids, prices, targets and bands of their securities.

    Two of them are equal if they have the same objects, not equal ones: that takes a quarter of the time of writing the
    numbers out, and no result depends on what was solved before.

    Attributes:
        portfolio: keeps the objects alive, and so their identities.
        numbers: prices, targets, low drifts and high drifts.
    """

    def __init__(self, portfolio: Portfolio) -> None:
        securities = portfolio.securities
        self.portfolio = portfolio
        self.numbers = [security.price for security in securities]
        self.numbers += [security.target for security in securities]
        self.numbers += [security.low_drift for security in securities]
        self.numbers += [security.high_drift for security in securities]
        self._identities = *map(id, [security.security_id for security in securities]), *map(id, self.numbers)

    def __hash__(self) -> int:
        return hash(self._identities)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Listed) and self._identities == other._identities


class Listing(Struct, frozen=True, eq=False):
    """Prices and weights of securities in whole numbers.

    Attributes:
        prices: in units of 10 to the power of `-price_places`.
        weights: targets, low drifts and high drifts, in units of 10 to the power of `-weight_places`.
        target_places: decimals of targets.
        dearest: the highest price; 1 without securities.
    """

    prices: Integers
    price_places: int
    weights: Integers
    weight_places: int
    target_places: int
    dearest: int


@lru_cache(REMEMBERED_LISTINGS)
def _listing(listed: Listed) -> Listing:
    count = len(listed.portfolio.securities)
    integers, places = _digits(listed.portfolio, numerals(listed.portfolio, listed.numbers))
    prices, price_places = _aligned(integers[:count], places[:count])
    weights, weight_places = _aligned(integers[count:], places[count:])
    if (
        len({security.security_id for security in listed.portfolio.securities}) < count
        or prices.min(initial=1) <= 0
        or weights.min(initial=0) < 0
        or weights.max(initial=0) > 10**weight_places
    ):
        refuse(listed.portfolio)
    # Many portfolios share them.
    prices.flags.writeable = weights.flags.writeable = False
    return Listing(
        prices=prices,
        price_places=price_places,
        weights=weights,
        weight_places=weight_places,
        target_places=int(places[count : 2 * count].max(initial=0)),
        dearest=int(prices.max(initial=1)),
    )


def _aligned(numbers: Integers, places: NDArray[np.int64]) -> tuple[Integers, int]:
    """Return numbers with the same count of decimals, and that count."""
    most = int(places.max(initial=0))
    missing = most - places
    if missing.any():
        numbers = numbers * np.array(10, dtype=numbers.dtype) ** missing
    return numbers, most


def unscaled(number: int, places: int) -> Decimal:
    """Return `number * 10 ** -places`, exactly, in any decimal context of the caller."""
    return EXACT.scaleb(Decimal(number), -places)


def numerals(portfolio: Portfolio, numbers: Sequence[Decimal]) -> bytes:
    """Return numbers of a portfolio in decimal notation, separated by commas and within brackets.

    Books keep eight decimals of every number. Without those that say nothing, nearly everything fits in an int64.
    """
    text = _TEXT.encode(numbers)
    if text.translate(None, _PLAIN):
        refuse_unbounded(portfolio)
        text = f"[{','.join(f'{number:f}' for number in numbers)}]".encode()
    return _NO_DECIMALS.sub(b"", text) if b".0" in text else text


def held_numerals(portfolio: Portfolio) -> tuple[bytes, str]:
    """Return the quantities of a portfolio as `numerals` does, and its cash."""
    numbers = [security.quantity for security in portfolio.securities]
    numbers.append(portfolio.cash)
    others, _, cash = numerals(portfolio, numbers)[1:-1].rpartition(b",")
    return b"[%b]" % others, cash.decode()


def number_of(portfolio: Portfolio, text: str) -> tuple[int, int]:
    """Return the digits of a number as an integer, and the count of its decimals without trailing zeros."""
    if len(text) > MAGNITUDE:
        refuse_unbounded(portfolio)
    whole, _, decimals = text.partition(".")
    decimals = decimals.rstrip("0")
    return int(whole + decimals), len(decimals)


def _quantities(portfolio: Portfolio, text: bytes) -> tuple[Integers, int]:
    """Return quantities with the same count of decimals, and that count."""
    if b"." in text or max(map(len, text.split(b","))) > _LONGEST:
        return _aligned(*_digits(portfolio, text))
    return np.fromstring(text[1:-1], dtype=np.int64, sep=","), 0


def _digits(portfolio: Portfolio, text: bytes) -> tuple[Integers, NDArray[np.int64]]:
    """Return each number of a text as integer digits and the count of its decimals.

    Written out as text and read back at once, five hundred numbers take the time of asking a hundred for their digits.
    """
    characters = np.frombuffer(text, dtype=np.uint8)
    ends = np.flatnonzero((characters == _COMMA) | (characters == _END))
    longest = max(int(ends[0]), int(np.diff(ends).max(initial=0))) - 1
    if longest > MAGNITUDE:
        refuse_unbounded(portfolio)
    places = np.zeros(len(ends), dtype=np.int64)
    if b"." in text:
        points = np.flatnonzero(characters == _POINT)
        owners = np.searchsorted(ends, points)
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
