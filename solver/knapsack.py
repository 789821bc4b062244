"""Solves bounded knapsacks to proven optimality: a dynamic programme over a growing core, in exact integers.

The items are sorted by profit per weight and taken greedily; the first that no longer fits is the break item, and the
linear relaxation up to it is an upper bound. The search starts from the greedy choice and decides one item after
another, nearest to the break first: items beyond it may be added, items before it removed. A state is a pair of weight
and profit; it is dropped when another is as light and as good, or when even the linear relaxation of what is undecided
cannot lift it above the best found. The search ends when no state is left, nothing is undecided, or the best meets the
bound.
"""

from collections.abc import Sequence
from math import gcd
from time import perf_counter
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from solver.reduction import Item

type Integers = NDArray[Any]
"""int64 where every number provably fits, else Python integers."""

INT64_LIMIT = 2**62
WORD = 62
"""Decisions recorded in one machine word of a state's history."""


class Packing(Struct, frozen=True):
    """The best choice of items found, and what is known about better ones.

    Attributes:
        copies: how many of each item, in the order given; None where nothing above the floor was found.
        profit: of that choice, or the floor.
        bound: no choice has a profit above this. Equal to `profit` when the search is complete.
        states: how many states were looked at, a machine-independent measure of work.
    """

    copies: tuple[int, ...] | None
    profit: int
    bound: int
    states: int


class _Chunk(Struct, frozen=True):
    """Several copies of one item, decided together; weight and profit of all of them, density of one."""

    item: int
    copies: int
    weight: int
    profit: int
    density: int


def pack(
    items: Sequence[Item], capacity: int, *, deadline: float, max_states: int = 1_000_000, floor: int = -1
) -> Packing:
    """The most profitable choice of items within the capacity.

    Args:
        items: weights and profits above 0.
        capacity: at least 0.
        deadline: `time.perf_counter()` at which to give up.
        max_states: states held at once before giving up; each takes about 24 bytes, and three times that while growing.
        floor: only choices of a profit above this are wanted; -1 wants any.
    """
    divisor = gcd(*(item.weight for item in items)) or 1
    capacity //= divisor
    weights = [item.weight // divisor for item in items]
    copies = [min(item.copies, capacity // weight) for item, weight in zip(items, weights, strict=True)]
    largest = max(weights, default=1)
    # Distinct fractions over weights up to `largest` differ by more than its inverse square, so this order is exact.
    shift = 2 * largest.bit_length() + 1
    densities = [(item.profit << shift) // weight for item, weight in zip(items, weights, strict=True)]
    order = sorted((index for index, count in enumerate(copies) if count), key=lambda index: -densities[index])

    taken = [0] * len(items)
    room, profit = capacity, 0
    rest = iter(order)
    for index in rest:
        taken[index] = min(copies[index], room // weights[index])
        room -= taken[index] * weights[index]
        profit += taken[index] * items[index].profit
        if taken[index] < copies[index]:
            broken = index
            break
    else:
        return Packing(tuple(taken), profit, profit, 0) if profit > floor else Packing(None, floor, floor, 0)
    bound = profit + room * items[broken].profit // weights[broken]
    best, best_copies = _fill(items, weights, copies, tuple(rest), taken, room, profit)
    if best <= floor:
        best, best_copies = floor, None
    if best >= bound:
        return Packing(best_copies, best, best, 0)

    # No better choice takes more of an item, or leaves more of it, than its loss against the relaxation allows.
    spare = (profit - best - 1) * weights[broken] + room * items[broken].profit
    additions: list[_Chunk] = []
    removals: list[_Chunk] = []
    for index in order:
        loss = abs(items[index].profit * weights[broken] - items[broken].profit * weights[index])
        most = spare // loss if loss else capacity
        item = items[index].profit, weights[index], densities[index]
        additions += _chunks(index, min(copies[index] - taken[index], most), *item)
        removals += _chunks(index, min(taken[index], most), *item)
    additions.sort(key=lambda chunk: (-chunk.density, chunk.copies))
    removals.sort(key=lambda chunk: (chunk.density, chunk.copies))
    search = _Search(additions, removals, room, best - profit, bound - profit)
    decisions = search.run(deadline, max_states)
    if decisions is not None:
        for chunk, sign in decisions:
            taken[chunk.item] += sign * chunk.copies
        best_copies = tuple(taken)
    best = search.best + profit
    return Packing(best_copies, best, best if search.complete else bound, search.states)


def _fill(
    items: Sequence[Item],
    weights: Sequence[int],
    copies: Sequence[int],
    rest: Sequence[int],
    taken: Sequence[int],
    room: int,
    profit: int,
) -> tuple[int, tuple[int, ...] | None]:
    """The greedy choice, filled up with whatever still fits after the break item."""
    filled = list(taken)
    for index in rest:
        count = min(copies[index], room // weights[index])
        filled[index] += count
        room -= count * weights[index]
        profit += count * items[index].profit
    return profit, tuple(filled)


def _chunks(item: int, copies: int, profit: int, weight: int, density: int) -> list[_Chunk]:
    """Copies of an item in chunks of 1, 2, 4 ... and the rest, which can be combined to any number of them."""
    chunks = []
    size = 1
    while copies > 0:
        size = min(size, copies)
        chunks.append(_Chunk(item, size, size * weight, size * profit, density))
        copies -= size
        size *= 2
    return chunks


class _Search:
    """The states of one search. Weights count from the capacity, profits from the greedy choice."""

    def __init__(
        self, additions: Sequence[_Chunk], removals: Sequence[_Chunk], room: int, best: int, bound: int
    ) -> None:
        self.additions = additions
        self.removals = removals
        self.best = best
        self.bound = bound
        self.complete = False
        self.states = 0
        chunks = (*additions, *removals)
        reach = room + sum(chunk.weight for chunk in chunks)
        gain = abs(best) + bound + sum(chunk.profit for chunk in chunks)
        steepest = max((-(-chunk.profit // chunk.weight) for chunk in chunks), default=0)
        heaviest = max((chunk.weight for chunk in chunks), default=0)
        fits = gain + reach * (steepest + 1) < INT64_LIMIT and reach * heaviest < INT64_LIMIT
        self.number: Any = np.int64 if fits else object
        self.weights: Integers = np.array([-room], dtype=self.number)
        self.profits: Integers = np.array([0], dtype=self.number)
        self.history: list[NDArray[np.int64]] = []
        self.decided: list[tuple[_Chunk, int]] = []

    def run(self, deadline: float, max_states: int) -> list[tuple[_Chunk, int]] | None:
        """Decide chunks until the search is complete, or the time or the states run out.

        Returns:
            What to change in the greedy choice to reach `best`; None where nothing better was found.
        """
        found: list[tuple[_Chunk, int]] | None = None
        added = removed = 0
        while True:
            if self.best >= self.bound or len(self.weights) == 0:
                self.complete = True
                return found
            if added == len(self.additions) and removed == len(self.removals):
                self.complete = True
                return found
            if len(self.weights) > max_states or perf_counter() > deadline:
                return found
            if removed == len(self.removals) or (added <= removed and added < len(self.additions)):
                self._decide(self.additions[added], 1)
                added += 1
            else:
                self._decide(self.removals[removed], -1)
                removed += 1
            feasible = int(np.searchsorted(self.weights, 0, side="right"))
            if feasible and self.profits[feasible - 1] > self.best:
                self.best = int(self.profits[feasible - 1])
                found = self._trace(feasible - 1)
            self._prune(
                feasible,
                self.additions[added] if added < len(self.additions) else None,
                self.removals[removed] if removed < len(self.removals) else None,
            )

    def _decide(self, chunk: _Chunk, sign: int) -> None:
        """Double the states, with and without the chunk, and keep those that no other dominates."""
        position = len(self.decided) % WORD
        if position == 0:
            self.history.append(np.zeros(len(self.weights), dtype=np.int64))
        self.decided.append((chunk, sign))
        weights = np.concatenate((self.weights, self.weights + sign * chunk.weight))
        profits = np.concatenate((self.profits, self.profits + sign * chunk.profit))
        self.states += len(weights)
        order = np.argsort(weights, kind="stable")
        weights, profits = weights[order], profits[order]
        keep = np.ones(len(weights), dtype=bool)
        keep[1:] = profits[1:] > np.maximum.accumulate(profits)[:-1]
        kept = np.flatnonzero(keep)
        # Of states of one weight the last kept is the best.
        last = np.ones(len(kept), dtype=bool)
        last[:-1] = weights[kept[1:]] > weights[kept[:-1]]
        kept = kept[last]
        self.weights, self.profits = weights[kept], profits[kept]
        origin = order[kept]
        half = len(self.history[0])
        changed = origin >= half
        origin[changed] -= half
        self.history = [word[origin] for word in self.history]
        self.history[-1] |= changed.astype(np.int64) << position

    def _prune(self, feasible: int, addition: _Chunk | None, removal: _Chunk | None) -> None:
        """Drop the states whose linear relaxation does not exceed the best profit found."""
        keep = np.zeros(len(self.weights), dtype=bool)
        if addition is not None:
            room = -self.weights[:feasible]
            keep[:feasible] = self.profits[:feasible] + _share(room, addition) > self.best
        if removal is not None:
            excess = self.weights[feasible:]
            keep[feasible:] = self.profits[feasible:] + _share(-excess, removal) > self.best
        if not keep.all():
            self.weights, self.profits = self.weights[keep], self.profits[keep]
            self.history = [word[keep] for word in self.history]

    def _trace(self, state: int) -> list[tuple[_Chunk, int]]:
        return [
            decision
            for index, decision in enumerate(self.decided)
            if int(self.history[index // WORD][state]) >> (index % WORD) & 1
        ]


def _share(room: Integers, chunk: _Chunk) -> Integers:
    """Profit of as much of the chunk as fills the room, rounded down; without forming `room * profit`."""
    whole, rest = divmod(chunk.profit, chunk.weight)
    share: Integers = room * whole + room * rest // chunk.weight
    return share
