"""Solves bounded knapsacks to proven optimality: a greedy choice, its linear bound, a search of what may beat it.

Example: items of weight 30, 31 and 40 and profit 22, 21 and 26 have densities 0.73, 0.68 and 0.65. With a capacity of
75 the greedy choice takes the first two, 61 for 43, and breaks on the third. Filling the remaining 14 with a part of it
would gain 14 * 26/40 = 9.1, so no choice is worth more than 52. A better one, such as the first and third for 48, must
lose less than 52 - 43 against that line, which leaves few items to decide.
"""

from collections.abc import Sequence
from itertools import accumulate
from math import gcd

from msgspec import Struct

from solver.knapsack.abundant import Greedy, coins_of, complete
from solver.knapsack.exact_fill import fill
from solver.knapsack.moves import Move, Side
from solver.knapsack.reduction import Item
from solver.knapsack.search import UNLIMITED, Core

FEW_COPIES = 2
"""Copies of an item on average up to which their number is considered."""

WITHOUT_SEARCH = 20_000
"""Copies of coins from which they are tried before any search."""

BEFORE_COINS = 20_000
"""Partial choices that are examined before fewer coins are tried."""


class Packing(Struct, frozen=True):
    """The best choice of items found, and what is known about better ones.

    Attributes:
        copies: how many of each item, in the order given; None where nothing above the floor was found.
        profit: of that choice, or the floor.
        bound: no choice has a profit above this. Equal to `profit` when the search is complete.
        states: how many partial choices were looked at, a measure of work that no machine changes.
    """

    copies: tuple[int, ...] | None
    profit: int
    bound: int
    states: int


def pack(
    items: Sequence[Item],
    capacity: int,
    *,
    deadline: float,
    max_states: int,
    persist: bool,
    floor: int = -1,
    max_work: int = UNLIMITED,
    max_unpruned: int = UNLIMITED,
) -> Packing:
    """Return the most profitable choice of items within the capacity.

    Args:
        items: weights and profits above 0.
        capacity: at least 0.
        deadline: `time.perf_counter()` at which to give up.
        max_states: partial choices held at once.
        persist: go on until the deadline when there are more; otherwise give up.
        floor: only choices of a profit above this are wanted; -1 wants any.
        max_work: partial choices to examine before giving up, a limit that no machine and no clock changes.
        max_unpruned: partial choices at which to give up if none has been dropped.
    """
    divisor = gcd(*(item.weight for item in items)) or 1
    capacity //= divisor
    weights = [item.weight // divisor for item in items]
    profits = [item.profit for item in items]
    limits = [min(item.copies, capacity // weight) for item, weight in zip(items, weights, strict=True)]
    densities = _densities(weights, profits)
    order = sorted((index for index, limit in enumerate(limits) if limit), key=lambda index: -densities[index])

    taken = [0] * len(items)
    room, profit = capacity, 0
    rest = iter(order)
    for broken in rest:
        taken[broken] = min(limits[broken], room // weights[broken])
        room -= taken[broken] * weights[broken]
        profit += taken[broken] * profits[broken]
        if taken[broken] < limits[broken]:
            break
    else:
        return Packing(tuple(taken), profit, profit, 0) if profit > floor else Packing(None, floor, floor, 0)
    bound = profit + room * profits[broken] // weights[broken]

    filled, best, left = list(taken), profit, room
    for index in rest:
        filled[index] = min(limits[index], left // weights[index])
        left -= filled[index] * weights[index]
        best += filled[index] * profits[index]
    found: tuple[int, ...] | None = tuple(filled)
    if best <= floor:
        found, best = None, floor
    gained, full = _filled(weights, profits, limits, taken, broken, room)
    if profit + gained > best:
        found, best = full, profit + gained
    if best >= bound:
        return Packing(found, best, best, 0)

    greedy = Greedy(weights, profits, limits, taken, broken, room, profit)
    known = Packing(found, best, bound, 0)
    if persist:
        known = _by_number(greedy, capacity, known)
    if persist and known.profit < known.bound:
        known = _by_coins(greedy, order, densities, known, deadline, max_states)
    if known.profit < known.bound:
        known = _searched(
            greedy,
            order,
            densities,
            known,
            deadline,
            max_states,
            persist=persist,
            max_work=max_work,
            max_unpruned=max_unpruned,
        )
    return known


def _by_number(greedy: Greedy, capacity: int, known: Packing) -> Packing:
    """Return what is known once the number of copies that fit at all bounds the profit.

    Example: of items that weigh 101 to 110, with a profit of their weight, a capacity of 550 holds five at most: the
    five heaviest, 540 in all. The linear bound is 550.
    """
    if sum(greedy.limits) > FEW_COPIES * len(greedy.limits):
        return known
    single = [index for index, limit in enumerate(greedy.limits) for _ in range(limit)]
    lightest = accumulate(sorted(greedy.weights[index] for index in single))
    most = sum(weight <= capacity for weight in lightest)
    chosen = sorted(single, key=greedy.profits.__getitem__, reverse=True)[:most]
    profit = sum(greedy.profits[index] for index in chosen)
    if profit > known.bound:
        return known
    if profit <= known.profit:
        return Packing(known.copies, known.profit, known.profit, 0)
    if sum(greedy.weights[index] for index in chosen) > capacity:
        return Packing(known.copies, known.profit, profit, 0)
    copies = [0] * len(greedy.limits)
    for index in chosen:
        copies[index] += 1
    return Packing(tuple(copies), profit, profit, 0)


def _by_coins(
    greedy: Greedy, order: Sequence[int], densities: Sequence[int], known: Packing, deadline: float, max_states: int
) -> Packing:
    """Return what completing partial choices with coins finds, if there are coins and no search ends soon."""
    coins = coins_of(greedy, known.profit)
    if not coins:
        return known
    if sum(greedy.limits[index] for index in coins) < WITHOUT_SEARCH:
        known = _searched(greedy, order, densities, known, deadline, max_states, persist=False, max_work=BEFORE_COINS)
        if known.profit >= known.bound:
            return known
    completed = complete(greedy, coins, known.profit, known.bound, deadline, max_states)
    if completed is None:
        return known
    copies = known.copies if completed.copies is None else tuple(completed.copies)
    return Packing(copies, completed.profit, completed.bound, known.states + completed.states)


def _searched(
    greedy: Greedy,
    order: Sequence[int],
    densities: Sequence[int],
    known: Packing,
    deadline: float,
    max_states: int,
    *,
    persist: bool,
    max_work: int,
    max_unpruned: int = UNLIMITED,
) -> Packing:
    """Return what the search finds above the best that is known.

    A better choice cannot take more of an item, or leave more, than its loss against the linear bound allows.
    """
    spare = greedy.spare(known.profit)
    additions, removals = Side(), Side()
    for index in order:
        weight, profit, taken = greedy.weights[index], greedy.profits[index], greedy.taken[index]
        loss = greedy.loss(index)
        most = spare // loss if loss else greedy.limits[index]
        if not most:
            continue
        if taken < greedy.limits[index]:
            most_added = min(greedy.limits[index] - taken, most)
            additions.offer(Move(index, 1, weight, profit), most_added, -densities[index])
        if taken:
            removals.offer(Move(index, -1, -weight, -profit), min(taken, most), densities[index])
    broken = Move(greedy.broken, 1, greedy.weights[greedy.broken], greedy.profits[greedy.broken])
    core = Core(additions.sorted(), removals.sorted(), broken, greedy.room)
    start = greedy.profit
    search = core.search(
        known.profit - start,
        known.bound - start,
        deadline,
        max_states,
        persist=persist,
        max_work=max_work,
        max_unpruned=max_unpruned,
    )
    copies, best = known.copies, known.profit
    if search.change is not None:
        changed = list(greedy.taken)
        for move in search.change:
            changed[move.item] += move.copies
        copies, best = tuple(changed), start + search.best
    # The bound of the search holds for choices better than the best found: their profits differ by multiples of a unit.
    bound = best if search.complete else max(best, min(known.bound, start + search.bound))
    return Packing(copies, best, bound, known.states + search.states)


def _filled(
    weights: Sequence[int], profits: Sequence[int], limits: Sequence[int], taken: Sequence[int], broken: int, room: int
) -> tuple[int, tuple[int, ...]]:
    """Return what two items as dense as the break item gain if they use the room as far as possible, and all copies.

    What no copies of equally dense items can use stays; the search decides whether others can.
    """
    dense = [
        index
        for index, limit in enumerate(limits)
        if limit and profits[index] * weights[broken] == profits[broken] * weights[index]
    ]
    usable = room - room % gcd(*(weights[index] for index in dense))
    filling = fill(
        [weights[index] for index in dense],
        [-taken[index] for index in dense],
        [limits[index] - taken[index] for index in dense],
        usable,
    )
    if filling is None:
        return 0, tuple(taken)
    first, second, more, other = filling
    full = list(taken)
    full[dense[first]] += more
    full[dense[second]] += other
    return usable * profits[broken] // weights[broken], tuple(full)


def _densities(weights: Sequence[int], profits: Sequence[int]) -> list[int]:
    """Profit per weight as integers in the exact order of the fractions.

    Distinct fractions over weights up to the largest differ by more than the inverse of its square.
    """
    shift = 2 * max(weights, default=1).bit_length() + 1
    return [(profit << shift) // weight for profit, weight in zip(profits, weights, strict=True)]
