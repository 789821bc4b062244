"""Reduces a portfolio whose cash binds to a bounded knapsack: start from the fewest shares, buy what gains the most.

With every security at its fewest shares the objective is `base`. Each further share up to the one below the target
lowers it by its price; the share that crosses the target lowers it by twice the remainder less the price, if that is
positive; no later share lowers it at all. The gains fall from share to share, so any choice of shares is worth at least
what its items say, and the best choice is worth exactly that.
"""

from msgspec import Struct

from solver.bounds import ShareBounds
from solver.scaling import ScaledPortfolio


class Item(Struct, frozen=True):
    """Up to `copies` shares of one security, each of the same cost and gain.

    Attributes:
        security: index in the portfolio.
        weight: price of a share, in price units.
        profit: what a share takes off the objective, in fine units; with ties folded in, times the tie factor.
        copies: how many there are, at least 1.
    """

    security: int
    weight: int
    profit: int
    copies: int


class Reduction(Struct, frozen=True):
    """A bounded knapsack: maximise profit over items that fit in the capacity.

    Attributes:
        capacity: money left above the fewest shares, in price units.
        base: objective at the fewest shares, in fine units; the optimum is `base` less the greatest profit.
        items: what can be bought.
        lowest: fewest shares of each security, which the items add to.
    """

    capacity: int
    base: int
    items: list[Item]
    lowest: list[int]


def reduce_to_knapsack(scaled: ScaledPortfolio, bounds: ShareBounds, least_value: int) -> Reduction:
    """The knapsack whose greatest profit is the optimum of the portfolio."""
    items: list[Item] = []
    base = 0
    for index, (least, most, below, remainder, price) in enumerate(
        zip(bounds.lowest, bounds.highest, bounds.below, bounds.remainders, bounds.fine_prices, strict=True)
    ):
        base += abs(remainder + (below - least) * price)
        if least <= below < most and 2 * remainder > price:
            items.append(Item(index, scaled.prices[index], 2 * remainder - price, 1))
        if least < below:
            items.append(Item(index, scaled.prices[index], price, below - least))
    return Reduction(_capacity(scaled, least_value), base, items, bounds.lowest)


def fold_ties(scaled: ScaledPortfolio, bounds: ShareBounds, least_value: int) -> tuple[Reduction, int]:
    """The same knapsack with the shares traded folded into the profit, and the factor it was folded with.

    A share that moves towards what is held trades one share less, any other trades one more. The factor exceeds every
    possible difference in shares traded, so the greatest folded profit belongs to an optimum, and among the optima to
    one that trades the fewest shares.
    """
    factor = 1 + sum(
        max(0, below - least) + 1 for least, below in zip(bounds.lowest, bounds.below, strict=True) if least <= below
    )
    items: list[Item] = []
    for index, (least, most, below, remainder, price, held) in enumerate(
        zip(
            bounds.lowest,
            bounds.highest,
            bounds.below,
            bounds.remainders,
            bounds.fine_prices,
            scaled.held,
            strict=True,
        )
    ):
        weight = scaled.prices[index]
        if least <= below < most:
            profit = (2 * remainder - price) * factor + (1 if below < held else -1)
            if profit > 0:
                items.append(Item(index, weight, profit, 1))
        if least < below:
            towards = min(max(held - least, 0), below - least)
            if towards:
                items.append(Item(index, weight, price * factor + 1, towards))
            if below - least > towards:
                items.append(Item(index, weight, price * factor - 1, below - least - towards))
    return Reduction(_capacity(scaled, least_value), 0, items, bounds.lowest), factor


def _capacity(scaled: ScaledPortfolio, least_value: int) -> int:
    return (scaled.market_value - least_value) // int(10 ** (scaled.money_places - scaled.price_places))
