"""What each security offers if cash binds: chains in which using more cash is better, with jumps between chains.

Within a chain cash use grows with every lot while the gain of a lot never does: it is concave. A fee per order or a
minimum trade tears a security into several chains, of which one is chosen.

Example: 10 is held, orders are worth 30 or more, a lot is worth 10, target 65, fee 1 per order. Holding uses cash 0 and
is 55 away. Buying 3 to 5 lots uses 31, 41, 51 and costs 26, 16, 6, a chain of its own: the step from 0 to 3 lots is a
jump that gains 29, each later lot gains 10.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from operator import mul

from msgspec import Struct

from solver.ruled.allowed import Interval, Line
from solver.ruled.levels import Key, Levels, vertices
from solver.scaling import INT64_LIMIT

LARGEST_PART = 16
"""Numbers stay below this part of a machine integer, so that sums and products of the search still fit."""

FEW = 30
"""Securities of which quantities are always compared, however large the numbers become."""


class Point(Struct, frozen=True):
    """One trade of a security: the cash it uses and its cost, all levels folded into one number."""

    trade: int
    cash: int
    cost: int


class Menu(Struct, frozen=True):
    """The chains of one security: lists of points with rising cash and falling cost, convex, and linear in between.

    Attributes:
        line: the security.
        chains: at least one, each with at least one point.
    """

    line: Line
    chains: list[list[Point]]


class Fold(Struct, frozen=True):
    """How levels and the lower quantity become one number, so that the least number has the least levels in order.

    Attributes:
        levels: of a trade.
        factors: of each level.
        digits: for each security, what one lot more adds; 0 if quantities do not matter.
        base: for each security, the trade from which digits count.
        whole: whether quantities are part of it.
        large: whether numbers may exceed machine integers.
    """

    levels: Levels
    factors: tuple[int, ...]
    digits: list[int]
    base: list[int]
    whole: bool
    large: bool

    def cost(self, position: int, line: Line, trade: int) -> int:
        """Return the number for one trade of the security at a position of the sequence that was folded."""
        levels = self.levels(line, trade)
        number: int = sum(map(mul, levels, self.factors))
        return number + self.digits[position] * (trade - self.base[position])

    def unfold(self, number: int) -> tuple[int, ...]:
        """Return the levels that a total, or a lower bound of one, consists of."""
        found = []
        for factor in self.factors:
            level, number = divmod(number, factor)
            found.append(level)
        return tuple(found)


type Corner = tuple[int, int, Key]
"""A trade of a security, the cash it uses and its levels."""


def corners(line: Line, intervals: Sequence[Interval], levels: Levels) -> list[list[Corner]]:
    """Return the trades between which every level and the cash of a security are linear, for each of its chains."""
    return [
        [(trade, line.cash(trade), levels(line, trade)) for trade in vertices(line, interval)]
        for interval in _pieces(line, intervals)
    ]


def fold(offers: Sequence[list[list[Corner]]], levels: Levels, *, count: int, quantities: bool) -> Fold:
    """Return the fold of levels over everything that the securities may choose.

    Args:
        offers: corners of the securities by ascending id: the earlier one's quantity matters more.
        levels: of a trade; with more levels than are folded, those that come first.
        count: levels to fold.
        quantities: prefer the lower quantity, security by security, unless their number makes the integers huge.
    """
    most = [
        sum(max(corner[2][level] for chain in chains for corner in chain) for chains in offers)
        for level in range(count)
    ]
    base = [chains[0][0][0] for chains in offers]
    radix, digits = 1, [0] * len(offers)
    if quantities:
        radix, digits = _digits([chains[-1][-1][0] - chains[0][0][0] + 1 for chains in offers])
    size = LARGEST_PART * prod(greatest + 1 for greatest in most)
    if size * radix > INT64_LIMIT and len(offers) > FEW:
        quantities, radix, digits = False, 1, [0] * len(offers)
    factors: list[int] = []
    factor = radix
    for greatest in reversed(most):
        factors.append(factor)
        factor *= greatest + 1
    return Fold(levels, tuple(reversed(factors)), digits, base, quantities, size * radix > INT64_LIMIT)


def _digits(counts: Sequence[int]) -> tuple[int, list[int]]:
    """Return a number that exceeds all choices of quantities, and what one more lot of each security adds."""
    radix, digits = 1, []
    for count in reversed(counts):
        digits.append(radix)
        radix *= count
    return radix, digits[::-1]


def menu(position: int, line: Line, offer: Sequence[list[Corner]], folded: Fold) -> Menu:
    """Return the chains of one security, without points that another of its points makes useless."""
    chains = []
    base, digit = folded.base[position], folded.digits[position]
    for some in offer:
        points = [
            Point(trade, cash, sum(map(mul, levels, folded.factors)) + digit * (trade - base))
            for trade, cash, levels in some
        ]
        # Beyond the least cost, more cash only makes it worse.
        cheapest = min(range(len(points)), key=lambda number: (points[number].cost, number))
        chains.append(points[: cheapest + 1])
    if len(chains) > 1:
        chains = [chain for number, chain in enumerate(chains) if not _useless(number, chain, chains)]
    return Menu(line, chains)


def _pieces(line: Line, intervals: Sequence[Interval]) -> list[Interval]:
    """Return the intervals joined where they adjoin, and cut at 0 if an order has a fee of its own."""
    joined: list[Interval] = []
    for first, last in sorted(intervals):
        if joined and joined[-1][1] + 1 >= first:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    if not line.order_fee:
        return joined
    cut = []
    for first, last in joined:
        pieces = [(first, min(last, -1)), (max(first, 0), min(last, 0)), (max(first, 1), last)]
        cut += [piece for piece in pieces if piece[0] <= piece[1]]
    return cut


def _useless(number: int, chain: list[Point], chains: list[list[Point]]) -> bool:
    """Return whether one point of another chain uses no more cash than all of this one and costs no more."""
    cash, cost = chain[0].cash, chain[-1].cost
    return any(
        point.cash <= cash and point.cost <= cost and ((point.cash, point.cost) < (cash, cost) or other < number)
        for other, some in enumerate(chains)
        if other != number
        for point in some
    )


class Edge(Struct, frozen=True):
    """A step from one corner of a security's lower hull to the next: more cash, less cost.

    Attributes:
        owner: position of its menu.
        cash, gain: of one copy.
        copies: lots of a chain that gain the same; 1 for a jump.
        end: chain and point that the whole step leads to.
    """

    owner: int
    cash: int
    gain: int
    copies: int
    end: tuple[int, int]


def hull(owner: int, offer: Menu) -> tuple[tuple[int, int], list[Edge]]:
    """Return the corner with the least cash, as chain and point, and the steps from there, by falling density."""
    corners: list[tuple[int, int, int, int]] = []
    ordered = sorted(
        (point.cash, point.cost, chain, number)
        for chain, points in enumerate(offer.chains)
        for number, point in enumerate(points)
    )
    for corner in ordered:
        if corners and corner[1] >= corners[-1][1]:
            continue
        while len(corners) > 1 and _above(corners[-2], corners[-1], corner):
            corners.pop()
        corners.append(corner)
    edges = []
    for (cash, cost, chain, number), (more, less, after, following) in pairwise(corners):
        copies = 1
        if chain == after and following == number + 1:
            points = offer.chains[chain]
            copies = points[following].trade - points[number].trade
        edges.append(Edge(owner, (more - cash) // copies, (cost - less) // copies, copies, (after, following)))
    return corners[0][2:], edges


def _above(first: tuple[int, ...], middle: tuple[int, ...], last: tuple[int, ...]) -> bool:
    """Return whether the middle corner lies above the line from the first to the last."""
    return (middle[1] - first[1]) * (last[0] - first[0]) > (last[1] - first[1]) * (middle[0] - first[0])
