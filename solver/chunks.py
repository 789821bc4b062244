"""What a search may still change about the greedy choice, in the order in which it decides."""

from collections.abc import Sequence
from math import gcd

from msgspec import Struct

_ROUND = 10**18


class Chunk(Struct, frozen=True):
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

    def times(self, count: int) -> "Chunk":
        """So many of it."""
        return Chunk(self.item, self.copies * count, self.weight * count, self.profit * count)

    def in_units(self, unit: int) -> "Chunk":
        """The same with its profit, a multiple of the unit, counted in units."""
        return Chunk(self.item, self.copies, self.weight, self.profit // unit)


class Side:
    """Collects what may be added to the greedy choice, or what may be removed from it."""

    def __init__(self) -> None:
        self._chunks: list[tuple[int, int, int, Chunk]] = []

    def offer(self, one: Chunk, copies: int, rank: int) -> None:
        """Offer copies of an item, in chunks of 1, 2, 4 ... and the rest, which combine to any number of them."""
        size = 1
        while copies > 0:
            size = min(size, copies)
            chunk = one.times(size)
            self._chunks.append((rank, gcd(chunk.weight, _ROUND), size, chunk))
            copies -= size
            size *= 2

    def sorted(self) -> list[Chunk]:
        """By rank; of the same rank by how odd their weight is, then small chunks of all items before larger ones.

        What is left when the odd prices are decided adds up to round sums only, which rules out most partial choices.
        """
        return [entry[-1] for entry in sorted(self._chunks, key=lambda entry: entry[:-1])]


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
        self._heaviest_first = sorted(range(len(chunks)), key=lambda index: -abs(chunks[index].weight))

    def __len__(self) -> int:
        return len(self.chunks) - self.position

    @property
    def first(self) -> Chunk:
        """The next to decide."""
        return self.chunks[self.position]

    def take(self) -> Chunk:
        """The next to decide, which counts as decided from now on."""
        self.position += 1
        return self.chunks[self.position - 1]

    def rest(self) -> list[Chunk]:
        """The chunks that are still undecided."""
        return list(self.chunks[self.position :])

    def packed(self, room: int) -> list[Chunk]:
        """Undecided chunks, the heaviest first, as long as they do not exceed the room between them."""
        packed = []
        for index in self._heaviest_first:
            chunk = self.chunks[index]
            if index >= self.position and abs(chunk.weight) <= room:
                packed.append(chunk)
                room -= abs(chunk.weight)
        return packed

    def covering(self, excess: int) -> list[Chunk]:
        """Undecided chunks that weigh at least the excess between them, as little above it as packing gets."""
        packed, smallest = [], None
        for index in self._heaviest_first:
            chunk = self.chunks[index]
            if index >= self.position:
                if abs(chunk.weight) <= excess:
                    packed.append(chunk)
                    excess -= abs(chunk.weight)
                else:
                    smallest = chunk
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
