"""The business rules of a model, which every way of writing one goes through.

Source: requirements.md, "Model Validation Rules" and "Drift Validation Rules".
"""

from collections.abc import Sequence
from decimal import Decimal

from app.errors.codes import InvalidField
from app.http.identifiers import external_id
from persistence import Position

MAXIMUM_TARGET = Decimal("0.95")
"""Of one position and of all together: at least 5% of a portfolio stays cash."""
TARGET_STEP = Decimal("0.005")
MAXIMUM_POSITIONS = 100
MAXIMUM_NAME_LENGTH = 255
MAXIMUM_PORTFOLIOS = 10_000
"""A document holds at most 16 MB, and a change of a model carries its portfolios three times."""


def check_name(name: str) -> str:
    """Trim a model's name and check its length."""
    trimmed = name.strip()
    if not 1 <= len(trimmed) <= MAXIMUM_NAME_LENGTH:
        raise InvalidField("name", f"must have 1 to {MAXIMUM_NAME_LENGTH} characters after trimming")
    return trimmed


def check_position(target: Decimal, low_drift: Decimal, high_drift: Decimal) -> None:
    """Check what a position must satisfy by itself."""
    if not 0 <= target <= MAXIMUM_TARGET:
        raise InvalidField("target", f"must be between 0 and {MAXIMUM_TARGET}")
    if target % TARGET_STEP != 0:
        raise InvalidField("target", f"must be 0 or a multiple of {TARGET_STEP}")
    for field, drift in (("lowDrift", low_drift), ("highDrift", high_drift)):
        if not 0 <= drift <= 1:
            raise InvalidField(field, "must be between 0 and 1")
    if low_drift > high_drift:
        raise InvalidField("lowDrift", "must not exceed the high drift")


def checked_positions(positions: Sequence[Position]) -> tuple[Position, ...]:
    """Check what a model's positions must satisfy together, and drop those with target 0.

    Raises:
        InvalidField: naming the field and the rule.
    """
    seen: set[str] = set()
    for place, position in enumerate(positions):
        if position.security_id in seen:
            raise InvalidField(f"positions[{place}].securityId", "must be unique within the model")
        seen.add(position.security_id)
    kept = tuple(position for position in positions if position.target > 0)
    if len(kept) > MAXIMUM_POSITIONS:
        raise InvalidField("positions", f"must be at most {MAXIMUM_POSITIONS} with a target above 0")
    total = sum((position.target for position in kept), Decimal(0))
    if total > MAXIMUM_TARGET:
        raise InvalidField("positions", f"must have targets that sum to at most {MAXIMUM_TARGET}; they sum to {total}")
    return kept


def checked_portfolios(portfolio_ids: Sequence[str]) -> tuple[str, ...]:
    """Check the ids of a model's portfolios, and drop repetitions.

    Raises:
        InvalidField: naming the field and the rule.
    """
    for place, portfolio_id in enumerate(portfolio_ids):
        external_id(f"portfolios[{place}]", portfolio_id)
    portfolios = tuple(dict.fromkeys(portfolio_ids))
    if len(portfolios) > MAXIMUM_PORTFOLIOS:
        raise InvalidField("portfolios", f"must be at most {MAXIMUM_PORTFOLIOS}")
    return portfolios
