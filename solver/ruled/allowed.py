"""The quantities that restraints and bands leave to one security, as at most four progressions of lots.

A quantity is written as the trade that leads to it, in lots. Quantities are never enumerated: with lots of a hundred
millionth of a share there would be billions of them.
"""

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct

from solver.ruled.book import Book, Totals
from solver.rules import Bands, Direction, Restraint

type Interval = tuple[int, int]
"""First and last trade in lots, both included."""


class Standing(Enum):
    """How a security stands to its band."""

    FREE = "within its band, or as near as its rules allow"
    EXEMPT = "kept outside its band by a restraint, as held"
    IMPOSSIBLE = "no quantity in whole lots lies in its band"


class Line(Struct, frozen=True, gc=False):
    """One security of a book as Python integers; see `Book` for the meaning of each."""

    index: int
    lot_value: int
    lot_fee: int
    lot_shares: int
    order_fee: int
    held: int
    lots: int
    target: int
    lower: int
    upper: int
    least_trade: int
    no_buying: bool
    no_selling: bool
    locked: bool
    in_band: bool

    def value(self, trade: int) -> int:
        """Value after a trade."""
        return self.held + self.lot_value * trade

    def fee(self, trade: int) -> int:
        """Cost of the order."""
        return self.lot_fee * abs(trade) + self.order_fee if trade else 0

    def cash(self, trade: int) -> int:
        """Cash that a trade uses, its fee included; negative if it raises cash."""
        return self.lot_value * trade + self.fee(trade)

    def outside(self, trade: int) -> int:
        """Money by which the value lies outside the band."""
        value = self.value(trade)
        return max(self.lower - value, value - self.upper, 0)

    def distance(self, trade: int) -> int:
        """Money between value and target."""
        return abs(self.target - self.value(trade))

    @property
    def band(self) -> Interval:
        """Trades that lead into the band; the first exceeds the last if there are none."""
        first = max(-((self.held - self.lower) // self.lot_value), -self.lots)
        return first, (self.upper - self.held) // self.lot_value

    @property
    def most(self) -> int:
        """A trade beyond which nothing is nearer to target or band, nor newly allowed."""
        edge = max(self.target, self.upper, 0)
        return max(-((self.held - edge) // self.lot_value), self.least_trade, -self.lots, 0) + 1

    def kinks(self) -> list[int]:
        """Return the trades between which every cost is linear: next to 0, the target and the edges of the band."""
        found = {0}
        for edge in (self.target, self.lower, self.upper):
            below = (edge - self.held) // self.lot_value
            found |= {below, below + 1}
        return sorted(found)


def lines_of(book: Book, indices: Iterable[int] | None = None) -> list[Line]:
    """Return the securities of a book as Python integers, all of them or those at some indices."""
    wanted = range(len(book.portfolio.securities)) if indices is None else indices
    columns = [
        array.tolist()
        for array in (
            book.lot_values,
            book.lot_fees,
            book.lot_shares,
            book.held_values,
            book.held_lots,
            book.targets,
            book.lower,
            book.upper,
            book.no_buying,
            book.no_selling,
            book.locked,
            book.in_band,
        )
    ]
    lines = []
    for index in wanted:
        value, fee, shares, held, lots, target, lower, upper, no_buying, no_selling, locked, in_band = (
            column[index] for column in columns
        )
        least = max(-(-book.minimum_trade // value), 1)
        lines.append(
            Line(
                index,
                value,
                fee,
                shares,
                book.order_fee,
                held,
                lots,
                target,
                lower,
                upper,
                least,
                no_buying,
                no_selling,
                locked,
                in_band,
            )
        )
    return lines


def unrestrained(line: Line) -> list[Interval]:
    """Return every quantity of 0 or more."""
    return [(-line.lots, line.most)]


def removed_by(line: Line, restraint: Restraint) -> list[Interval]:
    """Return the quantities that one restraint removes from this security, if it applies to it."""
    selling, buying = (-line.lots, -1), (max(1, -line.lots), line.most)
    match restraint:
        case Restraint.DO_NOT_TRADE | Restraint.IN_BAND:
            found = [selling, buying]
        case Restraint.DO_NOT_BUY | Restraint.SELL_ONLY:
            found = [buying]
        case Restraint.DO_NOT_SELL | Restraint.BUY_ONLY:
            found = [selling]
        case Restraint.MINIMUM_TRADE:
            small = line.least_trade - 1
            found = [(max(-small, -line.lots + 1), -1), (max(1, -line.lots + 1), small)]
        case _:
            found = []
    return [interval for interval in found if interval[0] <= interval[1]]


def permitted(line: Line) -> list[Interval]:
    """Return the quantities that the restraints leave: the set A, which is what is held if nothing else is left."""
    if line.locked or line.in_band:
        return [(0, 0)]
    first = max(-line.lots, 0) if line.no_selling else -line.lots
    last = 0 if line.no_buying else line.most
    close = -line.lots
    pieces = [
        (first, min(last, -line.least_trade)),
        (max(first, 0), min(last, 0)),
        (max(first, line.least_trade), last),
    ]
    found = [piece for piece in pieces if piece[0] <= piece[1]]
    if first <= close <= last and not any(low <= close <= high for low, high in found):
        found = sorted([*found, (close, close)])
    return found or [(0, 0)]


def allowed(line: Line, bands: Bands) -> tuple[list[Interval], Standing]:
    """Return the quantities that a security may have, by restraints and band, and how it stands to its band."""
    left = permitted(line)
    first, last = line.band
    within = intersection(left, [(first, last)]) if first <= last else []
    if line.locked:
        return [(0, 0)], Standing.FREE if within else Standing.EXEMPT
    if bands is Bands.PREFERRED:
        return left, Standing.FREE if within or first > last else Standing.EXEMPT
    if first > last:
        return [], Standing.IMPOSSIBLE
    return (within, Standing.FREE) if within else ([(0, 0)], Standing.EXEMPT)


def intersection(some: list[Interval], others: list[Interval]) -> list[Interval]:
    """Return the trades that are in both of two unions of intervals."""
    found = [(max(low, least), min(high, most)) for low, high in some for least, most in others]
    return [interval for interval in found if interval[0] <= interval[1]]


def restraints_on(book: Totals, line: Line) -> list[Restraint]:
    """Return the restraints that apply to a security, in the order in which they are named."""
    rules, name = book.rules, book.portfolio.securities[line.index].security_id
    applies = {
        Restraint.DO_NOT_TRADE: line.locked,
        Restraint.DO_NOT_BUY: line.no_buying and name in rules.do_not_buy,
        Restraint.DO_NOT_SELL: line.no_selling and name in rules.do_not_sell,
        Restraint.BUY_ONLY: rules.direction is Direction.BUY_ONLY,
        Restraint.SELL_ONLY: rules.direction is Direction.SELL_ONLY,
        Restraint.IN_BAND: line.in_band,
        Restraint.MINIMUM_TRADE: line.least_trade > 1,
    }
    return [restraint for restraint, does in applies.items() if does]
