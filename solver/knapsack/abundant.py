"""Knapsacks in which some equally dense items have copies in abundance, such as shares that cost a fraction of a cent.

Millions of copies make millions of partial choices. But all that matters of these items, the *coins*, is what their
copies can weigh together, and that needs no search. So only the other items are decided, one move after the other,
and each partial choice is completed by the coins as far as its room allows.

Example: coins of 5 and 7, each with a profit of its weight; an item of 30 with a profit of 10. With a capacity of 48,
coins alone reach 48. Without coins to spare, the item would leave 18, of which coins fill 17: 27 in all.
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import gcd, prod
from operator import itemgetter
from time import perf_counter

from msgspec import Struct

from solver.knapsack.coins import Coins
from solver.knapsack.few import FewStates, Row
from solver.knapsack.moves import Move, Side, Undecided

MANY = 64
"""Copies from which an item can be a coin."""

ABUNDANT = 2_000
"""Copies that coins have together."""

TABLE_WORK = 4_000_000
"""Least sums of coins that are compared to list them, divided by the doublings that each coin needs."""

MOST_ALIKE = 50
"""Coins of which a choice with a large common divisor is sought."""

EXAMINED = 300_000
"""Sums of coins that one completion examines."""

EXAMINED_IN_ALL = 2_000_000
"""Sums of coins after which no further partial choices are completed, a second or two: a search may be faster."""


MOST_STATES = 20_000
"""Partial choices held at once."""


class Greedy(Struct, frozen=True):
    """A knapsack and its greedy choice.

    Attributes:
        weights, profits, limits, taken: of each item.
        broken: the item that no longer fits.
        room: capacity that is left.
        profit: of the choice.
    """

    weights: Sequence[int]
    profits: Sequence[int]
    limits: Sequence[int]
    taken: Sequence[int]
    broken: int
    room: int
    profit: int

    def spare(self, best: int) -> int:
        """Return what a better choice may lose against the linear bound, times the weight of the break item."""
        return (self.profit - best - 1) * self.weights[self.broken] + self.room * self.profits[self.broken]

    def loss(self, index: int) -> int:
        """Return what one copy more or less loses against the linear bound, times the weight of the break item."""
        broken = self.broken
        return abs(self.profits[index] * self.weights[broken] - self.profits[broken] * self.weights[index])


class Completed(Struct, frozen=True):
    """The best completion that was found.

    Attributes:
        copies: of each item; None if nothing better was found.
        profit: of that choice.
        bound: no choice has a profit above this, unless it is no better than the one found.
        states: partial choices looked at.
    """

    copies: list[int] | None
    profit: int
    bound: int
    states: int


def coins_of(greedy: Greedy, best: int) -> list[int]:
    """Return the equally dense items with copies in abundance; none if there are too few copies."""
    if max(greedy.limits) < MANY:
        return []
    spare = greedy.spare(best)
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for index, limit in enumerate(greedy.limits):
        if limit < MANY:
            continue
        loss = greedy.loss(index)
        useful = min(limit, spare // loss) if loss else limit
        if useful >= MANY:
            common = gcd(greedy.profits[index], greedy.weights[index])
            density = greedy.profits[index] // common, greedy.weights[index] // common
            groups.setdefault(density, []).append((useful, index))
    most = max(groups.values(), key=lambda group: sum(useful for useful, _ in group), default=[])
    if sum(useful for useful, _ in most) < ABUNDANT:
        return []
    most.sort(reverse=True)
    return min(_listed(greedy, most), _alike(greedy, most), key=lambda chosen: _left(most, chosen))


def _listed(greedy: Greedy, most: Sequence[tuple[int, int]]) -> list[int]:
    """Return as many of the coins with the most copies as the list of their sums allows, or two."""
    indices = [index for _, index in most]
    return indices[: max(2, TABLE_WORK // _modulus(greedy, indices))]


def _alike(greedy: Greedy, most: Sequence[tuple[int, int]]) -> list[int]:
    """Return the coins that are left without those whose odd weights make the list of sums long, the worst first.

    Example: of coins of 400, 600, 700 and 1001, all but the last have a common divisor of 100, so that four sums are
    listed for three coins, and 400 for all.
    """
    indices = [index for _, index in reversed(most[:MOST_ALIKE])]
    while len(indices) > 2 and _modulus(greedy, indices) * len(indices) > TABLE_WORK:
        rest = [[other for other in indices if other != index] for index in indices]
        indices = min(rest, key=lambda others: _modulus(greedy, others))
    return indices[::-1]


def _modulus(greedy: Greedy, indices: Sequence[int]) -> int:
    """Return how many sums are listed for some coins."""
    weights = [greedy.weights[index] for index in indices]
    return min(weights) // gcd(*weights)


def _left(most: Sequence[tuple[int, int]], chosen: Sequence[int]) -> int:
    """Return the choices of copies of the other coins, which have to be searched."""
    return prod(useful + 1 for useful, index in most if index not in chosen)


def complete(
    greedy: Greedy, indices: Sequence[int], best: int, bound: int, deadline: float, max_states: int
) -> Completed | None:
    """Return the best choice, found by completing partial choices with coins.

    Args:
        greedy: the knapsack.
        indices: of the coins.
        best: only choices of a profit above this are wanted.
        bound: no choice has a profit above this.
        deadline: on `time.perf_counter()`.
        max_states: partial choices held at once.

    Returns:
        None if the coins need numbers too large for machine integers, or too much memory.
    """
    coins = Coins([greedy.weights[index] for index in indices], [greedy.limits[index] for index in indices])
    if not coins.suitable:
        return None
    return _Search(greedy, indices, coins, best, bound).run(deadline, min(max_states, MOST_STATES))


class _Search:
    def __init__(self, greedy: Greedy, indices: Sequence[int], coins: Coins, best: int, bound: int) -> None:
        self._greedy = greedy
        self._indices = indices
        self._coins = coins
        self._best, self._bound = best, bound
        self._used = sum(greedy.weights[index] * greedy.taken[index] for index in indices)
        self._room = greedy.room + self._used
        first = indices[0]
        common = gcd(greedy.weights[first], greedy.profits[first])
        self._weight, self._profit = greedy.weights[first] // common, greedy.profits[first] // common
        self._copies: list[int] | None = None
        self._looked_at = 0

    def run(self, deadline: float, max_states: int) -> Completed:
        """Decide all moves, or stop at a limit."""
        states = FewStates([(0, 0, 0)], [])
        self._complete(states, 0)
        if self._best >= self._bound:
            return self._found(self._best)
        additions, removals = self._sides()
        while additions or removals:
            side = additions if additions and (additions.position <= removals.position or not removals) else removals
            states.decide(side.take())
            self._looked_at += len(states)
            if len(states) > max_states or perf_counter() > deadline:
                return self._found(None)
            if len(self._indices) == 1:
                self._complete_all(states)
            hopes = self._hopes(states.rows, additions, removals)
            self._complete(states, hopes.index(max(hopes)))
            if self._best >= self._bound:
                return self._found(self._best)
            states.rows = [row for row, hope in zip(states.rows, hopes, strict=True) if hope > self._best]
            if not states.rows:
                return self._found(self._best)
        return self._finish(states, deadline)

    def _finish(self, states: FewStates, deadline: float) -> Completed:
        """Complete all partial choices, the most promising first."""
        hopes = self._hopes(states.rows, None, None)
        bound = self._best
        for index in sorted(range(len(hopes)), key=lambda index: -hopes[index]):
            if hopes[index] <= self._best:
                break
            if self._coins.examined > EXAMINED_IN_ALL or perf_counter() > deadline:
                return self._found(max(bound, hopes[index]))
            bound = max(bound, self._complete(states, index))
            self._looked_at += 1
        return self._found(max(bound, self._best))

    def _found(self, bound: int | None) -> Completed:
        bound = self._bound if bound is None else min(bound, self._bound)
        return Completed(self._copies, self._best, max(bound, self._best), self._looked_at)

    def _sides(self) -> tuple[Undecided, Undecided]:
        """Return what else may be added and removed, by density, the nearest to the break item first."""
        greedy = self._greedy
        spare = greedy.spare(self._best)
        additions, removals = Side(), Side()
        shift = 2 * max(greedy.weights).bit_length() + 1
        for index, (weight, profit) in enumerate(zip(greedy.weights, greedy.profits, strict=True)):
            if not greedy.limits[index] or index in self._indices:
                continue
            loss, density = greedy.loss(index), (profit << shift) // weight
            most = spare // loss if loss else greedy.limits[index]
            additions.offer(
                Move(index, 1, weight, profit), min(greedy.limits[index] - greedy.taken[index], most), -density
            )
            removals.offer(Move(index, -1, -weight, -profit), min(greedy.taken[index], most), density)
        return Undecided(additions.sorted()), Undecided(removals.sorted())

    def _hopes(self, rows: Sequence[Row], additions: Undecided | None, removals: Undecided | None) -> list[int]:
        """Return the most profit that each choice can reach, from coins and undecided moves that are divisible."""
        room, fitting = self._greedy.room, bisect_right(rows, self._greedy.room, key=itemgetter(0))
        up, down = self._steepest(additions), self._flattest(removals)
        found = []
        for index, (weight, profit, _) in enumerate(rows):
            slope = up if index < fitting else down
            hope = self._greedy.profit + profit
            if slope is not None:
                hope += (room - weight) * slope[1] // slope[0]
            elif index >= fitting:
                # Nothing is left that could make it fit.
                hope = self._best
            found.append(hope)
        return found

    def _steepest(self, additions: Undecided | None) -> tuple[int, int] | None:
        """Return weight and profit of the densest that can still be added."""
        own = (self._weight, self._profit) if self._used < self._coins.full else None
        if not additions:
            return own
        first = additions.first.weight, additions.first.profit
        return first if own is None or first[1] * own[0] > own[1] * first[0] else own

    def _flattest(self, removals: Undecided | None) -> tuple[int, int] | None:
        """Return weight and profit of the least dense that can still be removed."""
        own = (self._weight, self._profit) if self._used else None
        if not removals:
            return own
        first = -removals.first.weight, -removals.first.profit
        return first if own is None or first[1] * own[0] < own[1] * first[0] else own

    def _complete_all(self, states: FewStates) -> None:
        """Complete every partial choice by the only coin."""
        coin, full, room = self._greedy.weights[self._indices[0]], self._coins.full, self._room
        profit = self._greedy.profits[self._indices[0]]
        totals = [
            row[1] + min(room - row[0], full) // coin * profit if row[0] <= room else -self._bound
            for row in states.rows
        ]
        self._complete(states, totals.index(max(totals)))

    def _complete(self, states: FewStates, index: int) -> int:
        """Use coins for the room of a partial choice, and return a bound of what that choice can reach by coins."""
        weight, profit, _ = states.rows[index]
        room = self._room - weight
        if room < 0:
            return self._best
        sums, copies = self._coins.greatest(room, EXAMINED)
        total = self._greedy.profit + profit + (sums - self._used) * self._profit // self._weight
        if copies is not None and total > self._best:
            self._best = total
            chosen = list(self._greedy.taken)
            for move in states.taken(index):
                chosen[move.item] += move.copies
            for item, count in zip(self._indices, copies, strict=True):
                chosen[item] = count
            self._copies = chosen
        return total
