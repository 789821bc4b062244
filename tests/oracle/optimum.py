"""Finds the one right outcome of a book with rules: by trying everything, and by a dynamic programme over the cash."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import product
from math import prod

from msgspec import Struct

from solver import Bands, Portfolio, Restraint, Rules
from tests.oracle.rules import Book, Choice, Line, TooLarge

type Cost = tuple[int, int, int, int]
type Key = tuple[Cost, tuple[int, ...]]
"""What is minimised: levels 1 to 3, then the lots of each security in ascending order of id."""


class Optimum(Struct, frozen=True):
    """The right outcome of a feasible book; money in the book's money, securities in the order of the portfolio."""

    quantities: tuple[Fraction, ...]
    outside: Fraction
    objective: Fraction
    second: Fraction
    shares: Fraction
    restraints: tuple[Restraint | None, ...]
    outside_band: tuple[str, ...]


class NoOutcome(Struct, frozen=True):
    """Why no quantities satisfy the rules.

    Attributes:
        market_value: the market value, if it is below 0; otherwise None.
        without_lot: ids of the securities whose band has no quantity in whole lots.
        missing: cash that is missing, if every security has an allowed quantity; otherwise None.
        locked: with `missing`, the holdings whose sale a restraint forbids, and the first such restraint.
        preferred_helps: the same rules with `bands` PREFERRED are feasible.
    """

    market_value: Fraction | None = None
    without_lot: tuple[str, ...] = ()
    missing: Fraction | None = None
    locked: dict[str, Restraint] = {}
    preferred_helps: bool = False


type Method = Callable[[Book], Key]


def judge(portfolio: Portfolio, rules: Rules, method: Method, *, limit: int | None = 400) -> Optimum | NoOutcome:
    """Return the right outcome.

    Args:
        portfolio: any portfolio.
        rules: any rules.
        method: `brute_force`, `dynamic_programme` or, with a limit of None, `each_alone`.
        limit: the most quantities of one security.

    Raises:
        TooLarge: the method cannot visit the book.
    """
    book = Book(portfolio, rules, limit)
    reason = infeasible(book)
    if reason is not None:
        return reason
    (outside, objective, second, _), lots = method(book)
    final = dict(zip(sorted(line.security_id for line in book.lines), lots, strict=True))
    quantities, shares = [], Fraction(0)
    for security, line in zip(portfolio.securities, book.lines, strict=True):
        trade = (final[line.security_id] - line.held) * book.lot(line.security_id)
        quantities.append(Fraction(security.quantity) + trade)
        shares += abs(trade)
    return Optimum(
        quantities=tuple(quantities),
        outside=outside * book.unit,
        objective=objective * book.unit,
        second=second * book.unit,
        shares=shares,
        restraints=tuple(line.restraint for line in book.lines),
        outside_band=tuple(line.security_id for line in book.lines if kept_outside(line)),
    )


def kept_outside(line: Line) -> bool:
    """Return whether a restraint, not the lots or the cash, keeps a security outside its band."""
    locked = line.security_id in line.book.rules.do_not_trade and not line.in_band(line.held)
    return line.exempt or locked


def infeasible(book: Book) -> NoOutcome | None:
    """Return why a book has no outcome, or None."""
    if book.market_value < 0:
        return NoOutcome(market_value=book.market_value)
    without_lot = tuple(line.security_id for line in book.lines if not line.allowed)
    missing = None if without_lot else book.missing()
    if not without_lot and missing is not None and missing <= 0:
        return None
    return NoOutcome(
        without_lot=without_lot,
        missing=None if missing is None else missing * book.unit,
        locked={line.security_id: rule for line in book.lines if (rule := lock(line))} if missing is not None else {},
        preferred_helps=_preferred_helps(book),
    )


def lock(line: Line) -> Restraint | None:
    """Return the first restraint that forbids a sale that would use less cash than every allowed quantity."""
    least = min(choice.spent for choice in line.choices)
    wanted = line.band if line.book.rules.bands is Bands.REQUIRED and line.band else line.quantities
    removers = [line.removed_by(lots)[:1] for lots in wanted if lots < line.held and line.choice(lots).spent < least]
    return min((rule for rules in removers for rule in rules), key=list(Restraint).index, default=None)


def _preferred_helps(book: Book) -> bool:
    cheapest = (min(line.choice(lots).spent for lots in line.left) for line in book.lines)
    return sum(cheapest) <= book.available


def by_id(book: Book) -> list[Line]:
    return sorted(book.lines, key=lambda line: line.security_id)


def brute_force(book: Book, *, most: int = 50_000) -> Key:
    """Return the best of every combination of allowed quantities."""
    lines = by_id(book)
    if prod(len(line.choices) for line in lines) > most:
        raise TooLarge
    return min(
        (total(choice.cost for choice in combination), tuple(choice.lots for choice in combination))
        for combination in product(*(line.choices for line in lines))
        if sum(choice.spent for choice in combination) <= book.available
    )


def dynamic_programme(book: Book, *, most: int = 20_000) -> Key:
    """Return the best key over all sums of cash, security by security.

    A partial choice is dropped only if another one spends no more and is no worse at every level; because keys compare
    level by level and add up, whatever completes the first also completes the second.
    """
    lines = by_id(book)
    reserve = [0]
    for line in reversed(lines):
        reserve.append(reserve[-1] + min(choice.spent for choice in line.choices))
    states: list[tuple[int, Key]] = [(0, ((0, 0, 0, 0), ()))]
    for line, rest in zip(lines, reversed(reserve[:-1]), strict=True):
        choices = undominated(line.choices)
        following = sorted(
            (spent + choice.spent, (total((cost, choice.cost)), (*lots, choice.lots)))
            for spent, (cost, lots) in states
            for choice in choices
            if spent + choice.spent + rest <= book.available
        )
        states = []
        for state in following:
            if not states or state[1] < states[-1][1]:
                states.append(state)
        if len(states) > most:
            raise TooLarge
    return min(key for _, key in states)


def each_alone(book: Book) -> Key:
    """Return the best quantity of each security on its own.

    Raises:
        TooLarge: together they need more cash than there is, so another method has to weigh them.
    """
    best = [min(line.choices, key=lambda choice: (choice.cost, choice.lots)) for line in by_id(book)]
    if sum(choice.spent for choice in best) > book.available:
        raise TooLarge
    return total(choice.cost for choice in best), tuple(choice.lots for choice in best)


def undominated(choices: list[Choice]) -> list[Choice]:
    """Return the choices of one security that no other one beats in cash and in cost."""
    kept: list[Choice] = []
    for choice in sorted(choices, key=lambda choice: (choice.spent, choice.cost, choice.lots)):
        if not kept or (choice.cost, choice.lots) < (kept[-1].cost, kept[-1].lots):
            kept.append(choice)
    return kept


def total(costs: Iterable[Cost]) -> Cost:
    first, second, third, fourth = (sum(column) for column in zip(*costs, strict=True))
    return first, second, third, fourth
