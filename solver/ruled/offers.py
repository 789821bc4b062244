"""A menu as the dynamic programme over menus sees it: its start point, its other points, and its extreme steps."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from msgspec import Struct

from solver.ruled.menus import Menu, Point

type Slope = tuple[int, int]
"""Saving and cash of a step."""


class Chain(Struct, frozen=True):
    """A chain, the position of its point nearest to the line of the break density, and its distance from that line."""

    number: int
    points: list[Point]
    nearest: int
    loss: int


class Offer(Struct, frozen=True):
    """A menu seen from its start point.

    Attributes:
        owner: position of the menu.
        start: nearest to the line.
        chains: by distance from the line.
        up: the steepest step to more cash; None without such a step.
        down: the least steep step to less cash; None without such a step.
    """

    owner: int
    start: Point
    chains: list[Chain]
    up: Slope | None
    down: Slope | None


def offer_of(owner: int, menu: Menu, density: Slope) -> Offer:
    """Return a menu as seen from its point nearest to the line of the break density."""
    gain, cash = density
    chains = []
    for number, points in enumerate(menu.chains):
        heights = [point.cost * cash + point.cash * gain for point in points]
        nearest = min(range(len(points)), key=heights.__getitem__)
        chains.append((heights[nearest], number, nearest, points))
    chains.sort(key=lambda chain: chain[0])
    least, _, nearest, points = chains[0]
    start = points[nearest]
    slopes = [(start.cost - point.cost, point.cash - start.cash) for _, _, _, some in chains for point in some]
    # Once a chain is chosen, the slopes along it are steeper than from the start.
    for _, _, at, some in chains:
        slopes += [(one.cost - two.cost, two.cash - one.cash) for one, two in pairwise(some[at:])]
        slopes += [(two.cost - one.cost, one.cash - two.cash) for one, two in pairwise(some[: at + 1])]
    # Room does not have to be used: a step that saves nothing is no bound.
    ups = [(saving, cash) for saving, cash in slopes if cash > 0 and saving > 0]
    downs = [(-saving, -cash) for saving, cash in slopes if cash < 0]
    up, down = extreme(ups, steepest=True), extreme(downs, steepest=False)
    return Offer(
        owner, start, [Chain(number, some, at, height - least) for height, number, at, some in chains], up, down
    )


def most_saved(offers: Sequence[Offer], density: Slope, spare: int) -> list[int]:
    """Return what the offers from each position on can save at most, however much cash there is.

    Args:
        offers: in the order of the positions.
        density: the slope of the line.
        spare: choices with a trade farther from the line are not wanted.
    """
    saved = [0]
    for offer in reversed(offers):
        most = max((_most_in(offer, chain, density, spare) for chain in offer.chains if chain.loss <= spare), default=0)
        saved.append(saved[-1] + max(most, 0))
    return saved[::-1]


def _most_in(offer: Offer, chain: Chain, density: Slope, spare: int) -> int:
    """Return what the trades of a chain near the line save at most, against its start or that of the offer."""
    gain, density_cash = density
    points = chain.points[chain.nearest :]
    cost, loss = points[0].cost, chain.loss
    for before, after in pairwise(points):
        copies = after.trade - before.trade
        cash, saving = (after.cash - before.cash) // copies, (before.cost - after.cost) // copies
        lot_loss = cash * gain - saving * density_cash
        if lot_loss > 0:
            copies = min(copies, (spare - loss) // lot_loss)
        cost -= copies * saving
        loss += copies * lot_loss
        if copies < after.trade - before.trade:
            break
    return max(offer.start.cost, points[0].cost) - cost


def steps(offers: Iterable[Offer]) -> Iterator[tuple[Offer, Point]]:
    """Yield all points, and of each run of lots the point after its first lot."""
    for offer in offers:
        for chain in offer.chains:
            for point in chain.points:
                yield offer, point
            for before, after in pairwise(chain.points):
                # The first lot of a run stands for all of them in the common divisor.
                copies = after.trade - before.trade
                yield (
                    offer,
                    Point(
                        before.trade + 1,
                        before.cash + (after.cash - before.cash) // copies,
                        before.cost + (after.cost - before.cost) // copies,
                    ),
                )


def least_steep_lot(offers: Iterable[Offer]) -> Slope | None:
    """Return the least steep step to less cash within any chain."""
    downs = []
    for offer in offers:
        for chain in offer.chains:
            points = chain.points[: chain.nearest + 1]
            downs += [(one.cost - two.cost, two.cash - one.cash) for one, two in pairwise(points)]
    return extreme(downs, steepest=False)


def best_within(offer: Offer, room: int) -> Point | None:
    """Return the point of a menu that saves the most and uses at most `room` more cash than its start."""
    best: Point | None = None
    for chain in offer.chains:
        points = chain.points
        for before, after in pairwise([*points, points[-1]]):
            if before.cash - offer.start.cash > room:
                break
            point = before
            copies = after.trade - before.trade
            if copies > 1:
                cash = (after.cash - before.cash) // copies
                lots = min((room - before.cash + offer.start.cash) // cash, copies - 1)
                saving = (before.cost - after.cost) // copies
                point = Point(before.trade + lots, before.cash + lots * cash, before.cost - lots * saving)
            if point.cost < offer.start.cost and (best is None or point.cost < best.cost):
                best = point
    return best


def ordered(offers: list[Offer]) -> list[Offer]:
    """Return the offers by the rank of their steps: those with a step close to the break density first."""
    by_up = sorted((offer for offer in offers if offer.up is not None), key=lambda offer: -_density(offer.up))
    by_down = sorted((offer for offer in offers if offer.down is not None), key=lambda offer: _density(offer.down))
    rank = {offer.owner: len(offers) for offer in offers}
    for ranked in (by_up, by_down):
        for position, offer in enumerate(ranked):
            rank[offer.owner] = min(rank[offer.owner], position)
    return sorted(offers, key=lambda offer: (rank[offer.owner], offer.owner))


def _density(slope: Slope | None) -> int:
    """Return a slope as an integer that orders slopes closely enough to rank them."""
    assert slope is not None
    return (slope[0] << 64) // slope[1]


def extreme(slopes: Sequence[Slope], *, steepest: bool) -> Slope | None:
    """Return the steepest or least steep of some slopes."""
    found: Slope | None = None
    for slope in slopes:
        if found is None or (
            (slope[0] * found[1] != found[0] * slope[1]) and ((slope[0] * found[1] > found[0] * slope[1]) == steepest)
        ):
            found = slope
    return found


def suffix(slopes: Sequence[Slope | None], *, steepest: bool) -> list[Slope | None]:
    """Return the steepest or least steep slope from each position on; None without slopes."""
    found: list[Slope | None] = [None]
    for slope in reversed(slopes):
        found.append(extreme([one for one in (found[-1], slope) if one is not None], steepest=steepest))
    return found[::-1]
