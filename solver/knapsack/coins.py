"""Sums that some weights with copies in abundance can make: the nearest one on either side of what is wanted.

A sum that is a multiple of the greatest common divisor of the weights can be made if it is large enough. Of smaller
sums it is known by their remainder: with the smallest weight as modulus, each remainder has a least sum, and every sum
of that remainder from there on can be made by adding the smallest weight.

Example: with 5 and 7, the least sums of the remainders 0 to 4 are 0, 21, 7, 28 and 14. 18 has remainder 3, so it cannot
be made; 19 has remainder 4, so it is 14 and one more 5.
"""

from collections.abc import Sequence
from math import gcd

import numpy as np
from numpy.typing import NDArray

LARGEST_TABLE = 2_000_000
"""Greatest modulus whose least sums are listed; two weights need no list."""

LARGEST_MODULUS = 2**31
"""Moduli below this have products of two remainders that fit in an int64."""

STRIDE = 4_096
"""Sums that are examined at once."""

UNMADE = 2**61


class Coins:
    """Weights of which up to some copies can be used.

    Attributes:
        unit: greatest common divisor of the weights; every sum is a multiple.
        full: the sum of all copies.
        examined: sums that have been examined, a measure of work that no machine changes.
    """

    def __init__(self, weights: Sequence[int], limits: Sequence[int]) -> None:
        self.unit = gcd(*weights)
        self._order = sorted(range(len(weights)), key=lambda index: weights[index])
        self._weights = [weights[index] // self.unit for index in self._order]
        self._limits = [limits[index] for index in self._order]
        self.full = self.unit * sum(weight * limit for weight, limit in zip(self._weights, self._limits, strict=True))
        self._modulus = self._weights[0]
        self.examined = 0
        self._table: NDArray[np.int64] | None = None

    @property
    def suitable(self) -> bool:
        """Whether the sums can be found in machine integers and in little memory."""
        if self.full // self.unit >= UNMADE or self._modulus >= LARGEST_MODULUS:
            return False
        return len(self._weights) <= 2 or self._modulus <= LARGEST_TABLE

    def greatest(self, most: int, examined: int) -> tuple[int, list[int] | None]:
        """Return the greatest sum that does not exceed `most`, or a bound of it, and copies that make it.

        Args:
            most: at least 0.
            examined: sums to examine before giving up.

        Returns:
            The sum and the copies of each weight. Without copies, no sum above the one returned is possible.
        """
        if most >= self.full:
            return self.full, self._in_order(self._limits)
        most //= self.unit
        full = self.full // self.unit
        # What is left unused is a sum as well; the smaller of the two is less likely to exceed the copies there are.
        unused = full - most < most
        start = full - most if unused else most
        distance = self._distance(start, 1 if unused else -1, examined)
        if distance is None:
            return (most - examined) * self.unit, None
        found = start + distance if unused else start - distance
        copies = self._copies(found)
        value = (full - found if unused else found) * self.unit
        if copies is None:
            return value, None
        if unused:
            copies = [limit - count for limit, count in zip(self._limits, copies, strict=True)]
        return value, self._in_order(copies)

    def _in_order(self, copies: Sequence[int]) -> list[int]:
        found = [0] * len(copies)
        for position, count in zip(self._order, copies, strict=True):
            found[position] = count
        return found

    def _distance(self, start: int, direction: int, examined: int) -> int | None:
        """Return how far the nearest sum in a direction is."""
        stride = 64
        first = 0
        while first < examined:
            self.examined += stride
            sums = start + direction * np.arange(first, first + stride, dtype=np.int64)
            made = np.flatnonzero((sums >= 0) & self._made(sums))
            if len(made):
                return first + int(made[0])
            first += stride
            stride = min(2 * stride, STRIDE)
        return None

    def _made(self, sums: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which sums can be made; of more than two weights, if their copies were unlimited."""
        found: NDArray[np.bool_]
        if len(self._weights) == 1:
            found = sums % self._modulus == 0
        elif len(self._weights) == 2:
            found = self._of_second(sums) <= np.minimum(self._limits[1], sums // self._weights[1])
        else:
            if self._table is None:
                self._table = self._least_sums()
            found = self._table[sums % self._modulus] <= sums
        return found

    def _of_second(self, sums: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the fewest copies of the second of two weights that leave no more to the first than there is of it."""
        smaller, other = self._weights
        inverse = pow(other, -1, smaller) if smaller > 1 else 0
        copies = sums % smaller * inverse % smaller
        needed = -((smaller * self._limits[0] - sums) // other)
        least: NDArray[np.int64] = copies + np.maximum(-((copies - needed) // smaller), 0) * smaller
        return least

    def _least_sums(self) -> NDArray[np.int64]:
        """Return the least sum of every remainder, adding 1, 2, 4 ... copies of one weight after the other."""
        modulus = self._modulus
        least = np.full(modulus, UNMADE, dtype=np.int64)
        least[0] = 0
        for weight in self._weights[1:]:
            copies = 1
            while copies < modulus:
                least = np.minimum(
                    least, np.minimum(np.roll(least, copies * weight % modulus) + copies * weight, UNMADE)
                )
                copies *= 2
        return least

    def _copies(self, total: int) -> list[int] | None:
        """Return copies that make a sum; None if there are not enough of one weight."""
        counts = [0] * len(self._weights)
        remainder = total % self._modulus
        if len(self._weights) == 2:
            counts[1] = int(self._of_second(np.array([total], dtype=np.int64))[0])
        elif len(self._weights) > 2:
            self._trace(remainder, counts)
        rest = total - sum(count * weight for count, weight in zip(counts, self._weights, strict=True))
        counts[0] = rest // self._modulus
        self._exchange(counts)
        fits = all(0 <= count <= limit for count, limit in zip(counts, self._limits, strict=True))
        return counts if fits and rest % self._modulus == 0 else None

    def _trace(self, remainder: int, counts: list[int]) -> None:
        """Find copies that make the least sum of a remainder."""
        table, modulus = self._table, self._modulus
        assert table is not None
        for position, weight in enumerate(self._weights[1:], start=1):
            copies = 1 << modulus.bit_length()
            while copies:
                before = (remainder - copies * weight) % modulus
                if table[before] + copies * weight == table[remainder]:
                    remainder = before
                    counts[position] += copies
                else:
                    copies //= 2

    def _exchange(self, counts: list[int]) -> None:
        """Replace copies of the smallest weight beyond its limit by copies of others that weigh the same."""
        for position, weight in enumerate(self._weights[1:], start=1):
            excess = counts[0] - self._limits[0]
            if excess <= 0:
                return
            common = gcd(weight, self._modulus)
            times = min(
                -(-excess // (weight // common)),
                (self._limits[position] - counts[position]) // (self._modulus // common),
            )
            if times > 0:
                counts[0] -= times * (weight // common)
                counts[position] += times * (self._modulus // common)
