"""A long run over random books with rules: judges, both strategies and the laws, without one disagreement.

    ./run test -m slow tests/solver/rules/test_long_run.py -s

`RULES_PORTFOLIOS` is the number of books; `RULES_FIRST` is the number of the first, so that a run can continue where
another ended. Books alternate between a rule alone, a pair and a mixture.
"""

import os
import random
import time
from collections import Counter

import pytest

from solver import Infeasible, Portfolio, Solution, SolverStrategy, TimeLimit, solve
from tests.oracle.agreement import assert_right, right_outcome
from tests.oracle.rules import TooLarge
from tests.oracle.shrinking import smallest
from tests.oracle.verification import verify
from tests.solver.rules.books import Book, counted_book, draw_book, mixture, numbered

BOOKS = int(os.environ.get("RULES_PORTFOLIOS", "100000"))
FIRST = int(os.environ.get("RULES_FIRST", "0"))
MILP_EVERY = 20


def drawn(number: int) -> Book:
    """Return small books, and every tenth time a larger one whose cash can be counted out."""
    if number % 10 != 9:
        return numbered(number, most_securities=4 if number % 2 else 6)
    chance = random.Random(f"long run {number}")
    if number % 40 == 9:
        return counted_book(chance, chance.choice([10, 15, 20, 30, 40]))
    return draw_book(chance, mixture(chance), most_securities=chance.choice([10, 20, 30]), coarse=True)


def check(book: Book, counts: Counter[str], *, strategy: SolverStrategy = SolverStrategy.AUTO) -> None:
    outcome = solve(book[0], rules=book[1], strategy=strategy)
    counts[f"{strategy}: {type(outcome).__name__} {getattr(outcome, 'path', '')}".rstrip()] += 1
    if isinstance(outcome, TimeLimit):
        return
    try:
        right = right_outcome(*book)
    except TooLarge:
        counts["no judge"] += 1
        if isinstance(outcome, Solution):
            verify(*book, outcome)
        return
    assert_right(*book, outcome, right)
    counts["judged"] += 1
    if isinstance(outcome, Solution):
        counts["tie proven"] += outcome.tie_proven


def reordered(book: Book, number: int) -> None:
    order = list(range(len(book[0].securities)))
    random.Random(number).shuffle(order)
    listed = solve(book[0], rules=book[1])
    shuffled = solve(Portfolio(tuple(book[0].securities[i] for i in order), book[0].cash), rules=book[1])
    if isinstance(listed, Solution):
        assert isinstance(shuffled, Solution)
        assert shuffled.trades == tuple(listed.trades[i] for i in order)
    else:
        assert isinstance(listed, Infeasible)
        assert type(shuffled) is type(listed)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_no_book_in_a_long_run_is_solved_wrongly() -> None:
    """Every outcome is the right one, also from `milp`, and does not depend on the order of positions."""
    counts: Counter[str] = Counter()
    started = time.perf_counter()
    for number in range(FIRST, FIRST + BOOKS):
        book = drawn(number)
        try:
            check(book, counts)
            if number % MILP_EVERY == 0:
                check(book, counts, strategy=SolverStrategy.MILP)
                reordered(book, number)
        except Exception as error:
            error.add_note(f"book {number}: {smallest(book, fails)}")
            raise
        if number % 1000 == 999:
            print(f"{number + 1:,} {time.perf_counter() - started:.0f} s: {dict(sorted(counts.items()))}", flush=True)
    assert counts[f"{SolverStrategy.AUTO}: TimeLimit"] == 0
    assert counts["judged"] > BOOKS * 0.9


def fails(book: Book) -> bool:
    try:
        check(book, Counter())
        check(book, Counter(), strategy=SolverStrategy.MILP)
        reordered(book, 0)
    except Exception:  # noqa: BLE001 - whatever is wrong with the larger book is looked for in the smaller one
        return True
    return False
