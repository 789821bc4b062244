"""A fixed set of hard portfolios whose optima independent judges have found: objective and fewest shares traded."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from solver import Portfolio, Security, Solution, SolverStrategy, solve
from tests.oracle.judging import check


class Known(Struct, frozen=True):
    """A portfolio and its optimum; a security is its price, quantity, target, low and high drift."""

    family: str
    cash: Decimal
    securities: list[tuple[Decimal, Decimal, Decimal, Decimal, Decimal]]
    objective: str
    traded: int

    def portfolio(self) -> Portfolio:
        securities = (Security(f"S{place}", *numbers) for place, numbers in enumerate(self.securities))
        return Portfolio(tuple(securities), self.cash)


class Corpus(Struct, frozen=True):
    columns: list[str]
    portfolios: list[Known]


CORPUS = msgspec.json.decode(Path(__file__).with_name("corpus.json").read_bytes(), type=Corpus).portfolios


@pytest.mark.parametrize("strategy", SolverStrategy)
@pytest.mark.parametrize("known", CORPUS, ids=lambda known: f"{known.family} {len(known.securities)}")
def test_the_known_optimum_is_found(known: Known, strategy: SolverStrategy) -> None:
    """Objective and traded shares equal those of the corpus, with each strategy."""
    solution = solve(known.portfolio(), strategy=strategy)
    assert isinstance(solution, Solution)
    check(known.portfolio(), solution)
    assert Fraction(solution.objective) == Fraction(known.objective)
    assert solution.tie_proven
    assert sum(abs(Fraction(trade)) for trade in solution.trades) == known.traded
