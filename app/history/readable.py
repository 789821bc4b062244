"""What a stored portfolio needs, beyond its types, to be shown: names that the API has, and numbers within its limits.

A later release may have written it, or a hand. Takes what persistence has decoded; raises ValueError, which makes the
document unreadable.
"""

from decimal import Decimal
from functools import lru_cache
from typing import Final

from app.errors.codes import ErrorCode
from app.http.fields import WARNING_CODES
from persistence import PackedPortfolio, PositionTerms, RebalancedPortfolio, RebalancedPosition
from solver import Restraint, SolutionPath

_LARGEST_EXPONENT: Final = 34
_SMALLEST_EXPONENT: Final = -70
"""What the service writes has at most 34 digits; of a market value and a price, 36 decimal places."""
_REMEMBERED_TERMS: Final = 64
_RESTRAINTS: Final = frozenset(Restraint)


def check_readable(portfolio: RebalancedPortfolio | PackedPortfolio) -> None:
    """Check that a stored portfolio can be shown.

    Raises:
        ValueError: it has a name that this release does not know, a trade without a price, or a number that is absurd.
    """
    if isinstance(portfolio, PackedPortfolio):
        # Its numbers are within limits that are narrower.
        SolutionPath(portfolio.path)
        _check_terms(portfolio.terms)
        return
    if portfolio.solve is not None:
        SolutionPath(portfolio.solve.path)
        _check_numbers(portfolio.solve.gap, portfolio.solve.objective, portfolio.solve.bound, portfolio.solve.outside)
    if portfolio.failure is not None:
        ErrorCode(portfolio.failure.code)
    for warning in portfolio.warnings:
        if warning.code not in WARNING_CODES:
            raise ValueError(f"{warning.code!r} is not a valid warning")
    _check_numbers(
        portfolio.market_value,
        portfolio.cash_before,
        portfolio.cash_after,
        portfolio.drift_before,
        portfolio.drift_after,
        portfolio.turnover,
        portfolio.fees,
    )
    for position in portfolio.positions:
        _check_position(position)


@lru_cache(_REMEMBERED_TERMS)
def _check_terms(terms: tuple[PositionTerms, ...]) -> None:
    for each in terms:
        _check_position(each.position)


def _check_position(position: RebalancedPosition) -> None:
    if position.restraint is not None and position.restraint not in _RESTRAINTS:
        raise ValueError(f"{position.restraint!r} is not a valid restraint")
    if position.price is None and position.adjusted_quantity != position.original_quantity:
        raise ValueError(f"{position.security_id} is traded without a price")
    _check_numbers(
        position.price,
        position.original_quantity,
        position.adjusted_quantity,
        position.target,
        position.high_drift,
        position.low_drift,
    )


def _check_numbers(*numbers: Decimal | None) -> None:
    for number in numbers:
        if number is not None and not _SMALLEST_EXPONENT < number.adjusted() < _LARGEST_EXPONENT:
            raise ValueError(f"{number} is beyond every limit")
