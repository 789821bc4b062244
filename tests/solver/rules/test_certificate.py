"""The certificate under rules in lists, which few securities are solved in, and in arrays: the same in every digit."""

import random

import pytest
from hypothesis import given, settings
from msgspec.structs import asdict

from solver import Outcome, Portfolio, Rules, solve
from solver.ruled import book as ruled_book
from solver.ruled import stages
from tests.solver.rules.books import Book, books, draw_book, mixture


def outcome(portfolio: Portfolio, rules: Rules) -> dict[str, object]:
    found: Outcome = solve(portfolio, rules=rules)
    return asdict(found) | {"type": type(found), "seconds": None}


def in_arrays(portfolio: Portfolio, rules: Rules) -> dict[str, object]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stages, "MOST_IN_LISTS", -1)
        return outcome(portfolio, rules)


@settings(max_examples=150, deadline=None)
@given(books(most_securities=8))
def test_lists_and_arrays_have_the_same_outcome(book: Book) -> None:
    """Trades, money, restraints and proof of one form are those of the other."""
    assert repr(outcome(*book)) == repr(in_arrays(*book))


def test_lists_certify_whatever_arrays_certify() -> None:
    """No book of few securities that arrays certify is left to them, and many are certified."""
    certified = 0
    for number in range(150):
        chance = random.Random(f"certificate {number}")
        book = draw_book(chance, mixture(chance), most_securities=12)
        left = False

        def open_book(portfolio: Portfolio, rules: Rules) -> ruled_book.Book:
            nonlocal left
            left = True
            return ruled_book.open_book(portfolio, rules)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(stages, "open_book", open_book)
            path = outcome(*book).get("path")
        certifiable = path in {"ROUNDING", "NOTHING_TO_DO"}
        assert not (left and certifiable), number
        certified += certifiable
    assert certified > 30
