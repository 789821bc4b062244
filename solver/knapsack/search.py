"""The search behind the knapsack: a dynamic programme over a growing core around the greedy choice, in exact integers.

It decides one move of copies after another, the nearest in density to the break item first: moves beyond it may be
added to the greedy choice, moves before it removed. A partial choice is dropped when another is as light and as
profitable, or when even the linear relaxation of what is undecided cannot lift it above the best found. The search is
complete when no partial choice is left, when nothing is undecided, or when the best found meets the bound.

Two ways find good choices early. Completion packs the undecided moves into the most hopeful partial choice.
Pairing builds a second set from moves that are still undecided and, for each of its members, looks up the best partner
in the first: two sets of a hundred thousand examine ten thousand million choices. Where the second set exhausts what is
undecided, it ends the search with proof.

Example: 100 is to be spent on A (30, gains 22), B (31, gains 21), C (40, gains 26) and D (9, gains 4), one of each. The
greedy choice takes A, B and then breaks on C, as only 39 is left: profit 43, room 39, and no choice exceeds 43 + 39 *
26/40 = 68. Adding D makes 47. The moves are: add C, add D; remove B, remove A, the nearest to the density of C first.
Deciding "add C" leaves (-39, 0) and (1, 26) as weight above the capacity and profit; "remove B" adds (-30, 5), which
fits and is worth 43 + 5 = 48; "add D" lifts that to (-21, 9), worth 52: A, C and D for 79. With "remove A" undecided
nothing can be lifted above that, so it is proven.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from math import gcd
from operator import itemgetter
from time import perf_counter

import numpy as np
from msgspec import Struct

from solver.knapsack.few import FewStates
from solver.knapsack.few import hopes as few_hopes
from solver.knapsack.frontier import Numbers, States
from solver.knapsack.moves import Move, Undecided
from solver.knapsack.subset_sum import greatest_sum
from solver.scaling import INT64_LIMIT, Integers

FIRST_PAIRING = 1_000
"""Partial choices from which pairing is tried; again each time there are `PAIRING_GROWTH` times as many."""
PAIRING_GROWTH = 8

REACHABLE_BITS = 100_000_000
"""Greatest capacity of which all reachable sums are listed, 12 MB at a time."""
REACHABLE_SECONDS = 4e-10
"""Time that takes at most, for each move and each unit of capacity."""

FEW = 100
"""Partial choices up to which a list of them is faster than arrays."""

LARGE_NUMBERS = 2
"""Python integers take so many times the memory of an int64, so that fewer partial choices are held."""

UNLIMITED = 2**62
"""Work that no search ever reaches."""


class Search(Struct, frozen=True):
    """What a search found.

    Attributes:
        change: moves that turn the greedy choice into the best; None where nothing better than the start was found.
        best: profit of that choice, relative to the greedy choice.
        bound: nothing is better than this.
        complete: nothing is better than `best`.
        states: partial choices looked at.
    """

    change: list[Move] | None
    best: int
    bound: int
    complete: bool
    states: int


class Core:
    """One search. Weights count from the capacity, profits from the greedy choice.

    Args:
        additions: what may be added to the greedy choice, by falling density.
        removals: what may be removed from it, by rising density.
        broken: one copy of the break item, whose density lies between the two.
        room: capacity that the greedy choice leaves.
    """

    def __init__(self, additions: Sequence[Move], removals: Sequence[Move], broken: Move, room: int) -> None:
        # In units of their common divisor the profits are small numbers, and any bound in them is sharper.
        unit = gcd(broken.profit, *(move.profit for move in additions), *(move.profit for move in removals))
        self._unit = unit
        if unit != 1:
            additions = [move.in_units(unit) for move in additions]
            removals = [move.in_units(unit) for move in removals]
        self._additions = Undecided(additions)
        self._removals = Undecided(removals)
        self._broken = broken.in_units(unit)
        self._room = room
        self._best = self._bound = 0
        self._change: list[Move] | None = None
        self._looked_at = 0
        self._numbers = self._narrowest()
        self._states: FewStates | States = FewStates([(-room, 0, 0)], [])

    def search(
        self,
        best: int,
        bound: int,
        deadline: float,
        max_states: int,
        *,
        persist: bool,
        max_work: int = UNLIMITED,
        max_unpruned: int = UNLIMITED,
    ) -> Search:
        """Search for a choice above `best` until it is found and proven, or the time runs out.

        When there are more than `max_states` partial choices, a search that does not persist ends, and one that does
        goes through everything undecided, with this and a second set at a time. It also ends at `max_unpruned` partial
        choices if none has been dropped until then.
        """
        self._best, self._bound = best // self._unit, bound // self._unit
        if self._numbers.profits is object:
            max_states //= LARGE_NUMBERS
        pairing = FIRST_PAIRING
        complete = False
        while not complete and self._looked_at < max_work and perf_counter() < deadline:
            if len(self._states) > max_states:
                if persist:
                    self._tighten(deadline)
                complete = self._best >= self._bound or self._pair(max_states, deadline, persist=persist)
                break
            if len(self._states) >= max_unpruned and len(self._states) == 1 << len(self._states.decided):
                break
            if len(self._states) > pairing:
                pairing *= PAIRING_GROWTH
                complete = self._pair(max_states, deadline, persist=False)
            complete = complete or self._best >= self._bound or not self._decide()
        if self._change is not None:
            best = self._best * self._unit
        return Search(self._change, best, self._bound * self._unit, complete, self._looked_at)

    def _narrowest(self) -> Numbers:
        """Return int64 where every sum and product of the search provably fits in it; weights are only added."""
        moves = (*self._additions.moves, *self._removals.moves, self._broken)
        reach = self._room + sum(abs(move.weight) for move in moves)
        gain = sum(abs(move.profit) for move in moves)
        steepest = max(move.profit // move.weight for move in moves) + 1
        rest = max(abs(move.profit % move.weight) for move in moves)
        fits = 2 * (gain + reach * steepest) < INT64_LIMIT and reach * rest < INT64_LIMIT
        return Numbers(np.int64 if reach < INT64_LIMIT else object, np.int64 if fits else object)

    def _decide(self) -> bool:
        """Decide the next move; False if no move, or no partial choice that could be better, is left."""
        additions, removals = self._additions, self._removals
        if not additions and not removals:
            return False
        side = additions if additions and (additions.position <= removals.position or not removals) else removals
        states = self._states = _suitable(self._states, self._numbers)
        if isinstance(states, FewStates):
            return self._decide_few(states, side.take())
        states.decide(side.take())
        self._looked_at += len(states)
        fitting = int(np.searchsorted(states.weights, 0, side="right"))
        if fitting and states.profits[fitting - 1] > self._best:
            self._improve(int(states.profits[fitting - 1]), states.taken(fitting - 1))
        divisor = gcd(additions.divisor, removals.divisor)
        hopes = states.profits.copy()
        possible = np.zeros(len(states), dtype=bool)
        if additions:
            hopes[:fitting] += self._relaxed(-states.weights[:fitting], additions.first, divisor)
            possible[:fitting] = True
        if removals:
            excess = states.weights[fitting:]
            hopes[fitting:] += self._relaxed(-excess, removals.first, divisor)
            possible[fitting:] = excess <= -removals.weight
        if not possible.any():
            return False
        self._complete_most_hopeful(np.flatnonzero(possible)[int(np.argmax(hopes[possible]))])
        wanted = possible & (hopes > self._best)
        if not wanted.any():
            return False
        # Whatever is better than the best found comes of a partial choice that is kept.
        self._bound = min(self._bound, int(hopes[wanted].max()))
        states.keep(wanted)
        return True

    def _decide_few(self, states: FewStates, move: Move) -> bool:
        """Decide a move while the partial choices are a list."""
        additions, removals = self._additions, self._removals
        states.decide(move)
        rows = states.rows
        self._looked_at += len(rows)
        fitting = states.fitting
        if fitting and rows[fitting - 1][1] > self._best:
            self._improve(rows[fitting - 1][1], states.taken(fitting - 1))
        divisor = gcd(additions.divisor, removals.divisor)
        hopes = few_hopes(
            rows, fitting, additions.first if additions else None, removals.first if removals else None, divisor
        )
        first = 0 if additions else fitting
        last = bisect_right(rows, -removals.weight, key=itemgetter(0)) if removals else fitting
        if first >= last:
            return False
        greatest = max(hopes[first:last])
        self._complete_most_hopeful(hopes.index(greatest, first))
        best = self._best
        if greatest <= best:
            return False
        self._bound = min(self._bound, greatest)
        states.rows = [rows[index] for index in range(first, last) if hopes[index] > best]
        return True

    def _complete_most_hopeful(self, index: int) -> None:
        """Pack what is undecided into one partial choice, or as much out of it as it takes to fit."""
        if isinstance(self._states, FewStates):
            weight, profit, _ = self._states.rows[index]
        else:
            weight, profit = int(self._states.weights[index]), int(self._states.profits[index])
        change = self._additions.packed(-weight) if weight <= 0 else self._removals.covering(weight)
        weight += sum(move.weight for move in change)
        profit += sum(move.profit for move in change)
        if weight <= 0 and profit > self._best:
            self._improve(profit, self._states.taken(index) + change)

    def _pair(self, max_states: int, deadline: float, *, persist: bool) -> bool:
        """Pair the partial choices with a second set from undecided moves; True if that leaves nothing undecided.

        Args:
            max_states: partial choices that the second set may have.
            deadline: on `time.perf_counter()`.
            persist: go through every choice of what neither set has decided, one after the other.
        """
        partners: FewStates | States = FewStates([(0, 0, 0)], [])
        additions, removals = self._additions.rest(), self._removals.rest()
        limit = min(len(self._states), max_states)
        while (additions or removals) and len(partners) <= limit:
            if perf_counter() > deadline:
                return False
            # Evenly from both sides, so that what is added balances what is removed.
            adds = additions and (len(partners.decided) % 2 == 0 or not removals)
            partners = _suitable(partners, self._numbers)
            partners.decide((additions if adds else removals).pop(0))
            if isinstance(partners, FewStates):
                weight, profit, room = self._broken.weight, self._broken.profit, self._room
                partners.rows = [
                    row for row in partners.rows if row[1] + (room - row[0]) * profit // weight > self._best
                ]
            else:
                relaxed = self._relaxed(self._room - partners.weights, self._broken, 1)
                partners.keep(partners.profits + relaxed > self._best)
            self._looked_at += len(partners)
            if len(partners) == 0:
                return True
        rest = additions + removals
        few, many = sorted((_as_arrays(self._states, self._numbers), _as_arrays(partners, self._numbers)), key=len)
        for prefix in self._prefixes(rest) if persist else ([],):
            if prefix is not None:
                self._match(few, many, prefix)
            if self._best >= self._bound or perf_counter() > deadline:
                return False
        return persist or not rest

    def _tighten(self, deadline: float) -> None:
        """Lower the bound to what the greatest sum of weights within the capacity allows, and try that sum.

        This settles portfolios of equal densities whose prices cannot make the sum that the linear relaxation asks for.
        """
        additions, removals = self._additions.moves, self._removals.moves
        moves = (*additions, *removals)
        divisor = gcd(*(move.weight for move in moves))
        # Seen from all removals made, every move adds.
        capacity = (self._room - sum(move.weight for move in removals)) // divisor
        seconds = capacity * len(moves) * REACHABLE_SECONDS
        if capacity > REACHABLE_BITS or perf_counter() + seconds > deadline:
            return
        weights = [abs(move.weight) // divisor for move in moves]
        chosen = set(greatest_sum(weights, capacity))
        change = [move for index, move in enumerate(moves) if (index in chosen) == (index < len(additions))]
        room = self._room - divisor * (capacity - sum(weights[index] for index in chosen))
        self._bound = min(self._bound, room * self._broken.profit // self._broken.weight)
        profit = sum(move.profit for move in change)
        if profit > self._best:
            self._improve(profit, change)

    def _prefixes(self, rest: Sequence[Move]) -> Iterator[list[Move] | None]:
        """Yield every choice of the rest that the linear relaxation cannot rule out; None for each that it can."""
        pending: list[tuple[int, int, int, list[Move]]] = [(len(rest), 0, 0, [])]
        while pending:
            undecided, weight, profit, taken = pending.pop()
            if profit + (self._room - weight) * self._broken.profit // self._broken.weight <= self._best:
                yield None
            elif undecided == 0:
                yield taken
            else:
                move = rest[undecided - 1]
                pending.append((undecided - 1, weight + move.weight, profit + move.profit, [*taken, move]))
                pending.append((undecided - 1, weight, profit, taken))

    def _match(self, few: States, many: States, prefix: list[Move]) -> None:
        """Combine each partial choice of one set, with the prefix added to it, with the best of another that fits."""
        room = -sum(move.weight for move in prefix) - few.weights
        first = len(room) - int(np.searchsorted(room[::-1], many.weights[0]))
        if first == 0:
            return
        places = np.searchsorted(many.weights, room[:first][::-1], side="right")[::-1] - 1
        total = few.profits[:first] + many.profits[places]
        index = int(np.argmax(total))
        profit = int(total[index]) + sum(move.profit for move in prefix)
        if profit > self._best:
            self._improve(profit, few.taken(index) + many.taken(int(places[index])) + prefix)

    def _relaxed(self, room: Integers, first: Move, divisor: int) -> Integers:
        """Most profit that undecided moves can bring when they may change the weight by at most `room`, rounded down.

        They are taken to be divisible and as dense as the first; only their common divisor is respected. The room of
        removals is negative. In machine integers, `room * profit` needs more digits than either, so it is not formed.
        """
        if divisor > 1:
            room = room // divisor * divisor
        relaxed: Integers
        if self._numbers.profits is object:
            relaxed = room.astype(object) * first.profit // first.weight
        else:
            whole, rest = divmod(first.profit, first.weight)
            relaxed = room * whole + room * rest // first.weight
        return relaxed

    def _improve(self, profit: int, change: list[Move]) -> None:
        self._best, self._change = profit, change


def _suitable(states: FewStates | States, numbers: Numbers) -> FewStates | States:
    """Return the same partial choices in the form that is faster for their number and size."""
    if isinstance(states, FewStates):
        return States(states, numbers) if len(states) > FEW else states
    return states.few() if 4 * len(states) < FEW else states


def _as_arrays(states: FewStates | States, numbers: Numbers) -> States:
    return States(states, numbers) if isinstance(states, FewStates) else states
