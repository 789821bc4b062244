"""Chooses one point from each menu within the cash: relaxation, bounded knapsack over chains, branching over jumps.

1. The lower hulls of all menus, filled by falling density, bound the cost of every choice (Dantzig's bound; Sinha and
   Zoltners for multiple choices).
2. With the chain of each security fixed, what remains is a bounded knapsack, which `solver.knapsack` solves exactly.
   The chains of the relaxation's own corner are tried first; usually the result meets the bound and is proven.
3. Otherwise other chains are tried. Choosing one costs at least its distance from the line of the break density, and
   the sum of these losses must stay below what is still to be gained.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import gcd
from time import perf_counter

from msgspec import Struct

from solver.knapsack.greedy import pack
from solver.knapsack.reduction import Item
from solver.ruled.dynamic import Programme
from solver.ruled.menus import Menu, Point, hull

KNAPSACK_WORK = 10
"""Partial choices whose examination takes as long as to prepare one item of a knapsack."""


PROGRAMME_STATES = 50_000
"""Partial choices that the dynamic programme over all menus holds at once."""


FIRST_BRANCHING = 1_500_000
"""Partial choices that branching over chains may examine before the dynamic programme is tried."""


class Choice(Struct, frozen=True):
    """The best choice found.

    Attributes:
        trades: of each menu; None if nothing below the ceiling was found.
        cost: of that choice, or the ceiling.
        bound: no choice costs less.
    """

    trades: list[int] | None
    cost: int
    bound: int


class Limits(Struct, frozen=True):
    """When a search ends without a proof.

    Attributes:
        deadline: on `time.perf_counter()`.
        max_states: partial choices that one knapsack holds at once.
        persist: whether a knapsack goes on when it needs more.
        max_work: partial choices to examine in all.
        thorough: whether more than the two most promising combinations of chains are tried.
    """

    deadline: float
    max_states: int
    persist: bool
    max_work: int
    thorough: bool = True


class Relaxation(Struct, frozen=True):
    """The relaxation: whole steps by falling density, and the step that no longer fits.

    Attributes:
        chains: chain of each menu at its corner.
        beyond: the same after the step that no longer fits.
        bound: least cost that any choice can have.
        density: cost that one more unit of cash saves at the break, as numerator and denominator; (0, 1) if all fits.
        waste: cash that no choice can use, as all steps are multiples of a common divisor.
    """

    chains: list[int]
    beyond: list[int]
    bound: int
    density: tuple[int, int]
    waste: int


def choose(menus: Sequence[Menu], capacity: int, limits: Limits, ceiling: int | None = None) -> Choice:
    """Return the choice of least cost that uses at most the capacity.

    Args:
        menus: of each security; their points of least cash together fit in the capacity.
        capacity: cash.
        limits: when to give up.
        ceiling: only choices that cost less are wanted; None wants any.
    """
    relaxed = relax(menus, capacity)
    search = _Search(menus, capacity, limits, relaxed, ceiling)
    complete = search.run()
    assert search.cost is not None
    return Choice(search.trades, search.cost, search.cost if complete else min(search.cost, search.bound))


def relax(menus: Sequence[Menu], capacity: int) -> Relaxation:
    """Return the choice of least cost if a step may be used in part."""
    starts, edges = [], []
    for owner, menu in enumerate(menus):
        start, steps = hull(owner, menu)
        starts.append(start)
        edges += steps
    corners = list(starts)
    first = [menu.chains[chain][number] for menu, (chain, number) in zip(menus, starts, strict=True)]
    room = capacity - sum(point.cash for point in first)
    cost = sum(point.cost for point in first)
    divisor = _divisor(menus)
    shift = 2 * max((edge.cash for edge in edges), default=1).bit_length() + 1
    edges.sort(key=lambda edge: -((edge.gain << shift) // edge.cash))
    for edge in edges:
        copies = min(edge.copies, room // edge.cash)
        room -= copies * edge.cash
        cost -= copies * edge.gain
        if copies < edge.copies:
            waste = room % divisor if divisor else 0
            bound = cost - (room - waste) * edge.gain // edge.cash
            chains = [chain for chain, _ in corners]
            beyond = list(chains)
            beyond[edge.owner] = edge.end[0]
            return Relaxation(chains, beyond, bound, (edge.gain, edge.cash), waste)
        corners[edge.owner] = edge.end
    chains = [chain for chain, _ in corners]
    return Relaxation(chains, chains, cost, (0, 1), 0)


def _divisor(menus: Sequence[Menu]) -> int:
    """Greatest common divisor of all differences in cash between the points of a menu."""
    common = 0
    for menu in menus:
        origin = menu.chains[0][0].cash
        for chain in menu.chains:
            common = gcd(common, chain[0].cash - origin, *(step.weight for step in _steps(0, chain)))
            if common == 1:
                return 1
    return common


def _steps(owner: int, chain: Sequence[Point]) -> list[Item]:
    """Return the lots of a chain as items of a knapsack."""
    items = []
    for before, after in pairwise(chain):
        copies = after.trade - before.trade
        items.append(Item(owner, (after.cash - before.cash) // copies, (before.cost - after.cost) // copies, copies))
    return items


class _Search:
    def __init__(
        self, menus: Sequence[Menu], capacity: int, limits: Limits, relaxed: Relaxation, ceiling: int | None
    ) -> None:
        self.trades: list[int] | None = None
        self.cost = ceiling
        self._menus = menus
        self._capacity = capacity
        self._limits = limits
        self._relaxed = relaxed
        self.bound = relaxed.bound
        self._work = 0
        self._items: dict[tuple[int, int], list[Item]] = {}

    def run(self) -> bool:
        """Search until the best choice is found and proven; False if a limit ended it before."""
        proven = self._try(self._relaxed.chains)
        if self._relaxed.beyond != self._relaxed.chains and (self.cost is None or self.cost > self.bound):
            # With less of other orders, the order that no longer fits whole usually does.
            proven = self._try(self._relaxed.beyond) and proven
        if self.cost is not None and self.cost <= self.bound:
            return True
        if all(len(menu.chains) == 1 for menu in self._menus):
            return proven
        if not self._limits.thorough:
            return False
        work = min(self._limits.max_work, self._work + FIRST_BRANCHING)
        return (
            self._by_chains()
            or (self._branch(work) and proven)
            or self._programme()
            or (self._limits.persist and self._branch(self._limits.max_work) and proven)
        )

    def _by_chains(self) -> bool:
        """Raise the bound by deciding the chains alone, and solve the most promising; True if that proves the best."""
        assert self.cost is not None
        limits = self._limits
        programme = Programme(self._menus, self._capacity, self._relaxed.density, self.cost, self.bound)
        found = programme.relax_lots(limits.deadline, PROGRAMME_STATES, limits.max_work - self._work)
        if found is None:
            return False
        self._work += found.work
        self.bound = max(self.bound, min(found.bound, self.cost))
        for chains in found.chains:
            if self.cost <= self.bound:
                break
            self._try(chains)
        return self.cost <= self.bound

    def _programme(self) -> bool:
        """Decide all menus by the dynamic programme; False if a limit ended it."""
        assert self.cost is not None
        limits = self._limits
        programme = Programme(self._menus, self._capacity, self._relaxed.density, self.cost, self.bound)
        found = programme.run(limits.deadline, min(limits.max_states, PROGRAMME_STATES), limits.max_work - self._work)
        self._work += found.work
        if found.trades is not None:
            self.trades, self.cost = found.trades, found.cost
        return found.complete

    def _branch(self, max_work: int) -> bool:
        """Try all combinations of chains whose losses leave something to gain; False if a limit ended it."""
        gain, cash = self._relaxed.density
        home = self._relaxed.chains
        options, least = [], 0
        for owner, menu in enumerate(self._menus):
            tangents = [min(point.cost * cash + point.cash * gain for point in chain) for chain in menu.chains]
            nearest = min(tangents)
            least += nearest
            options.append(
                sorted((tangent - nearest, chain != home[owner], chain) for chain, tangent in enumerate(tangents))
            )
        floor = least - gain * (self._capacity - self._relaxed.waste)
        # Securities whose second chain is cheap come last: they vary first.
        order = sorted(range(len(options)), key=lambda owner: -options[owner][1][0] if len(options[owner]) > 1 else 1)
        fixed = [option[0][2] for option in options]
        order = [owner for owner in order if len(options[owner]) > 1]
        proven = True
        for chains in self._combinations(fixed, order, options, floor, cash):
            if chains != home:
                proven = self._try(chains) and proven
            if self.cost is not None and self.cost <= self.bound:
                return True
            if self._work > max_work or perf_counter() > self._limits.deadline:
                return False
        return proven

    def _combinations(
        self, fixed: list[int], order: Sequence[int], options: list[list[tuple[int, bool, int]]], floor: int, cash: int
    ) -> Iterator[list[int]]:
        """Return chains for all menus whose losses together leave something to gain."""
        pending: list[tuple[int, int, dict[int, int]]] = [(0, 0, {})]
        while pending:
            depth, loss, chosen = pending.pop()
            self._work += 1
            if self.cost is not None and floor + loss > (self.cost - 1) * cash:
                yield from ()
                continue
            if depth == len(order):
                chains = list(fixed)
                for owner, chain in chosen.items():
                    chains[owner] = chain
                yield chains
                continue
            owner = order[depth]
            for extra, _, chain in reversed(options[owner]):
                pending.append((depth + 1, loss + extra, chosen | {owner: chain}))

    def _try(self, chains: Sequence[int]) -> bool:
        """Solve the knapsack over these chains; False if a limit ended it."""
        used = cost = 0
        items: list[Item] = []
        for owner, (menu, chain) in enumerate(zip(self._menus, chains, strict=True)):
            start = menu.chains[chain][0]
            used += start.cash
            cost += start.cost
            if (owner, chain) not in self._items:
                self._items[owner, chain] = _steps(owner, menu.chains[chain])
            items += self._items[owner, chain]
        if used > self._capacity:
            return True
        floor = -1 if self.cost is None else max(cost - self.cost, -1)
        packing = pack(
            items,
            self._capacity - used,
            deadline=self._limits.deadline,
            max_states=self._limits.max_states,
            persist=self._limits.persist,
            floor=floor,
            max_work=max(self._limits.max_work - self._work, 0),
        )
        self._work += packing.states + KNAPSACK_WORK * len(items)
        if packing.copies is not None and (self.cost is None or cost - packing.profit < self.cost):
            self.cost = cost - packing.profit
            trades = [menu.chains[chain][0].trade for menu, chain in zip(self._menus, chains, strict=True)]
            for item, copies in zip(items, packing.copies, strict=True):
                trades[item.security] += copies
            self.trades = trades
        return packing.profit >= packing.bound
