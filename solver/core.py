"""The search behind the knapsack: a dynamic programme over a growing core around the greedy choice, in exact integers.

It decides one chunk of copies after another, the nearest in density to the break item first: chunks beyond it may be
added to the greedy choice, chunks before it removed. A partial choice is dropped when another is as light and as
profitable, or when even the linear relaxation of what is undecided cannot lift it above the best found. The search is
complete when no partial choice is left, when nothing is undecided, or when the best found meets the bound.

Two ways find good choices early. Completion fills or empties each partial choice with shares of the lightest security.
Pairing builds a second set from chunks that are still undecided and, for each of its members, looks up the best partner
in the first: two sets of a hundred thousand examine ten thousand million choices. Where the second set exhausts what is
undecided, it ends the search with proof.
"""

from collections.abc import Iterator, Sequence
from math import gcd
from time import perf_counter

import numpy as np
from msgspec import Struct

from solver.scaling import INT64_LIMIT, Integers
from solver.states import Chunk, States
from solver.sums import greatest_sum

FIRST_PAIRING = 2_000
"""Partial choices from which pairing is tried; again each time there are `PAIRING_GROWTH` times as many."""
PAIRING_GROWTH = 8

REACHABLE_BITS = 100_000_000
"""Greatest capacity of which all reachable sums are listed: 12 MB at a time, and some milliseconds for each chunk."""


class Side:
    """Collects what may be added to the greedy choice, or what may be removed from it."""

    def __init__(self) -> None:
        self._chunks: list[tuple[int, int, Chunk]] = []

    def offer(self, one: Chunk, copies: int, rank: int) -> None:
        """Offer copies of an item, in chunks of 1, 2, 4 ... and the rest, which combine to any number of them."""
        size = 1
        while copies > 0:
            size = min(size, copies)
            chunk = Chunk(one.item, one.copies * size, one.weight * size, one.profit * size)
            self._chunks.append((rank, size, chunk))
            copies -= size
            size *= 2

    def sorted(self) -> list[Chunk]:
        """By rank; small chunks of all items come before larger ones of the same rank."""
        return [chunk for _, _, chunk in sorted(self._chunks, key=lambda entry: entry[:2])]


class Search(Struct, frozen=True):
    """What a search found.

    Attributes:
        change: chunks that turn the greedy choice into the best; None where nothing better than the start was found.
        best: profit of that choice, relative to the greedy choice.
        bound: nothing is better than this.
        complete: nothing is better than `best`.
        states: partial choices looked at.
    """

    change: list[Chunk] | None
    best: int
    bound: int
    complete: bool
    states: int


class Undecided:
    """The chunks of one side that wait for their decision, in their order.

    Attributes:
        chunks: all of them, the decided first.
        position: the first that is still undecided.
    """

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.chunks = chunks
        self.position = 0
        self._divisors = [0]
        self._weights = [0]
        for chunk in reversed(chunks):
            self._divisors.append(gcd(self._divisors[-1], chunk.weight))
            self._weights.append(self._weights[-1] + chunk.weight)
        # Shares of the lightest security are the finest filling.
        self._filling = min((chunk for chunk in chunks if abs(chunk.copies) == 1), key=_size, default=None)
        self._fillings = sum(
            abs(chunk.copies) for chunk in chunks if self._filling and chunk.item == self._filling.item
        )

    def __len__(self) -> int:
        return len(self.chunks) - self.position

    def undecided(self) -> list[Chunk]:
        """The chunks that are still undecided."""
        return list(self.chunks[self.position :])

    def take(self) -> Chunk:
        """The next chunk, decided from now on."""
        chunk = self.chunks[self.position]
        self.position += 1
        if self._filling and chunk.item == self._filling.item:
            self._fillings -= abs(chunk.copies)
        return chunk

    @property
    def divisor(self) -> int:
        """Greatest common divisor of the weights of what is undecided."""
        return self._divisors[-1 - self.position]

    @property
    def weight(self) -> int:
        """Weight of everything that is undecided."""
        return self._weights[-1 - self.position]

    @property
    def filling(self) -> tuple[Chunk, int] | None:
        """A share of the lightest security, and how many of it are undecided."""
        return (self._filling, self._fillings) if self._filling and self._fillings else None


def _in_units(chunk: Chunk, unit: int) -> Chunk:
    return Chunk(chunk.item, chunk.copies, chunk.weight, chunk.profit // unit)


def _size(chunk: Chunk) -> int:
    return abs(chunk.weight)


class Core:
    """One search. Weights count from the capacity, profits from the greedy choice.

    Args:
        additions: what may be added to the greedy choice, by falling density.
        removals: what may be removed from it, by rising density.
        broken: one copy of the break item, whose density lies between the two.
        room: capacity that the greedy choice leaves.
    """

    def __init__(self, additions: Sequence[Chunk], removals: Sequence[Chunk], broken: Chunk, room: int) -> None:
        # In units of their common divisor the profits are small numbers, and any bound in them is sharper.
        unit = gcd(broken.profit, *(chunk.profit for chunk in additions), *(chunk.profit for chunk in removals))
        self._unit = unit
        self._additions = Undecided([_in_units(chunk, unit) for chunk in additions])
        self._removals = Undecided([_in_units(chunk, unit) for chunk in removals])
        self._broken = _in_units(broken, unit)
        self._room = room
        self._best = self._bound = 0
        self._change: list[Chunk] | None = None
        self._looked_at = 0
        self._number: type[np.int64 | object] = np.int64
        self._states = States(-room, np.int64)

    def search(self, best: int, bound: int, deadline: float, max_states: int, *, persist: bool) -> Search:
        """Look for a choice above `best` until it is found and proven, or the time runs out.

        When there are more than `max_states` partial choices, a search that does not persist ends, and one that does
        goes through everything undecided, with this and a second set at a time.
        """
        self._best, self._bound = best // self._unit, bound // self._unit
        self._number = self._narrowest()
        self._states = States(-self._room, self._number)
        pairing = FIRST_PAIRING
        complete = False
        while not complete:
            if len(self._states) > min(pairing, max_states):
                pairing *= PAIRING_GROWTH
                last = len(self._states) > max_states
                if last and persist:
                    self._tighten()
                complete = self._pair(max_states, deadline, persist=persist and last) or self._best >= self._bound
                if last:
                    break
            if perf_counter() > deadline:
                break
            if not complete:
                complete = not self._decide() or self._best >= self._bound
        if self._change is not None:
            best = self._best * self._unit
        return Search(self._change, best, self._bound * self._unit, complete, self._looked_at)

    def _narrowest(self) -> type[np.int64] | type[object]:
        """int64 if every sum and product of the search provably fits in it."""
        chunks = (*self._additions.chunks, *self._removals.chunks, self._broken)
        reach = self._room + sum(abs(chunk.weight) for chunk in chunks)
        gain = abs(self._best) + self._bound + sum(abs(chunk.profit) for chunk in chunks)
        steepest = max(chunk.profit // chunk.weight for chunk in chunks) + 1
        rest = max(abs(chunk.profit % chunk.weight) for chunk in chunks)
        fits = gain + reach * steepest < INT64_LIMIT and reach * rest < INT64_LIMIT
        return np.int64 if fits else object

    def _decide(self) -> bool:
        """Decide the next chunk; False where there is none or no partial choice is left that could be better."""
        additions, removals, states = self._additions, self._removals, self._states
        if not additions and not removals:
            return False
        side = additions if additions and (additions.position <= removals.position or not removals) else removals
        states.decide(side.take())
        self._looked_at += len(states)
        fitting = int(np.searchsorted(states.weights, 0, side="right"))
        if fitting and states.profits[fitting - 1] > self._best:
            self._improve(int(states.profits[fitting - 1]), states.taken(fitting - 1))
        if additions.filling:
            self._complete(slice(0, fitting), *additions.filling)
        if removals.filling:
            self._complete(slice(fitting, None), *removals.filling)
        wanted = np.zeros(len(states), dtype=bool)
        divisor = gcd(additions.divisor, removals.divisor)
        if additions:
            relaxed = _relaxed(-states.weights[:fitting], additions.chunks[additions.position], divisor)
            wanted[:fitting] = states.profits[:fitting] + relaxed > self._best
        if removals:
            excess = states.weights[fitting:]
            relaxed = _relaxed(-excess, removals.chunks[removals.position], divisor)
            wanted[fitting:] = (states.profits[fitting:] + relaxed > self._best) & (excess <= -removals.weight)
        states.keep(wanted)
        return len(states) > 0

    def _complete(self, part: slice, one: Chunk, copies: int) -> None:
        """Fill or empty partial choices with shares of one security, as far as they go."""
        states = self._states
        weights, profits = states.weights[part], states.profits[part]
        # Added shares must not exceed the room; removed ones must at least make up for the excess.
        counts = -weights // one.weight if one.weight > 0 else -(weights // one.weight)
        if one.weight > 0:
            counts = np.minimum(counts, copies)
        else:
            enough = counts <= copies
            part = slice((part.start or 0), (part.start or 0) + int(np.count_nonzero(enough)))
            counts, profits = counts[enough], profits[enough]
        if len(counts) == 0:
            return
        completed = profits + counts * one.profit
        index = int(np.argmax(completed))
        if completed[index] > self._best:
            count = int(counts[index])
            filling = Chunk(one.item, one.copies * count, one.weight * count, one.profit * count)
            self._improve(int(completed[index]), [*states.taken((part.start or 0) + index), filling])

    def _pair(self, max_states: int, deadline: float, *, persist: bool) -> bool:
        """Pair the partial choices with a second set from undecided chunks; True if that leaves nothing undecided."""
        partners = States(0, self._number)
        additions, removals = self._additions.undecided(), self._removals.undecided()
        limit = min(len(self._states), max_states)
        while (additions or removals) and len(partners) <= limit:
            # Evenly from both sides, so that what is added balances what is removed.
            adds = additions and (len(partners.decided) % 2 == 0 or not removals)
            partners.decide((additions if adds else removals).pop(0))
            relaxed = _relaxed(self._room - partners.weights, self._broken, 1)
            partners.keep(partners.profits + relaxed > self._best)
            self._looked_at += len(partners)
            if len(partners) == 0:
                return True
        rest = additions + removals
        for prefix in self._prefixes(rest) if persist else ([],):
            self._match(partners, prefix)
            if self._best >= self._bound or perf_counter() > deadline:
                return False
        return persist or not rest

    def _tighten(self) -> None:
        """Lower the bound to what the greatest sum of weights within the capacity allows, and try that sum.

        This settles portfolios of equal densities whose prices cannot make the sum that the linear relaxation asks for.
        """
        additions, removals = self._additions.chunks, self._removals.chunks
        divisor = gcd(*(chunk.weight for chunk in (*additions, *removals)))
        # Seen from all removals made, every chunk adds.
        capacity = (self._room - sum(chunk.weight for chunk in removals)) // divisor
        if capacity > REACHABLE_BITS:
            return
        weights = [abs(chunk.weight) // divisor for chunk in (*additions, *removals)]
        chosen = set(greatest_sum(weights, capacity))
        change = [chunk for index, chunk in enumerate(additions) if index in chosen]
        change += [chunk for index, chunk in enumerate(removals, len(additions)) if index not in chosen]
        room = self._room - divisor * (capacity - sum(weights[index] for index in chosen))
        self._bound = min(self._bound, room * self._broken.profit // self._broken.weight)
        profit = sum(chunk.profit for chunk in change)
        if profit > self._best:
            self._improve(profit, change)

    def _prefixes(self, rest: Sequence[Chunk]) -> Iterator[list[Chunk]]:
        """Every choice of the rest that the linear relaxation cannot rule out, the smallest changes first."""
        pending: list[tuple[int, int, int, list[Chunk]]] = [(len(rest), 0, 0, [])]
        while pending:
            undecided, weight, profit, taken = pending.pop()
            if profit + (self._room - weight) * self._broken.profit // self._broken.weight <= self._best:
                continue
            if undecided == 0:
                yield taken
                continue
            chunk = rest[undecided - 1]
            pending.append((undecided - 1, weight + chunk.weight, profit + chunk.profit, [*taken, chunk]))
            pending.append((undecided - 1, weight, profit, taken))

    def _match(self, partners: States, prefix: list[Chunk]) -> None:
        """Give each partial choice, with the prefix added to it, the best partner that fits."""
        few, many = sorted((self._states, partners), key=len)
        room = -sum(chunk.weight for chunk in prefix) - few.weights
        first = len(room) - int(np.searchsorted(room[::-1], many.weights[0]))
        places = np.searchsorted(many.weights, room[:first][::-1], side="right")[::-1] - 1
        if first == 0:
            return
        total = few.profits[:first] + many.profits[places]
        index = int(np.argmax(total))
        profit = int(total[index]) + sum(chunk.profit for chunk in prefix)
        if profit > self._best:
            self._improve(profit, few.taken(index) + many.taken(int(places[index])) + prefix)

    def _improve(self, profit: int, change: list[Chunk]) -> None:
        self._best, self._change = profit, change


def _relaxed(room: Integers, first: Chunk, divisor: int) -> Integers:
    """Most profit that undecided chunks can bring when they may change the weight by at most `room`, rounded down.

    They are taken to be divisible and as dense as the first; only their common divisor is respected. The room of
    removals is negative. Never forms `room * profit`, which needs more digits than either.
    """
    if divisor > 1:
        room = room // divisor * divisor
    whole, rest = divmod(first.profit, first.weight)
    relaxed: Integers = room * whole + room * rest // first.weight
    return relaxed
