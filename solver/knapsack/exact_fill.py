"""Fills the room that a greedy choice leaves to the last unit, if two equally dense items have copies in abundance.

Then the linear bound is reached, and a search among millions of copies is not needed.

Example: shares cost 83 and 388 units, both are held by the thousands, and 3 units of cash are left. Buying 173 of the
first and selling 37 of the second uses 83 * 173 - 388 * 37 = 3. The extended Euclidean algorithm finds such numbers.
"""

from collections.abc import Sequence
from itertools import combinations
from math import gcd

MOST_ITEMS = 12
"""Items that are paired, those with the most copies."""


def fill(
    weights: Sequence[int], lowest: Sequence[int], highest: Sequence[int], room: int
) -> tuple[int, int, int, int] | None:
    """Return two items and the change in copies of each that uses the room exactly.

    Args:
        weights: of the items that may be changed, above 0.
        lowest: least change in copies of each, at most 0.
        highest: greatest change in copies of each, at least 0.
        room: to use.

    Returns:
        The positions of both items and the changes; None if no two of them fill the room.
    """
    spans = [high - low for low, high in zip(lowest, highest, strict=True)]
    most = sorted(range(len(weights)), key=lambda index: -spans[index])[:MOST_ITEMS]
    for one, two in combinations(most, 2):
        common = gcd(weights[one], weights[two])
        step = weights[two] // common
        if room % common or spans[one] < step:
            continue
        start = room // common * pow(weights[one] // common, -1, step) % step
        # The change of the other follows, and has its own limits.
        least = max(lowest[one], -((weights[two] * highest[two] - room) // weights[one]))
        greatest = min(highest[one], (room - weights[two] * lowest[two]) // weights[one])
        change = least + (start - least) % step
        if change <= greatest:
            return one, two, change, (room - weights[one] * change) // weights[two]
    return None
