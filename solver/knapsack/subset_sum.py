"""The greatest sum of weights within a capacity: all sums at once, as the bits of one number.

For prices that differ in nothing but their weight, where a search by profit has nothing to go by. Time grows with the
capacity times the number of weights, an eighth of a byte and a few machine instructions for every 64 of them.
"""

from collections.abc import Sequence

import numpy as np

MIRRORED = np.array([int(f"{byte:08b}"[::-1], 2) for byte in range(256)], dtype=np.uint8)
"""Each byte with its bits in reverse order."""


def greatest_sum(weights: Sequence[int], capacity: int) -> list[int]:
    """Return indices of weights whose sum is the greatest that does not exceed the capacity.

    Args:
        weights: above 0.
        capacity: at least 0; the work needs some multiples of this many bits.
    """
    sums = _sums(weights, capacity)
    return _chosen(weights, range(len(weights)), sums.bit_length() - 1)


def _sums(weights: Sequence[int], capacity: int) -> int:
    """Return a number whose bit `s` is set if and only if some weights add up to `s`, at most the capacity."""
    sums, mask = 1, (1 << capacity + 1) - 1
    for weight in weights:
        sums |= sums << weight & mask
    return sums


def _chosen(weights: Sequence[int], indices: Sequence[int], target: int) -> list[int]:
    """Return some of the indices whose weights add up to the target, which is known to be possible.

    Each half of the weights contributes a part of the target, so the parts are found where the sums of one half meet
    the mirrored sums of the other. The halves are smaller problems, and together cost no more than the whole did.
    """
    if target == 0:
        return []
    if len(indices) == 1:
        return list(indices)
    middle = len(indices) // 2
    left, right = indices[:middle], indices[middle:]
    meeting = _sums([weights[index] for index in left], target) & _mirrored(
        _sums([weights[index] for index in right], target), target
    )
    part = meeting.bit_length() - 1
    return _chosen(weights, left, part) + _chosen(weights, right, target - part)


def _mirrored(sums: int, target: int) -> int:
    """Return the bits of `sums` in reverse: bit `s` becomes bit `target - s`."""
    size = target // 8 + 1
    reverse = MIRRORED[np.frombuffer(sums.to_bytes(size, "little"), dtype=np.uint8)][::-1]
    return int.from_bytes(reverse.tobytes(), "little") >> (8 * size - 1 - target)
