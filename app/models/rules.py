"""The business rules of a model, which every way of writing one goes through.

Source: requirements.md, "Model Validation Rules" and "Drift Validation Rules".
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Protocol

from app.errors.codes import InvalidField, check
from app.http.identifiers import external_id_faults
from app.limits import MAXIMUM_NAME_LENGTH, MAXIMUM_PORTFOLIOS, MAXIMUM_POSITIONS, MAXIMUM_TARGET, TARGET_STEP
from persistence import Position

_CONTROL_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control, format (most zero-width characters), surrogates, line and paragraph separators."""
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""The other characters that Unicode says to display as nothing: two names that look the same must be the same."""


def normalised_name(name: str) -> str:
    """Return a model's name as it is stored and compared: trimmed, in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", name.strip()).strip()


def name_faults(name: str) -> Iterator[InvalidField]:
    """Yield the rules that a model's name breaks."""
    normalised = normalised_name(name)
    if not 1 <= len(normalised) <= MAXIMUM_NAME_LENGTH:
        yield InvalidField("name", f"must have 1 to {MAXIMUM_NAME_LENGTH} characters after trimming")
    for character in normalised:
        if unicodedata.category(character) in _CONTROL_CATEGORIES or _INVISIBLE.match(character):
            yield InvalidField("name", f"must not have control or zero-width characters, as U+{ord(character):04X} is")
            return


def position_faults(
    target: Decimal | None, low_drift: Decimal | None, high_drift: Decimal | None
) -> Iterator[InvalidField]:
    """Yield the rules that a position breaks by itself; what could not be read is None."""
    if target is not None:
        if not 0 <= target <= MAXIMUM_TARGET:
            yield InvalidField("target", f"must be between 0 and {MAXIMUM_TARGET}{percent_hint(target)}")
        elif target % TARGET_STEP != 0:
            yield InvalidField("target", f"must be 0 or a multiple of {TARGET_STEP}")
    for field, drift in (("lowDrift", low_drift), ("highDrift", high_drift)):
        if drift is not None and not 0 <= drift <= 1:
            yield InvalidField(field, f"must be between 0 and 1{percent_hint(drift)}")
    if low_drift is not None and high_drift is not None and 0 <= high_drift < low_drift <= 1:
        yield InvalidField("lowDrift", "must not exceed the high drift")


def percent_hint(value: Decimal) -> str:
    """Explain a share that looks like a percentage."""
    if not 1 <= value <= 100:
        return ""
    return f"; it is a fraction of 1: for {value:f} percent, send {(value / 100).normalize():f}"


class ModelPosition(Protocol):
    """What the positions of a model share; in a request that could not be read completely, either may be None."""

    @property
    def security_id(self) -> str:
        """Id of the security."""

    @property
    def target(self) -> Decimal:
        """Share of the market value."""


def positions_faults(positions: Sequence[ModelPosition | None]) -> Iterator[InvalidField]:
    """Yield the rules that a model's positions break together; those that could not be read are None."""
    seen: set[str] = set()
    for place, position in enumerate(positions):
        if position is not None and position.security_id is not None:
            if position.security_id in seen:
                yield InvalidField(f"positions[{place}].securityId", "must be unique within the model")
            seen.add(position.security_id)
    targets = [position.target for position in positions if position is not None and position.target]
    if len(targets) > MAXIMUM_POSITIONS:
        yield InvalidField("positions", f"must be at most {MAXIMUM_POSITIONS} with a target above 0")
    total = sum(targets, Decimal(0))
    if total > MAXIMUM_TARGET:
        yield InvalidField("positions", f"must have targets that sum to at most {MAXIMUM_TARGET}; they sum to {total}")


def portfolios_faults(portfolio_ids: Sequence[str | None]) -> Iterator[InvalidField]:
    """Yield the rules that the ids of a model's portfolios break; those that could not be read are None."""
    for place, portfolio_id in enumerate(portfolio_ids):
        if portfolio_id is not None:
            yield from external_id_faults(f"portfolios[{place}]", portfolio_id)
    if len(set(portfolio_ids)) > MAXIMUM_PORTFOLIOS:
        yield InvalidField("portfolios", f"must be at most {MAXIMUM_PORTFOLIOS}")


def checked_positions(positions: Sequence[Position]) -> tuple[Position, ...]:
    """Return a model's positions without those whose target is 0.

    Raises:
        InvalidFields: they break rules together.
    """
    check(positions_faults(positions))
    return tuple(position for position in positions if position.target > 0)


def checked_portfolios(portfolio_ids: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of a model's portfolios without repetitions.

    Raises:
        InvalidFields: they break rules.
    """
    check(portfolios_faults(portfolio_ids))
    return tuple(dict.fromkeys(portfolio_ids))
