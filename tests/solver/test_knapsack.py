"""The exact search finds the greatest profit, proves it, and says so when it cannot."""

import random
from collections.abc import Sequence
from itertools import product
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.knapsack.exact_fill import fill
from solver.knapsack.greedy import Packing, pack
from solver.knapsack.reduction import Item
from solver.knapsack.subset_sum import greatest_sum

items = st.builds(Item, st.just(0), st.integers(1, 60), st.integers(1, 90), st.integers(1, 4))


def packed(items: Sequence[Item], capacity: int, *, floor: int = -1, states: int = 50_000) -> Packing:
    return pack(items, capacity, deadline=perf_counter() + 60, max_states=states, persist=True, floor=floor)


def greatest_profit(items: Sequence[Item], capacity: int) -> int:
    """By trying every choice."""
    return max(
        sum(item.profit * count for item, count in zip(items, counts, strict=True))
        for counts in product(*(range(item.copies + 1) for item in items))
        if sum(item.weight * count for item, count in zip(items, counts, strict=True)) <= capacity
    )


def assert_consistent(items: Sequence[Item], capacity: int, packing: Packing) -> None:
    """The choice fits, and is worth what it says."""
    assert packing.copies is not None
    assert all(0 <= count <= item.copies for item, count in zip(items, packing.copies, strict=True))
    assert sum(item.weight * count for item, count in zip(items, packing.copies, strict=True)) <= capacity
    assert sum(item.profit * count for item, count in zip(items, packing.copies, strict=True)) == packing.profit


@settings(max_examples=100, deadline=None)
@given(st.lists(items, max_size=6), st.integers(0, 400), st.sampled_from([2, 50_000]))
def test_small_knapsacks_are_packed_as_trying_everything_packs_them(
    items: list[Item], capacity: int, states: int
) -> None:
    """However few partial choices may be held, which leaves it to pairing and prefixes."""
    packing = packed(items, capacity, states=states)
    assert_consistent(items, capacity, packing)
    assert packing.profit == packing.bound == greatest_profit(items, capacity)


@settings(max_examples=100, deadline=None)
@given(st.lists(items, min_size=1, max_size=6), st.integers(0, 400), st.integers(-3, 3), st.sampled_from([2, 50_000]))
def test_only_what_exceeds_the_floor_is_returned(items: list[Item], capacity: int, distance: int, states: int) -> None:
    """With a floor at or above the greatest profit there is nothing, proven; below it, the greatest profit."""
    greatest = greatest_profit(items, capacity)
    packing = packed(items, capacity, floor=max(-1, greatest + distance), states=states)
    assert packing.bound == packing.profit == max(greatest, greatest + distance, -1)
    assert (packing.copies is None) == (packing.profit >= 0 and distance >= 0)


def equal_densities(count: int, digits: int, *, last: int | None = None) -> tuple[list[Item], int]:
    """Profit is half the weight: no order helps, only the sum that comes nearest to the capacity."""
    chance = random.Random(count)
    weights = [chance.randrange(10 ** (digits - 1), 10**digits) for _ in range(count)]
    if last is not None:
        weights = [weight // 100 * 100 + last for weight in weights]
    return [Item(index, 2 * weight, weight, 1) for index, weight in enumerate(weights)], sum(weights)


@pytest.mark.parametrize(("count", "digits"), [(24, 11), (36, 9), (60, 7), (100, 8)])
def test_equal_densities_are_solved_by_pairing(count: int, digits: int) -> None:
    """Far more sums than any memory holds, yet the one that fills the capacity is found."""
    items, capacity = equal_densities(count, digits)
    packing = packed(items, capacity)
    assert_consistent(items, capacity, packing)
    assert packing.profit == packing.bound
    if count > 24:
        assert packing.profit == capacity // 2


def test_sums_that_prices_cannot_make_are_proven_impossible() -> None:
    """All weights end in 01 and the capacity in 70: only seventy of the sixty weights could fill it."""
    items, _ = equal_densities(60, 5, last=1)
    capacity = 2 * (max(item.weight // 2 for item in items) * 20 // 100 * 100 + 70)
    packing = packed(items, capacity, states=5_000)
    assert_consistent(items, capacity, packing)
    assert packing.profit == packing.bound < capacity // 2


def test_numbers_beyond_machine_integers_are_no_different() -> None:
    """The same knapsack in units a trillion times finer, give or take one."""
    chance = random.Random(5)
    items = [Item(i, chance.randrange(100, 999), chance.randrange(100, 999), chance.randint(1, 3)) for i in range(14)]
    large = [Item(item.security, item.weight * 10**15, item.profit * 10**21 + 1, item.copies) for item in items]
    capacity = sum(item.weight * item.copies for item in items) // 3
    small, same = packed(items, capacity), packed(large, capacity * 10**15 + 7)
    assert_consistent(large, capacity * 10**15 + 7, same)
    assert same.profit // 10**21 == small.profit
    assert same.profit == same.bound


def test_out_of_time_the_bound_is_true_and_the_choice_fits() -> None:
    """No time at all: the greedy choice, and a bound that no choice exceeds."""
    items, capacity = equal_densities(24, 11)
    hasty = pack(items, capacity, deadline=perf_counter(), max_states=50_000, persist=True)
    patient = packed(items, capacity)
    assert_consistent(items, capacity, hasty)
    assert hasty.profit <= patient.profit <= hasty.bound
    assert hasty.profit < hasty.bound


def test_without_persistence_the_search_gives_up_when_it_grows() -> None:
    """Sixteen partial choices do not suffice, and what is found then is not called proven."""
    items, capacity = equal_densities(36, 9)
    packing = pack(items, capacity, deadline=perf_counter() + 60, max_states=16, persist=False)
    assert_consistent(items, capacity, packing)
    assert packing.profit < packing.bound


@given(st.lists(st.integers(1, 50), max_size=8), st.integers(0, 220))
def test_the_greatest_sum_is_the_one_found_by_trying_all(weights: list[int], capacity: int) -> None:
    """The chosen indices are distinct, and their sum is the largest that fits."""
    chosen = greatest_sum(weights, capacity)
    assert len(set(chosen)) == len(chosen)
    sums = (
        sum(w for w, taken in zip(weights, some, strict=True) if taken) for some in product((0, 1), repeat=len(weights))
    )
    assert sum(weights[index] for index in chosen) == max(one for one in sums if one <= capacity)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30), st.integers(0, 30)), min_size=2, max_size=4),
    st.integers(0, 200),
)
def test_room_is_filled_exactly_by_two_items_or_reported_as_not_fillable(
    items: list[tuple[int, int, int]], room: int
) -> None:
    """Changes stay within their limits and use the room; with enough copies a multiple of the divisor is filled."""
    weights, fewer, more = (list(column) for column in zip(*items, strict=True))
    found = fill(weights, [-count for count in fewer], more, room)
    if found is None:
        enough = [index for index, weight in enumerate(weights) if fewer[index] > 2 * room + 40 < more[index]]
        assert len(enough) < 2
        return
    one, two, change, other = found
    assert weights[one] * change + weights[two] * other == room
    assert -fewer[one] <= change <= more[one]
    assert -fewer[two] <= other <= more[two]


@pytest.mark.parametrize("room", range(1, 12))
def test_cheap_shares_in_abundance_fill_any_room(room: int) -> None:
    """Two weights without a common divisor, with thousands of copies both ways, make every sum."""
    found = fill([83, 388], [-5000, -5000], [5000, 5000], room)
    assert found is not None
    assert 83 * found[2] + 388 * found[3] == room or 388 * found[2] + 83 * found[3] == room


@settings(max_examples=100, deadline=None)
@given(st.lists(st.builds(Item, st.just(0), st.integers(50, 60), st.integers(1, 9), st.integers(1, 2)), max_size=6))
def test_the_number_of_copies_that_fit_bounds_the_profit_truly(items: list[Item]) -> None:
    """Of weights that differ little, a fixed number fits, which the linear relaxation does not see."""
    for capacity in (49, 100, 160, 222):
        packing = packed(items, capacity)
        assert_consistent(items, capacity, packing)
        assert packing.profit == packing.bound == greatest_profit(items, capacity)
