"""Reduces a book that is solved wrongly to the smallest one that still is, for a report that a person can read."""

from collections.abc import Callable, Iterator
from decimal import Decimal

from msgspec.structs import fields, replace

from solver import Portfolio, Rules, Security

type Book = tuple[Portfolio, Rules]


def smallest(book: Book, fails: Callable[[Book], bool]) -> Book:
    """Return a book that still fails although every single simplification of it passes.

    Args:
        book: a book that fails.
        fails: returns whether a book fails; must be deterministic.
    """
    while (simpler := next(filter(fails, simplifications(book)), None)) is not None:
        book = simpler
    return book


def simplifications(book: Book) -> Iterator[Book]:
    """Yield books with one thing less: a security, a rule, a holding, a drift, or decimal places."""
    portfolio, rules = book
    securities = portfolio.securities
    if len(securities) > 1:
        for index in range(len(securities)):
            yield Portfolio(securities[:index] + securities[index + 1 :], portfolio.cash), rules
    for field in fields(Rules):
        for value in simpler_values(getattr(rules, field.name), field.default):
            yield portfolio, replace(rules, **{field.name: value})
    for cash in fewer_digits(portfolio.cash):
        yield Portfolio(securities, cash), rules
    for index, security in enumerate(securities):
        for simpler in simpler_securities(security):
            yield Portfolio((*securities[:index], simpler, *securities[index + 1 :]), portfolio.cash), rules


def simpler_values(value: object, default: object) -> Iterator[object]:
    """Yield the default of a rule, shorter lists and rounder numbers."""
    if value != default:
        yield default
    if isinstance(value, tuple):
        yield from (value[:index] + value[index + 1 :] for index in range(len(value)))
    elif isinstance(value, Decimal):
        yield from (number for number in fewer_digits(value) if number > 0)


def simpler_securities(security: Security) -> Iterator[Security]:
    for name in ("quantity", "low_drift", "high_drift", "target", "price"):
        for number in fewer_digits(getattr(security, name)):
            if name != "price" or number > 0:
                yield replace(security, **{name: number})


def fewer_digits(number: Decimal) -> Iterator[Decimal]:
    """Yield 0 and numbers with fewer digits."""
    if number:
        yield Decimal(0)
    for keep in range(1, len(number.normalize().as_tuple().digits)):
        yield round(number, keep - 1 - number.adjusted())
