"""Sets of partial choices of items, as sorted arrays of exact integers with enough history to name the choice."""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from solver.knapsack.few import FewStates
from solver.knapsack.moves import Move
from solver.scaling import Integers

WORD_BITS = 62
"""Decisions recorded in one machine word of a state's history."""


class Numbers(Struct, frozen=True):
    """The kinds of integers in which weights and profits of a search are computed."""

    weights: type[np.int64 | object]
    profits: type[np.int64 | object]


class States:
    """Partial choices, by weight ascending; each is heavier and more profitable than the one before.

    Attributes:
        weights, profits: of each choice.
        decided: the moves that each choice has taken or left.
    """

    def __init__(self, few: FewStates, numbers: Numbers) -> None:
        self.weights: Integers = np.array([row[0] for row in few.rows], dtype=numbers.weights)
        self.profits: Integers = np.array([row[1] for row in few.rows], dtype=numbers.profits)
        self.decided = list(few.decided)
        mask = (1 << WORD_BITS) - 1
        self._history: list[NDArray[np.int64]] = [
            np.array([row[2] >> first & mask for row in few.rows], dtype=np.int64)
            for first in range(0, len(self.decided), WORD_BITS)
        ]

    def few(self) -> FewStates:
        """Return the same choices as a list."""
        bits = [0] * len(self)
        for number, word in enumerate(self._history):
            bits = [known | some << number * WORD_BITS for known, some in zip(bits, word.tolist(), strict=True)]
        return FewStates(list(zip(self.weights.tolist(), self.profits.tolist(), bits, strict=True)), self.decided)

    def __len__(self) -> int:
        return len(self.weights)

    def decide(self, move: Move) -> None:
        """Double the choices, with and without the move, and keep those that no other dominates."""
        bit = len(self.decided) % WORD_BITS
        if bit == 0:
            self._history.append(np.zeros(len(self), dtype=np.int64))
        self.decided.append(move)
        count = len(self)
        weights = np.concatenate((self.weights, self.weights + move.weight))
        profits = np.concatenate((self.profits, self.profits + move.profit))
        order = np.argsort(weights, kind="stable")
        weights, profits = weights[order], profits[order]
        undominated = np.ones(len(weights), dtype=bool)
        undominated[1:] = profits[1:] > np.maximum.accumulate(profits)[:-1]
        kept = np.flatnonzero(undominated)
        # Of those that weigh the same, the last kept is the best.
        last = np.ones(len(kept), dtype=bool)
        last[:-1] = weights[kept[1:]] > weights[kept[:-1]]
        kept = kept[last]
        self.weights, self.profits = weights[kept], profits[kept]
        origin = order[kept]
        taken = origin >= count
        origin[taken] -= count
        self._history = [word[origin] for word in self._history]
        self._history[-1] |= taken.astype(np.int64) << bit

    def keep(self, wanted: NDArray[np.bool_]) -> None:
        """Drop all choices but the wanted ones."""
        if not wanted.all():
            self.weights, self.profits = self.weights[wanted], self.profits[wanted]
            self._history = [word[wanted] for word in self._history]

    def taken(self, index: int) -> list[Move]:
        """Return the moves of a choice."""
        return [
            move
            for position, move in enumerate(self.decided)
            if int(self._history[position // WORD_BITS][index]) >> (position % WORD_BITS) & 1
        ]
