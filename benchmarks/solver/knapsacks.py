"""Compares the exact search with HiGHS and CP-SAT on the hard families of knapsacks that were published.

    ./run bench knapsacks

All of them solve the reduced problem: items of one copy each and one capacity. CP-SAT is compared if `ortools` is
installed. Each method has a process of its own: HiGHS and CP-SAT cannot be loaded into the same one.
"""

# HiGHS is typed in part only, and OR-Tools need not be installed.
# mypy: disable-error-code="attr-defined, no-untyped-call, import-untyped, import-not-found"

import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec

import click
from msgspec import Struct
from rich.box import MARKDOWN, SIMPLE
from rich.console import Console
from rich.table import Table

from solver.knapsack.greedy import pack
from solver.knapsack.reduction import Item

RANGE = 1_000
"""Weights, or profits, are drawn from 1 to this."""

SEARCH_STATES = 250_000
"""Partial choices that the search holds, as in a rebalance."""


class Knapsack(Struct, frozen=True):
    """Weights and profits of the items, and the capacity."""

    weights: list[int]
    profits: list[int]
    capacity: int


def _filled(weights: list[int], profits: list[int], part: float) -> Knapsack:
    return Knapsack(weights, profits, int(sum(weights) * part))


def strongly_correlated(chance: random.Random, count: int, part: float) -> Knapsack:
    """Profits are the weights and a constant (Pisinger 2005)."""
    weights = [chance.randint(1, RANGE) for _ in range(count)]
    return _filled(weights, [weight + RANGE // 10 for weight in weights], part)


def inverse_strongly_correlated(chance: random.Random, count: int, part: float) -> Knapsack:
    """Weights are the profits and a constant (Pisinger 2005)."""
    profits = [chance.randint(1, RANGE) for _ in range(count)]
    return _filled([profit + RANGE // 10 for profit in profits], profits, part)


def even_odd(chance: random.Random, count: int, part: float) -> Knapsack:
    """Even weights, equal profits and an odd capacity, which no choice can fill (Pisinger 2005)."""
    weights = [2 * chance.randint(1, RANGE // 2) for _ in range(count)]
    return Knapsack(weights, weights, int(sum(weights) * part) // 2 * 2 + 1)


def similar_weights(chance: random.Random, count: int, part: float) -> Knapsack:
    """Weights that hardly differ, with any profit (Pisinger 2005)."""
    weights = [chance.randint(100 * RANGE, 100 * RANGE + RANGE // 10) for _ in range(count)]
    return _filled(weights, [chance.randint(1, RANGE) for _ in range(count)], part)


def profit_ceiling(chance: random.Random, count: int, part: float) -> Knapsack:
    """Profits are the weights, rounded up to multiples of three (Pisinger 2005)."""
    weights = [chance.randint(1, RANGE) for _ in range(count)]
    return _filled(weights, [3 * -(-weight // 3) for weight in weights], part)


def avis(chance: random.Random, count: int, part: float) -> Knapsack:
    """Weights that differ little, equal profits, and a capacity that branching finds hard to fill (Chvatal 1980)."""
    del chance, part
    base = count * (count + 1)
    weights = [base + number for number in range(1, count + 1)]
    return Knapsack(weights, weights, base * ((count - 1) // 2) + count * (count - 1) // 2)


FAMILIES: dict[str, Callable[[random.Random, int, float], Knapsack]] = {
    "strongly correlated": strongly_correlated,
    "inverse strongly correlated": inverse_strongly_correlated,
    "even-odd": even_odd,
    "similar weights": similar_weights,
    "profit ceiling": profit_ceiling,
    "Avis": avis,
}


class Found(Struct, frozen=True):
    """The greatest profit that a method found, whether it proved it, and its processor time."""

    profit: int
    proven: bool
    seconds: float


def _ours(knapsack: Knapsack, limit: float) -> tuple[int, bool]:
    items = [Item(0, weight, profit, 1) for weight, profit in zip(knapsack.weights, knapsack.profits, strict=True)]
    packing = pack(
        items, knapsack.capacity, deadline=time.perf_counter() + limit, max_states=SEARCH_STATES, persist=True
    )
    return packing.profit, packing.profit == packing.bound


def _highs(knapsack: Knapsack, limit: float) -> tuple[int, bool]:
    import highspy  # noqa: PLC0415 - not in the process of CP-SAT

    model = highspy.Highs()
    model.silent()
    for option, value in (("threads", 1), ("mip_rel_gap", 0.0), ("mip_abs_gap", 0.0), ("time_limit", limit)):
        model.setOptionValue(option, value)
    taken = model.addBinaries(len(knapsack.weights)).tolist()
    used = sum(weight * item for weight, item in zip(knapsack.weights, taken, strict=True))
    model.addConstr(used <= knapsack.capacity)
    model.maximize(sum(profit * item for profit, item in zip(knapsack.profits, taken, strict=True)))
    return round(model.getObjectiveValue()), model.getModelStatus() == highspy.HighsModelStatus.kOptimal


def _cp_sat(knapsack: Knapsack, limit: float) -> tuple[int, bool]:
    from ortools.sat.python import cp_model  # noqa: PLC0415 - need not be installed

    model = cp_model.CpModel()
    taken = [model.new_bool_var("") for _ in knapsack.weights]
    model.add(cp_model.LinearExpr.weighted_sum(taken, knapsack.weights) <= knapsack.capacity)
    model.maximize(cp_model.LinearExpr.weighted_sum(taken, knapsack.profits))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_time_in_seconds = limit
    status = solver.solve(model)
    return round(solver.objective_value), status == cp_model.OPTIMAL


METHODS: dict[str, Callable[[Knapsack, float], tuple[int, bool]]] = {"ours": _ours, "HiGHS": _highs, "CP-SAT": _cp_sat}


def measure(method: str, knapsack: Knapsack, limit: float) -> Found:
    """Solve a knapsack by a method and measure the processor time."""
    started = time.process_time()
    profit, proven = METHODS[method](knapsack, limit)
    return Found(profit, proven, time.process_time() - started)


def drawn(family: str, size: int, number: int, count: int, seed: int) -> Knapsack:
    """Return one of `count` knapsacks of a family, with the capacities spread over what all items weigh."""
    return FAMILIES[family](random.Random(f"{seed} {family} {size} {number}"), size, (number + 1) / (count + 1))


@click.command()
@click.option("--count", default=5, show_default=True, help="Knapsacks of each family and size.")
@click.option("--sizes", default="20,50,100", show_default=True, help="Items, separated by commas.")
@click.option("--limit", default=5.0, show_default=True, help="Seconds that every method has for a knapsack.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same knapsacks.")
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
def main(*, count: int, sizes: str, limit: float, seed: int, markdown: bool) -> None:
    """Compare the exact search with HiGHS and CP-SAT on published families of knapsacks."""
    methods = [method for method in METHODS if method != "CP-SAT" or find_spec("ortools")]
    table = Table(
        title=f"Median in milliseconds of processor time, and proven within {limit:g} s, of {count} knapsacks each",
        box=MARKDOWN if markdown else SIMPLE,
    )
    table.add_column("")
    table.add_column("items", justify="right")
    for method in methods:
        table.add_column(method, justify="right")
    context = multiprocessing.get_context("spawn")
    pools = {method: ProcessPoolExecutor(1, mp_context=context) for method in methods}
    try:
        for method, pool in pools.items():
            pool.submit(measure, method, Knapsack([2, 3], [2, 3], 4), limit).result()
        for family in FAMILIES:
            for size in map(int, sizes.split(",")):
                cells = _row(pools, [drawn(family, size, number, count, seed) for number in range(count)], limit)
                table.add_row(family, str(size), *cells)
    finally:
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def _row(pools: dict[str, ProcessPoolExecutor], knapsacks: list[Knapsack], limit: float) -> list[str]:
    found: dict[str, list[Found]] = {method: [] for method in pools}
    for knapsack in knapsacks:
        for method, pool in pools.items():
            found[method].append(pool.submit(measure, method, knapsack, limit).result())
        proven = {some[-1].profit for some in found.values() if some[-1].proven}
        if len(proven) > 1:
            raise click.ClickException(f"the methods prove different optima: {proven} for {knapsack}")
    return [
        f"{statistics.median(one.seconds for one in some) * 1e3:.1f} ({sum(one.proven for one in some)})"
        for some in found.values()
    ]


if __name__ == "__main__":
    main()
