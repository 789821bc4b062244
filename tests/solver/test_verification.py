"""No response leaves the solver that breaks a constraint or contradicts its own proof."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pytest
from msgspec.structs import replace

from solver import Portfolio, Security
from solver.plain import scale_plain
from solver.scaling import Units, scale
from solver.verification import VerificationError, Verified, verify, verify_plain

BOOK = Portfolio(
    (
        Security("A", Decimal(10), Decimal(4), Decimal("0.30"), Decimal("0.10"), Decimal("0.05")),
        Security("B", Decimal(7), Decimal("2.5"), Decimal(0)),
    ),
    Decimal("42.5"),
)
"""Worth 100, half a share of B stays: between 2 and 3.5 shares of A are allowed, and no whole share of B."""


class Form(NamedTuple):
    """A form of portfolios in whole numbers, and its verification."""

    scale: Callable[[Portfolio], Units]
    verify: Callable[..., Verified]
    shares: Callable[[Sequence[int]], Any]


@pytest.fixture(params=[Form(scale, verify, np.array), Form(scale_plain, verify_plain, list)], ids=["arrays", "lists"])
def form(request: pytest.FixtureRequest) -> Form:
    assert isinstance(request.param, Form)
    return request.param


def test_what_is_true_of_a_response_is_recomputed(form: Form) -> None:
    """Three of A and the half of B: 33.5 are spent, and only the half is off its target."""
    scaled = form.scale(BOOK)
    verified = form.verify(scaled, form.shares([3, 0]))
    assert verified.trades == [-1, -2]
    assert scaled.cash_money(verified.cash_after) == Decimal("66.5")
    assert scaled.money(verified.objective) == Decimal("3.5")


@pytest.mark.parametrize(
    ("shares", "fault"),
    [
        ([1, 0], "security 0 is outside its band"),
        ([4, 0], "security 0 is outside its band"),
        ([-1, 0], "security 0 is outside its band"),
        ([3, 1], "security 1 is outside its band"),
        ([3, -1], "security 1 is outside its band"),
    ],
)
def test_a_quantity_outside_its_band_is_found(form: Form, shares: list[int], fault: str) -> None:
    """The error names the security, for too few, too many and negative shares."""
    with pytest.raises(VerificationError, match=fault):
        form.verify(form.scale(BOOK), form.shares(shares))


def test_money_that_is_not_there_is_found(form: Form) -> None:
    """Both may be bought, but not both at once."""
    wide = [Security(name, Decimal(10), Decimal(0), Decimal("0.5"), Decimal(1), Decimal(1)) for name in "AB"]
    with pytest.raises(VerificationError, match="overspend"):
        form.verify(form.scale(Portfolio(tuple(wide), Decimal(100))), form.shares([6, 5]))


def test_one_unit_that_is_not_there_is_found(form: Form) -> None:
    """Eleven shares at 10 are 1 more than 109, the smallest amount of this portfolio."""
    whole = [Security(name, Decimal(10), Decimal(0), Decimal(0), Decimal(1), Decimal(1)) for name in "AB"]
    scaled = form.scale(Portfolio(tuple(whole), Decimal(109)))
    assert form.verify(scaled, form.shares([5, 5])).cash_after == 9
    with pytest.raises(VerificationError, match="overspend"):
        form.verify(scaled, form.shares([6, 5]))


def test_a_bound_that_is_beaten_is_found(form: Form) -> None:
    """An objective of 3.5 disproves whoever says that none is below 4."""
    scaled, shares = form.scale(BOOK), form.shares([3, 0])
    three_and_a_half = form.verify(scaled, shares).objective
    assert form.verify(scaled, shares, three_and_a_half).objective == three_and_a_half
    with pytest.raises(VerificationError, match="below its proven bound"):
        form.verify(scaled, shares, three_and_a_half + 1)


def test_value_that_appears_from_nowhere_is_found(form: Form) -> None:
    """A portfolio whose parts do not make up its whole cannot be rebalanced."""
    scaled = form.scale(BOOK)
    with pytest.raises(VerificationError, match="not conserved"):
        form.verify(replace(scaled, cash=scaled.cash + 1), form.shares([3, 0]))
