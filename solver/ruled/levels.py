"""What is minimised, level by level, as exact numbers of one security; all levels are sums over the securities."""

from collections.abc import Callable, Iterable, Sequence

from solver.ruled.allowed import Interval, Line
from solver.rules import Bands, Goal, Rules

type Key = tuple[int, ...]
"""Levels of one trade, the most important first: compared in order, as tuples compare."""

type Levels = Callable[[Line, int], Key]


def levels_of(rules: Rules, *, ties: bool) -> Levels:
    """Return the function from a trade to its levels.

    Args:
        rules: goal and bands decide the levels.
        ties: append what only decides between optima: with BAND the distance to the target, and shares traded.
    """
    preferred = rules.bands is Bands.PREFERRED
    if rules.goal is Goal.TARGET:
        if ties:
            return _target_ties if preferred else _required_target_ties
        return _target if preferred else _required_target
    if ties:
        return _band_ties if preferred else _required_band_ties
    return _band if preferred else _required_band


def decisive(rules: Rules) -> int:
    """Return the number of levels before those that only decide between optima."""
    return 2 if rules.bands is Bands.PREFERRED else 1


def objective(line: Line, trade: int, goal: Goal) -> int:
    """Level 2: the distance to the target, or the money traded, and the fee."""
    cost = line.distance(trade) if goal is Goal.TARGET else line.lot_value * abs(trade)
    return cost + line.fee(trade)


def _target(line: Line, trade: int) -> Key:
    value = line.held + line.lot_value * trade
    return max(line.lower - value, value - line.upper, 0), abs(line.target - value) + line.fee(trade)


def _required_target(line: Line, trade: int) -> Key:
    return (line.distance(trade) + line.fee(trade),)


def _target_ties(line: Line, trade: int) -> Key:
    return *_target(line, trade), line.lot_shares * abs(trade)


def _required_target_ties(line: Line, trade: int) -> Key:
    return line.distance(trade) + line.fee(trade), line.lot_shares * abs(trade)


def _band(line: Line, trade: int) -> Key:
    return line.outside(trade), line.lot_value * abs(trade) + line.fee(trade)


def _required_band(line: Line, trade: int) -> Key:
    return (line.lot_value * abs(trade) + line.fee(trade),)


def _band_ties(line: Line, trade: int) -> Key:
    return *_band(line, trade), line.distance(trade), line.lot_shares * abs(trade)


def _required_band_ties(line: Line, trade: int) -> Key:
    return *_required_band(line, trade), line.distance(trade), line.lot_shares * abs(trade)


def vertices(line: Line, interval: Interval) -> list[int]:
    """Return the trades of an interval between which every level and the cash used are linear."""
    first, last = interval
    if first == last:
        return [first]
    return sorted({first, last, *(kink for kink in line.kinks() if first < kink < last)})


def best(line: Line, intervals: Iterable[Interval], levels: Levels) -> tuple[Key, int] | None:
    """Return the least levels over some intervals and the lowest trade that has them; None if there is no trade."""
    return min(
        ((levels(line, trade), trade) for interval in intervals for trade in vertices(line, interval)), default=None
    )


def total(lines: Sequence[Line], trades: Sequence[int], levels: Levels) -> Key:
    """Return the levels of a whole portfolio."""
    return tuple(map(sum, zip(*(levels(line, trade) for line, trade in zip(lines, trades, strict=True)), strict=True)))
