"""What a search may still change about the greedy choice, in the order in which it decides."""

from collections.abc import Sequence
from math import gcd

from msgspec import Struct


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
        self._chunks: list[tuple[int, int, Chunk]] = []

    def offer(self, one: Chunk, copies: int, rank: int) -> None:
        """Offer copies of an item, in chunks of 1, 2, 4 ... and the rest, which combine to any number of them."""
        size = 1
        while copies > 0:
            size = min(size, copies)
            self._chunks.append((rank, size, one.times(size)))
            copies -= size
            size *= 2

    def sorted(self) -> list[Chunk]:
        """By rank; small chunks of all items come before larger ones of the same rank."""
        return [chunk for _, _, chunk in sorted(self._chunks, key=lambda entry: entry[:2])]


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
        singles = (chunk for chunk in chunks if abs(chunk.copies) == 1)
        self._filling = min(singles, key=lambda chunk: abs(chunk.weight), default=None)
        self._fillings = sum(abs(chunk.copies) for chunk in chunks if self._fills(chunk))

    def __len__(self) -> int:
        return len(self.chunks) - self.position

    @property
    def first(self) -> Chunk:
        """The next to decide."""
        return self.chunks[self.position]

    def take(self) -> Chunk:
        """The next to decide, which counts as decided from now on."""
        chunk = self.first
        self.position += 1
        if self._fills(chunk):
            self._fillings -= abs(chunk.copies)
        return chunk

    def rest(self) -> list[Chunk]:
        """The chunks that are still undecided."""
        return list(self.chunks[self.position :])

    @property
    def divisor(self) -> int:
        """Greatest common divisor of the weights of what is undecided; 0 where nothing is."""
        return self._divisors[-1 - self.position]

    @property
    def weight(self) -> int:
        """Weight of everything that is undecided."""
        return self._weights[-1 - self.position]

    @property
    def filling(self) -> tuple[Chunk, int] | None:
        """A share of the lightest security, and how many of it are undecided."""
        return (self._filling, self._fillings) if self._filling and self._fillings else None

    def _fills(self, chunk: Chunk) -> bool:
        return self._filling is not None and chunk.item == self._filling.item
