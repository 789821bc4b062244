"""What a search may still change about the greedy choice, in the order in which it decides."""

from collections.abc import Sequence
from math import gcd

from msgspec import Struct

_ROUND = 10**18


class Move(Struct, frozen=True):
    """Several copies of an item that are added to the greedy choice, or removed from it, together.

    Attributes:
        item: index of the item.
        copies: how many; negative where they are removed.
        weight, profit: of all copies, negative where they are removed.
    """

    item: int
    copies: int
    weight: int
    profit: int

    def times(self, count: int) -> "Move":
        """So many of it."""
        return Move(self.item, self.copies * count, self.weight * count, self.profit * count)

    def in_units(self, unit: int) -> "Move":
        """Return the same move with its profit, a multiple of the unit, counted in units."""
        return Move(self.item, self.copies, self.weight, self.profit // unit)


class Side:
    """Collects what may be added to the greedy choice, or what may be removed from it."""

    def __init__(self) -> None:
        self._moves: list[tuple[int, int, int, Move]] = []

    def offer(self, one: Move, copies: int, rank: int) -> None:
        """Offer copies of an item, in moves of 1, 2, 4 ... and the rest, which combine to any number of them."""
        size = 1
        while copies > 0:
            size = min(size, copies)
            move = one.times(size)
            self._moves.append((rank, gcd(move.weight, _ROUND), size, move))
            copies -= size
            size *= 2

    def sorted(self) -> list[Move]:
        """By rank; of the same rank by how odd their weight is, then small moves of all items before larger ones.

        What is left when the odd prices are decided adds up to round sums only, which rules out most partial choices.
        """
        return [entry[-1] for entry in sorted(self._moves, key=lambda entry: entry[:-1])]


class Undecided:
    """The moves of one side that wait for their decision, in their order.

    Attributes:
        moves: all of them, the decided first.
        position: the first that is still undecided.
    """

    def __init__(self, moves: Sequence[Move]) -> None:
        self.moves = moves
        self.position = 0
        self._divisors = [0]
        self._weights = [0]
        for move in reversed(moves):
            self._divisors.append(gcd(self._divisors[-1], move.weight))
            self._weights.append(self._weights[-1] + move.weight)
        self._heaviest_first = sorted(range(len(moves)), key=lambda index: -abs(moves[index].weight))

    def __len__(self) -> int:
        return len(self.moves) - self.position

    @property
    def first(self) -> Move:
        """The next to decide."""
        return self.moves[self.position]

    def take(self) -> Move:
        """Remove and return the next move to decide, which counts as decided from now on."""
        self.position += 1
        return self.moves[self.position - 1]

    def rest(self) -> list[Move]:
        """Return the moves that are still undecided."""
        return list(self.moves[self.position :])

    def packed(self, room: int) -> list[Move]:
        """Undecided moves, the heaviest first, as long as they do not exceed the room between them."""
        packed = []
        for index in self._heaviest_first:
            move = self.moves[index]
            if index >= self.position and abs(move.weight) <= room:
                packed.append(move)
                room -= abs(move.weight)
        return packed

    def covering(self, excess: int) -> list[Move]:
        """Undecided moves that weigh at least the excess between them, as little above it as packing gets."""
        packed, smallest = [], None
        for index in self._heaviest_first:
            move = self.moves[index]
            if index >= self.position:
                if abs(move.weight) <= excess:
                    packed.append(move)
                    excess -= abs(move.weight)
                else:
                    smallest = move
        if excess > 0 and smallest is not None:
            packed.append(smallest)
        return packed

    @property
    def divisor(self) -> int:
        """Greatest common divisor of the weights of what is undecided; 0 where nothing is."""
        return self._divisors[-1 - self.position]

    @property
    def weight(self) -> int:
        """Weight of everything that is undecided."""
        return self._weights[-1 - self.position]
