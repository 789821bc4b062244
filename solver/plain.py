"""A portfolio in lists of whole numbers: for few securities, one call of numpy takes longer than a loop over all.

The numbers are those of `solver.scaling`, and so are the rules; a portfolio is in one form or in the other.
"""

from collections.abc import Sequence
from functools import lru_cache
from operator import mul

import numpy as np
from msgspec import Struct

from solver.bounds import ShareBounds
from solver.problem import Portfolio
from solver.scaling import (
    INT64_LIMIT,
    MAGNITUDE,
    REMEMBERED_LISTINGS,
    Listed,
    ScaledPortfolio,
    Units,
    held_numerals,
    number_of,
    numerals,
    refuse,
    refuse_unbounded,
)

MOST_IN_LISTS = 20
"""Securities up to which lists are faster than arrays."""

_POWERS = [10**places for places in range(MAGNITUDE + 1)]


class PlainPortfolio(Units, frozen=True):
    """A portfolio in whole numbers. Every list is in the order of its securities.

    Attributes:
        prices: of a share, above 0.
        held: whole shares held, rounded down.
        fractions: value of the fraction of a share held above `held`; it can neither be bought nor sold.
        targets: wanted value.
        lows, highs: how far the value may lie below and above the target.
    """

    prices: list[int]
    held: list[int]
    fractions: list[int]
    targets: list[int]
    lows: list[int]
    highs: list[int]


class PlainBounds(Struct, frozen=True):
    """What each security may hold, in whole shares on top of the fraction that cannot be traded.

    Attributes:
        lowest, highest: fewest and most whole shares within the band.
        least_value: what the fewest shares of all are worth, fractions included, in fine units.
    """

    lowest: list[int]
    highest: list[int]
    least_value: int


def scale_plain(portfolio: Portfolio) -> PlainPortfolio:
    """Bring every number of a portfolio to integers.

    Raises:
        InvalidPortfolio: a number is not finite or out of range, or a security appears twice; names the field.
    """
    securities = portfolio.securities
    count = len(securities)
    listing = _listing(Listed(portfolio))
    quantity_text, cash_text = held_numerals(portfolio)
    quantities, quantity_places = _aligned(*_numbers(portfolio, quantity_text)) if count else ([], 0)
    cash_digits, cash_places = number_of(portfolio, cash_text)
    prices, price_places, weights = listing.prices, listing.price_places, listing.weights
    share, whole = 10**quantity_places, 10**listing.weight_places
    money_places = max(price_places + quantity_places, cash_places)
    to_money = 10 ** (money_places - price_places - quantity_places)
    cash = cash_digits * 10 ** (money_places - cash_places)
    market_value = sum(map(mul, prices, quantities)) * to_money + cash
    if quantity_places:
        held = [quantity // share for quantity in quantities]
        unit = to_money * whole
        fractions = [quantity % share * price * unit for quantity, price in zip(quantities, prices, strict=True)]
    else:
        held, fractions = quantities, [0] * count
    unit = share * to_money * whole
    values = [weight * market_value for weight in weights]
    return PlainPortfolio(
        market_value * whole,
        cash * whole,
        money_places,
        listing.target_places,
        listing.weight_places,
        [price * unit for price in prices],
        held,
        fractions,
        values[:count],
        values[count : 2 * count],
        values[2 * count :],
    )


class PlainListing(Struct, frozen=True, eq=False):
    """What `solver.scaling.Listing` is, in lists."""

    prices: list[int]
    price_places: int
    weights: list[int]
    weight_places: int
    target_places: int


@lru_cache(REMEMBERED_LISTINGS)
def _listing(listed: Listed) -> PlainListing:
    count = len(listed.portfolio.securities)
    if not count:
        return PlainListing([], 0, [], 0, 0)
    integers, places = _numbers(listed.portfolio, numerals(listed.portfolio, listed.numbers))
    prices, price_places = _aligned(integers[:count], places[:count])
    weights, weight_places = _aligned(integers[count:], places[count:])
    if (
        len({security.security_id for security in listed.portfolio.securities}) < count
        or min(prices) <= 0
        or min(weights) < 0
        or max(weights) > 10**weight_places
    ):
        refuse(listed.portfolio)
    return PlainListing(prices, price_places, weights, weight_places, max(places[count : 2 * count]))


def _numbers(portfolio: Portfolio, text: bytes) -> tuple[list[int], list[int]]:
    """Return each number of a text as integer digits, and the count of its decimals."""
    written = text[1:-1].decode()
    numbers = written.split(",")
    if max(map(len, numbers)) > MAGNITUDE:
        refuse_unbounded(portfolio)
    return list(map(int, written.replace(".", "").split(","))), [len(each.partition(".")[2]) for each in numbers]


def _aligned(numbers: list[int], places: Sequence[int]) -> tuple[list[int], int]:
    """Return numbers with the same count of decimals, and that count."""
    most = max(places, default=0)
    if most == min(places, default=0):
        return numbers, most
    return [number * _POWERS[most - some] for number, some in zip(numbers, places, strict=True)], most


def in_lists(scaled: ScaledPortfolio) -> PlainPortfolio:
    """Return the same portfolio in lists."""
    return PlainPortfolio(
        scaled.market_value,
        scaled.cash,
        scaled.money_places,
        scaled.target_places,
        scaled.weight_places,
        scaled.prices.tolist(),
        scaled.held.tolist(),
        scaled.fractions.tolist(),
        scaled.targets.tolist(),
        scaled.lows.tolist(),
        scaled.highs.tolist(),
    )


def bounds_in_lists(bounds: ShareBounds) -> PlainBounds:
    """Return the same bounds in lists."""
    return PlainBounds(bounds.lowest.tolist(), bounds.highest.tolist(), bounds.least_value)


def in_arrays(plain: PlainPortfolio) -> ScaledPortfolio:
    """Return the same portfolio in arrays."""
    count = len(plain.prices)
    dearest = max(plain.prices, default=0)
    most_held = max(map(abs, plain.held), default=0) + 1
    # No value, nor the sum of all values, before or after the rebalance, exceeds this many fine units by far.
    gross = (count * most_held + 1) * dearest + abs(plain.cash)
    number = np.dtype(np.int64 if 8 * (count + 1) * gross < INT64_LIMIT else object)
    return ScaledPortfolio(
        plain.market_value,
        plain.cash,
        plain.money_places,
        plain.target_places,
        plain.weight_places,
        np.array(plain.prices, dtype=number),
        np.array(plain.held, dtype=number),
        np.array(plain.fractions, dtype=number),
        np.array(plain.targets, dtype=number),
        np.array(plain.lows, dtype=number),
        np.array(plain.highs, dtype=number),
        gross,
    )


def nearest_plain(plain: PlainPortfolio) -> list[int]:
    """Return what `solver.nearest.nearest_shares` returns."""
    shares = []
    for price, held, fraction, target in zip(plain.prices, plain.held, plain.fractions, plain.targets, strict=True):
        double = price + price
        rounded = target - fraction
        rounded += rounded + price
        whole = rounded // double
        if whole > held and whole * double == rounded:
            whole -= 1
        shares.append(whole)
    return shares


def plain_bounds(plain: PlainPortfolio) -> PlainBounds | None:
    """Return the bounds of every security; None if a band has no whole number or the cash does not suffice."""
    lowest, highest = [], []
    least_value = 0
    for price, fraction, target, low, high in zip(
        plain.prices, plain.fractions, plain.targets, plain.lows, plain.highs, strict=True
    ):
        fewest = -((fraction + low - target) // price)
        most = (target + high - fraction) // price
        if fewest < 0:
            fewest = 0
        if most < fewest:
            if most >= 0 or target or low or high:
                return None
            most = 0
        lowest.append(fewest)
        highest.append(most)
        least_value += fewest * price + fraction
    return None if least_value > plain.market_value else PlainBounds(lowest, highest, least_value)
