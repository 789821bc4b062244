"""The same portfolio is returned the same in any process, whatever was solved before it."""

import os
import random
import subprocess
import sys

import msgspec
import pytest

from solver import Outcome, SolverStrategy, solve
from tests.solver.portfolios import FAMILIES

NUMBERS = 3


def responses(strategy: SolverStrategy, *, backwards: bool) -> list[bytes]:
    """Everything but the time it took, of all families, solved in one order or the other."""
    order = [(family, number) for family in FAMILIES for number in range(NUMBERS)]
    outcomes: dict[tuple[str, int], Outcome] = {}
    size = 10 if strategy is SolverStrategy.MILP else 40
    for family, number in reversed(order) if backwards else order:
        portfolio = FAMILIES[family](random.Random(f"determinism {family} {number}"), size)
        # A loaded machine may stop for longer than the usual limit.
        outcomes[family, number] = solve(portfolio, strategy=strategy, time_limit_seconds=120)
    return [msgspec.json.encode(msgspec.structs.replace(outcomes[key], seconds=0.0)) for key in order]


@pytest.mark.parametrize("strategy", SolverStrategy)
def test_neither_the_process_nor_its_past_matters(strategy: SolverStrategy) -> None:
    """Here in order, and elsewhere, hashing strings differently, in reverse."""
    code = (
        "from solver import SolverStrategy; from tests.solver.test_determinism import responses;"
        f"print(b'\\n'.join(responses(SolverStrategy({strategy.value!r}), backwards=True)).decode())"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": "7"}, capture_output=True, check=True
    )
    assert elsewhere.stdout.splitlines() == responses(strategy, backwards=False)
