"""Portfolios that are computed in columns of integers have the record and the response of all others."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial

import msgspec
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.http.dialect import Dialect
from app.solver_task.assignment import Assignment, HeldSecurity, Terms
from app.solver_task.calculate import Calculation, Unstorable, in_columns, in_decimals, written
from app.solver_task.columns import columns_of
from solver import Restraint, Security, Solution, SolutionPath
from tests.persistence.examples import security

ZERO, HALF = Decimal(0), Decimal("0.5")


def decimal(coefficient: int, places: int) -> Decimal:
    """Return a number with these digits and decimal places."""
    return Decimal(f"{coefficient}E{-places}")


type Row = tuple[str, str | None, Decimal, Decimal, Decimal, Decimal, Decimal, int]
"""Security, ticker, price, target, low and high drift, quantity and trade."""


def row(name: str, price: str, quantity: str, trade: int) -> Row:
    """Return a position whose target and drifts are a half."""
    return name, None, Decimal(price), HALF, HALF, HALF, Decimal(quantity), trade


names = st.text(st.characters(codec="utf-8"), max_size=10)
prices = st.builds(decimal, st.integers(1, 10**5) | st.integers(1, 10**20), st.integers(-2, 5) | st.integers(0, 18))
targets = st.sampled_from([Decimal(text) for text in ("0", "0.000", "0.005", "0.3", "0.950", "1", "0.00000001")])
quantities = st.builds(
    decimal, st.sampled_from([0, 1, 5, 15_000]) | st.integers(0, 10**5) | st.integers(0, 10**20), st.integers(0, 18)
)
trades = st.sampled_from([0, 0, 1, -1]) | st.integers(-(10**5), 10**5) | st.integers(-(10**14), 10**15)
money = st.builds(decimal, st.integers(1, 10**33), st.integers(0, 34)) | st.sampled_from(
    [Decimal(20000), Decimal("100.00"), Decimal("0.01")]
)
positions = st.tuples(names, st.none() | names, prices, targets, targets, targets, quantities, trades)


def assigned(some: list[Row]) -> Assignment:
    """Return a portfolio that holds only securities of its model."""
    securities = tuple(
        Security(name, price, ZERO, target, low, high) for name, _, price, target, low, high, _, _ in some
    )
    terms = Terms("5" * 24, "2025-08-10", Dialect.STANDARD, securities, tuple(ticker for _, ticker, *_ in some))
    held = tuple(quantity for *_, quantity, _ in some)
    return Assignment(msgspec.msgpack.encode(terms), 3, security(7), "Old \0 name", Decimal("12.30"), held, ())


def with_terms(assignment: Assignment, **changes: object) -> Assignment:
    """Return a portfolio whose terms have these fields instead."""
    terms = replace(msgspec.msgpack.decode(assignment.terms, type=Terms), **changes)
    return replace(assignment, terms=msgspec.msgpack.encode(terms))


def solved(assignment: Assignment, traded: list[int], market_value: Decimal) -> Solution:
    """Return a solution with these trades, whatever they are worth."""
    after = tuple(held + trade for held, trade in zip(assignment.quantities, traded, strict=True))
    return Solution(
        tuple(traded), after, market_value, Decimal("0.10"), Decimal(3), Decimal(2), True, SolutionPath.ROUNDING, 0.5
    )


def outcome(write: Callable[[], Calculation]) -> Calculation | type[ValueError]:
    """Return a result, or that it has more digits than can be stored, as the turnover of next to nothing may have."""
    try:
        return write()
    except ValueError:
        return ValueError


@settings(max_examples=150, deadline=None)
@given(st.lists(positions, min_size=1, max_size=5), money, st.booleans(), st.booleans())
@example([row(security(1), "1", "1", 2)], Decimal(20_000), True, False)
@example([row(security(1), "1", "7.00", -7)], Decimal(20_000), True, False)
@example([row(security(1), "1", "0.0", 0)], Decimal("0.01"), False, True)
def test_the_result_is_that_of_decimals(
    some: list[Row],
    market_value: Decimal,
    stored: bool,
    with_proof: bool,
) -> None:
    """Every byte of record and response, and every figure, is the same in both dialects."""
    for dialect in Dialect:
        assignment = with_terms(
            assigned(some), dialect=dialect, with_proof=with_proof, rebalance_id="5" * 24 if stored else None
        )
        solution = solved(assignment, [trade for *_, trade in some], market_value)
        columns = columns_of(assignment, solution)
        if columns is None:
            assume(min(solution.quantities) >= 0 and max(solution.quantities) < 10**15)
            assert any("E" in str(quantity) for quantity in assignment.quantities)
            return
        one, other = (
            outcome(partial(in_columns, assignment, columns, solution)),
            outcome(partial(in_decimals, assignment, assignment.portfolio(), solution)),
        )
        assert one == other


def test_portfolios_unlike_most_are_computed_in_decimals() -> None:
    """Holdings outside the model, restraints, short positions, lots and worthless portfolios are not in columns."""
    usual = assigned([row(security(1), "2", "4", 1)])
    solution = solved(usual, [1], Decimal(20))
    assert columns_of(usual, solution) is not None
    outside = HeldSecurity(security(2), None, Decimal(1), Decimal(1))
    unlike: list[tuple[Assignment, Solution]] = [
        (replace(usual, others=(outside,)), solution),
        (replace(usual, quantities=(Decimal(-1),)), solution),
        (replace(usual, quantities=(Decimal("1E+1"),)), solution),
        (replace(usual, quantities=(Decimal(10**15),)), solution),
        (replace(usual, quantities=(decimal(1, 19),)), solution),
        (usual, replace(solution, restraints=(Restraint.DO_NOT_TRADE,))),
        (usual, replace(solution, trades=(Decimal("0.5"),))),
        (usual, replace(solution, trades=(-5,))),
        (usual, replace(solution, market_value=ZERO)),
        (replace(usual, quantities=()), replace(solution, trades=())),
    ]
    assert [columns_of(*each) for each in unlike] == [None] * len(unlike)


def test_money_that_cannot_be_stored_is_reported_with_the_security_of_the_most_decimals() -> None:
    """A market value of more than 34 digits names a security as `Decimal` does, and is shown if nothing is stored."""
    usual = assigned([row(security(1), "2", "4", 1)])
    solution = solved(usual, [1], Decimal("1" * 35))
    assert columns_of(usual, solution) is not None
    assert (
        written(usual, usual.portfolio(), solution)
        == Unstorable((security(1),))
        == in_decimals(usual, usual.portfolio(), solution)
    )
    preview = with_terms(usual, rebalance_id=None)
    assert written(preview, preview.portfolio(), solution) == in_decimals(preview, preview.portfolio(), solution)
