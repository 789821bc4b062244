"""Reduces a portfolio whose cash binds to a bounded knapsack: start from the fewest shares, buy what gains the most.

With every security at its fewest shares the objective is `base`. Each further share up to the one below the target
lowers it by its price; the share that crosses the target lowers it by twice the remainder less the price, if that is
positive; no later share lowers it at all. The gains fall from share to share, so any choice of shares is worth at least
what its items say, and the best choice is worth exactly that.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from solver.plain import PlainBounds, PlainPortfolio
from solver.scaling import INT64_LIMIT

LARGEST_PART = 16
"""Profits stay below this part of a machine integer, so that sums and products of the search still fit."""

FEW = 20
"""Securities of which quantities are always compared, however large the numbers become."""


class Item(Struct, frozen=True):
    """Up to `copies` shares of one security, each of the same cost and gain.

    Attributes:
        security: index in the portfolio.
        weight: price of a share, above 0.
        profit: what a share takes off the objective, above 0; with ties folded in, times the factor of the ties.
        copies: how many there are, at least 1.
    """

    security: int
    weight: int
    profit: int
    copies: int


class Reduction(Struct, frozen=True):
    """A bounded knapsack: maximise profit over items that fit in the capacity.

    Attributes:
        capacity: money left above the fewest shares, in fine units, at least 0.
        base: objective at the fewest shares, in fine units; the optimum is `base` less the greatest profit.
        items: what can be bought.
        lowest: fewest shares of each security, which the items add to.
    """

    capacity: int
    base: int
    items: list[Item]
    lowest: list[int]

    def shares(self, copies: Iterable[int]) -> list[int]:
        """Return the whole shares of each security for these numbers of copies of the items."""
        shares = list(self.lowest)
        for item, count in zip(self.items, copies, strict=True):
            shares[item.security] += count
        return shares


class _Steps(Struct, frozen=True):
    """One security on its way from its fewest shares to its target.

    Attributes:
        below: whole shares that come nearest to the target from below, at least `least`.
        crossing: what the share after them gains; negative where it costs; None where the band forbids it.
    """

    index: int
    price: int
    held: int
    least: int
    below: int
    crossing: int | None


def reduce_to_knapsack(plain: PlainPortfolio, bounds: PlainBounds, order: Sequence[int]) -> Reduction:
    """Return the knapsack whose greatest profit is the optimum of the portfolio; items in that order."""
    items: list[Item] = []
    for steps in _steps(plain, bounds, order):
        if steps.crossing is not None and steps.crossing > 0:
            items.append(Item(steps.index, steps.price, steps.crossing, 1))
        if steps.below > steps.least:
            items.append(Item(steps.index, steps.price, steps.price, steps.below - steps.least))
    return Reduction(plain.market_value - bounds.least_value, _base(plain, bounds), items, bounds.lowest)


def fold_ties(plain: PlainPortfolio, bounds: PlainBounds, order: Sequence[int]) -> tuple[Reduction, int]:
    """Return the same knapsack with the shares traded folded into the profit, and the factor it was folded with.

    A share that moves towards what is held trades one share less, any other trades one more. The factor exceeds twice
    every possible difference in shares traded, so the greatest folded profit belongs to an optimum, and among the
    optima to one that trades the fewest shares; and a folded profit divided by the factor and rounded to the nearest
    whole number is the profit. In small portfolios, the lower quantity, security by security in the given order, is
    folded in as well; in larger ones, only if that does not exceed machine integers.
    """
    everything = list(_steps(plain, bounds, order))
    factor = 4 + 2 * sum(steps.below - steps.least + 1 for steps in everything)
    digits, radix = _digits(everything, factor)
    items: list[Item] = []
    for steps, digit in zip(everything, digits, strict=True):
        if steps.crossing is not None:
            profit = (steps.crossing * factor + (1 if steps.below < steps.held else -1)) * radix - digit
            if profit > 0:
                items.append(Item(steps.index, steps.price, profit, 1))
        copies = steps.below - steps.least
        towards = min(max(steps.held - steps.least, 0), copies)
        if towards:
            items.append(Item(steps.index, steps.price, (steps.price * factor + 1) * radix - digit, towards))
        if copies > towards:
            items.append(Item(steps.index, steps.price, (steps.price * factor - 1) * radix - digit, copies - towards))
    capacity = plain.market_value - bounds.least_value
    return Reduction(capacity, _base(plain, bounds), items, bounds.lowest), factor * radix


def _digits(everything: Sequence[_Steps], factor: int) -> tuple[list[int], int]:
    """Return the cost of one more share of each security in the order of quantities, and a number above all.

    Example: of three securities with up to 1, 4 and 2 more shares, the last costs 1 a share, the one before 3 and the
    first 15, and any choice less than 30: one share of the first outweighs everything that follows.
    """
    digits, radix = [], 1
    for steps in reversed(everything):
        digits.append(radix)
        radix *= steps.below - steps.least + 2
    greatest = factor * sum(steps.price * (steps.below - steps.least + 1) for steps in everything)
    if LARGEST_PART * greatest * radix > INT64_LIMIT and len(everything) > FEW:
        return [0] * len(everything), 1
    return digits[::-1], radix


def _base(plain: PlainPortfolio, bounds: PlainBounds) -> int:
    """Return the objective at the fewest shares."""
    return sum(
        abs(target - fraction - lowest * price)
        for target, fraction, lowest, price in zip(
            plain.targets, plain.fractions, bounds.lowest, plain.prices, strict=True
        )
    )


def _steps(plain: PlainPortfolio, bounds: PlainBounds, order: Sequence[int]) -> Iterator[_Steps]:
    """Yield the securities that more than their fewest shares could bring nearer to their target."""
    for index in order:
        price, least = plain.prices[index], bounds.lowest[index]
        wanted = plain.targets[index] - plain.fractions[index]
        below = wanted // price
        if below >= least:
            crossing = 2 * (wanted - below * price) - price if below < bounds.highest[index] else None
            yield _Steps(index, price, plain.held[index], least, below, crossing)
