"""A dynamic programme over menus: decides one security after another, those nearest to the break density first.

Each security starts at its point on the line of the break density. A partial choice has an excess of cash over the
capacity and a saving of cost against that start. It is dropped if another has no more excess and no less saving, or if
even the steepest step of any undecided security, freely divisible, could not lift it above the best choice found.

Example: capacity 10, break density 1. Start points use 8. A may use 4 more and save 3, B may use 2 less and lose 3, or
2 more and save 1. After A there are the partial choices (-2, 0) and (2, 3), excess and saving. The second only fits if
B frees 2, which loses 3; the first can only gain 1 through B, which is the best: -2 + 2 = 0, saving 1.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import gcd
from time import perf_counter

import numpy as np
from msgspec import Struct

from solver.ruled.menus import Menu
from solver.ruled.offers import (
    Chain,
    Offer,
    Slope,
    best_within,
    extreme,
    least_steep_lot,
    most_saved,
    offer_of,
    ordered,
    steps,
    suffix,
)
from solver.scaling import INT64_LIMIT, Integers

COMPLETE_EVERY = 4
"""Securities after whose decision the most hopeful partial choice is completed greedily."""

CANDIDATES = 8
"""Combinations of chains that are solved exactly after the relaxation of lots."""


class Result(Struct, frozen=True):
    """What the programme found.

    Attributes:
        trades: of each menu; None if nothing is better than the ceiling.
        cost: of that choice, or the ceiling.
        complete: nothing costs less.
        work: partial choices examined.
    """

    trades: list[int] | None
    cost: int
    complete: bool
    work: int


class Relaxed(Struct, frozen=True):
    """What is known if cash can be freed in any amount within chains.

    Attributes:
        bound: no choice costs less, unless it is no better than the ceiling.
        chains: of all menus, the most promising first.
        work: partial choices examined.
    """

    bound: int
    chains: list[list[int]]
    work: int


class _Layer(Struct, frozen=True):
    """How each partial choice came about: the one before it, and the trade that was added."""

    owner: int
    origins: Integers
    trades: Integers


class Programme:
    """One run; see the module."""

    def __init__(self, menus: Sequence[Menu], capacity: int, density: Slope, ceiling: int, bound: int) -> None:
        """Prepare the menus.

        Args:
            menus: of each security.
            capacity: cash.
            density: cost saved and cash used by the step at which the relaxation breaks.
            ceiling: only choices that cost less are wanted.
            bound: no choice costs less.
        """
        self._density = density
        self._offers = ordered([offer_of(owner, menu, density) for owner, menu in enumerate(menus)])
        starts = [offer.start for offer in self._offers]
        self._base = sum(point.cost for point in starts)
        used = sum(point.cash for point in starts)
        differences = [
            (point.cash - offer.start.cash, offer.start.cost - point.cost) for offer, point in steps(self._offers)
        ]
        self._unit = gcd(*(cash for cash, _ in differences)) or 1
        room = (capacity - used) // self._unit
        self._room = room
        self._best, self._bound = self._base - ceiling, self._base - bound
        reach = abs(room) + sum(abs(cash) for cash, _ in differences) // self._unit
        savings = sum(abs(saving) for _, saving in differences) + abs(self._best) + abs(self._bound)
        steepest = max((abs(saving) * self._unit // abs(cash) for cash, saving in differences if cash), default=0) + 1
        widest = max((abs(cash) for cash, _ in differences), default=0) // self._unit + 1
        fits = 4 * (savings + reach * steepest) < INT64_LIMIT and reach * widest < INT64_LIMIT
        self._number = np.dtype(np.int64 if fits else object)
        self._weights = np.array([-room], dtype=self._number)
        self._savings = np.array([0], dtype=self._number)
        self._layers: list[_Layer] = []
        self._ups = suffix([offer.up for offer in self._offers], steepest=True)
        self._most = most_saved(self._offers, density, self._spare())
        self._downs = suffix([offer.down for offer in self._offers], steepest=False)
        self._trades: list[int] | None = None
        self._work = 0

    def run(self, deadline: float, max_states: int, max_work: int) -> Result:
        """Decide all securities, or stop at a limit."""
        complete = False
        for position, offer in enumerate(self._offers):
            if not self._decide(position, offer, max_states) or self._work > max_work or perf_counter() > deadline:
                break
            self._improve()
            self._keep_hopeful(position + 1)
            if self._best >= self._bound or len(self._weights) == 0:
                complete = True
                break
            if position % COMPLETE_EVERY == 0:
                self._complete(position + 1)
        else:
            complete = True
        return Result(self._trades, self._base - self._best, complete, self._work)

    def relax_lots(self, deadline: float, max_states: int, max_work: int) -> "Relaxed | None":
        """Decide chains and further lots, as if cash could be freed within any chain in any amount at the best slope.

        With a fee per order this is far sharper than the relaxation that takes parts of orders. Use a programme once.

        Returns:
            The least cost by this relaxation, and the chains that reach it or come close; None at a limit.
        """
        downs = least_steep_lot(self._offers)
        self._downs = [
            extreme([one for one in (slope, downs) if one is not None], steepest=False) for slope in self._downs
        ]
        for position, offer in enumerate(self._offers):
            if not self._decide(position, offer, max_states, lots=False):
                return None
            if self._work > max_work or perf_counter() > deadline:
                return None
            self._keep_hopeful(position + 1)
            if len(self._weights) == 0:
                return Relaxed(self._base - self._best, [], self._work)
        hopes = self._hopes(self._weights, self._savings, len(self._offers))
        order = sorted(range(len(hopes)), key=lambda index: -int(hopes[index]))
        return Relaxed(
            self._base - int(hopes[order[0]]), [self._chains(index) for index in order[:CANDIDATES]], self._work
        )

    def _chains(self, index: int) -> list[int]:
        """Return the chains of all menus in a partial choice."""
        trades = self._history(index)
        chains = [0] * len(self._offers)
        for offer in self._offers:
            for chain in offer.chains:
                if chain.points[0].trade <= trades[offer.owner] <= chain.points[-1].trade:
                    chains[offer.owner] = chain.number
        return chains

    def _spare(self) -> int:
        """Distance from the line that a better choice can afford in all, in the units of the losses."""
        gain, cash = self._density
        return gain * self._room * self._unit - (self._best + 1) * cash

    def _decide(self, position: int, offer: Offer, max_states: int, *, lots: bool = True) -> bool:
        """Extend every partial choice by every useful trade of a security; False if there are too many."""
        spare = self._spare()
        parts = []
        count = len(self._weights)
        for chain in offer.chains:
            if chain.loss > spare:
                break
            point = chain.points[chain.nearest]
            part: tuple[Integers, ...] = (
                self._weights + (point.cash - offer.start.cash) // self._unit,
                self._savings + (offer.start.cost - point.cost),
                np.arange(count),
                np.full(count, point.trade, dtype=np.int64 if abs(point.trade) < INT64_LIMIT else object),
            )
            for count_of_lots, cash, saving in self._moves(chain, spare - chain.loss):
                if count_of_lots < 0 and not lots:
                    continue
                part = self._doubled(part, count_of_lots, cash, saving, position)
                if len(part[0]) > max_states:
                    return False
            parts.append(part)
        if not parts:
            self._weights, self._savings = self._weights[:0], self._savings[:0]
            return True
        weights, savings, origins, trades = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        kept = _undominated(weights, savings)
        self._work += len(weights)
        self._weights, self._savings = weights[kept], savings[kept]
        self._layers.append(_Layer(offer.owner, origins[kept], trades[kept]))
        return len(kept) <= max_states

    def _moves(self, chain: Chain, spare: int) -> Iterator[tuple[int, int, int]]:
        """Yield lots, cash and saving of the moves from the nearest point, in groups of 1, 2, 4 ...."""
        gain, density_cash = self._density
        points = chain.points
        runs = [(1, before, after) for before, after in pairwise(points[chain.nearest :])]
        runs += [(-1, after, before) for before, after in pairwise(points[: chain.nearest + 1])][::-1]
        for sign, before, after in runs:
            copies = abs(after.trade - before.trade)
            cash, saving = (after.cash - before.cash) // copies, (before.cost - after.cost) // copies
            loss = cash * gain - saving * density_cash
            copies = min(copies, spare // loss) if loss > 0 else copies
            size = 1
            while copies > 0:
                size = min(size, copies)
                yield sign * size, cash // self._unit * size, saving * size
                copies -= size
                size *= 2

    def _doubled(
        self, part: tuple[Integers, ...], lots: int, cash: int, saving: int, position: int
    ) -> tuple[Integers, ...]:
        weights, savings, origins, trades = part
        weights = np.concatenate((weights, weights + cash))
        savings = np.concatenate((savings, savings + saving))
        kept = _undominated(weights, savings)
        self._work += len(weights)
        weights, savings = weights[kept], savings[kept]
        hopeful = self._hopes(weights, savings, position) > self._best
        kept = kept[hopeful]
        return (
            weights[hopeful],
            savings[hopeful],
            np.concatenate((origins, origins))[kept],
            np.concatenate((trades, trades + lots))[kept],
        )

    def _hopes(self, weights: Integers, savings: Integers, position: int) -> Integers:
        """Return the most that each partial choice can save with the securities from a position on."""
        fitting = int(np.searchsorted(weights, 0, side="right"))
        hopes = savings.copy()
        up, down = self._ups[position], self._downs[position]
        if up is not None:
            relaxed = _relaxed(-weights[:fitting], up, self._unit)
            hopes[:fitting] += np.minimum(relaxed, self._most[position])
        if down is not None:
            hopes[fitting:] += _relaxed(-weights[fitting:], down, self._unit)
        else:
            hopes[fitting:] = self._best
        return hopes

    def _keep_hopeful(self, position: int) -> None:
        if len(self._weights) == 0:
            return
        hopes = self._hopes(self._weights, self._savings, position)
        hopeful = hopes > self._best
        if hopeful.any():
            self._bound = min(self._bound, int(hopes[hopeful].max()))
        if not hopeful.all():
            last = self._layers[-1]
            self._layers[-1] = _Layer(last.owner, last.origins[hopeful], last.trades[hopeful])
            self._weights, self._savings = self._weights[hopeful], self._savings[hopeful]

    def _improve(self) -> None:
        """Note the best partial choice that fits with everything undecided left at its start."""
        fitting = int(np.searchsorted(self._weights, 0, side="right"))
        if fitting and self._savings[fitting - 1] > self._best:
            self._best = int(self._savings[fitting - 1])
            self._trades = self._history(fitting - 1)

    def _complete(self, position: int) -> None:
        """Use the room of the most hopeful fitting partial choice for undecided securities."""
        fitting = int(np.searchsorted(self._weights, 0, side="right"))
        if not fitting:
            return
        hopes = self._hopes(self._weights[:fitting], self._savings[:fitting], position)
        index = int(np.argmax(hopes))
        room, saving = -int(self._weights[index]) * self._unit, int(self._savings[index])
        added: dict[int, int] = {}
        for offer in self._offers[position:]:
            found = best_within(offer, room)
            if found is not None:
                added[offer.owner] = found.trade
                room -= found.cash - offer.start.cash
                saving += offer.start.cost - found.cost
        if saving > self._best:
            self._best = saving
            trades = self._history(index)
            for owner, trade in added.items():
                trades[owner] = trade
            self._trades = trades

    def _history(self, index: int) -> list[int]:
        """Return the trades of all menus in a partial choice; undecided ones at their start."""
        trades = [0] * len(self._offers)
        for offer in self._offers:
            trades[offer.owner] = offer.start.trade
        for layer in reversed(self._layers):
            trades[layer.owner] = int(layer.trades[index])
            index = int(layer.origins[index])
        return trades


def _relaxed(room: Integers, slope: Slope, unit: int) -> Integers:
    """Return the saving of a room of units of cash at a slope, rounded down; the room may be negative."""
    cash = slope[1] // unit
    whole, rest = divmod(slope[0], cash)
    relaxed: Integers = room * whole + room * rest // cash
    return relaxed


def _undominated(weights: Integers, savings: Integers) -> Integers:
    """Return the indices of the partial choices that no other dominates, by ascending weight."""
    order = np.argsort(weights, kind="stable")
    weights, savings = weights[order], savings[order]
    undominated = np.ones(len(weights), dtype=bool)
    undominated[1:] = savings[1:] > np.maximum.accumulate(savings)[:-1]
    kept = np.flatnonzero(undominated)
    last = np.ones(len(kept), dtype=bool)
    last[:-1] = weights[kept[1:]] > weights[kept[:-1]]
    return order[kept[last]]
