"""Few partial choices, as a list of tuples: an array costs as much for one of them as for a hundred.

The choices are the same as those of `solver.knapsack.frontier.States`, in the same order.
"""

from bisect import bisect_right
from collections.abc import Sequence

from solver.knapsack.moves import Move

type Row = tuple[int, int, int]
"""Weight, profit, and the moves that were taken as the bits of a number."""


class FewStates:
    """Partial choices, by weight ascending; each is heavier and more profitable than the one before.

    Attributes:
        rows: the choices.
        decided: the moves that each choice has taken or left.
    """

    def __init__(self, rows: list[Row], decided: list[Move]) -> None:
        self.rows = rows
        self.decided = decided

    def __len__(self) -> int:
        return len(self.rows)

    def decide(self, move: Move) -> None:
        """Double the choices, with and without the move, and keep those that no other dominates."""
        weight, profit, bit = move.weight, move.profit, 1 << len(self.decided)
        self.decided.append(move)
        both = self.rows + [(row[0] + weight, row[1] + profit, row[2] | bit) for row in self.rows]
        both.sort(key=_weight)
        rows = both[:1]
        heaviest, greatest = rows[0][0], rows[0][1]
        for row in both:
            if row[1] > greatest:
                greatest = row[1]
                # Of those that weigh the same, the last kept is the best.
                if row[0] == heaviest:
                    rows[-1] = row
                else:
                    rows.append(row)
                    heaviest = row[0]
        self.rows = rows

    @property
    def fitting(self) -> int:
        """How many of the choices do not exceed the capacity."""
        return bisect_right(self.rows, 0, key=_weight)

    def taken(self, index: int) -> list[Move]:
        """Return the moves of a choice."""
        bits = self.rows[index][2]
        return [move for position, move in enumerate(self.decided) if bits >> position & 1]


def _weight(row: Row) -> int:
    return row[0]


def hopes(rows: Sequence[Row], fitting: int, addition: Move | None, removal: Move | None, divisor: int) -> list[int]:
    """Return the most profit that each choice can reach with undecided moves no denser than the first of each side.

    Args:
        rows: the choices.
        fitting: how many of them do not exceed the capacity.
        addition: the next undecided move that adds; None if every one is decided.
        removal: the next undecided move that removes; None if every one is decided.
        divisor: of the weights of all undecided moves; 0 or 1 if there is no common one.
    """
    found = [row[1] for row in rows]
    divisor = max(divisor, 1)
    for first, start, end in ((addition, 0, fitting), (removal, fitting, len(rows))):
        if first is not None:
            weight, profit = first.weight, first.profit
            for index in range(start, end):
                found[index] += -rows[index][0] // divisor * divisor * profit // weight
    return found
