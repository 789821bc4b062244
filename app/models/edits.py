"""Changes of a part of a model, each a function from the current model to the changed one."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from app.errors.codes import ErrorCode, OrderGenerationError
from app.models.rules import checked_portfolios, checked_positions
from persistence import Model, Position

type Alteration = Callable[[Model], Model]
"""Applied again to the newer model if another request changed it first."""


def with_position(position: Position) -> Alteration:
    """Add a position; the alteration raises `DUPLICATE_POSITION` where the model has the security."""

    def alter(model: Model) -> Model:
        if any(each.security_id == position.security_id for each in model.positions):
            raise OrderGenerationError(
                ErrorCode.DUPLICATE_POSITION,
                f"The model already has security {position.security_id}.",
                {"securityId": position.security_id},
            )
        return replace(model, positions=checked_positions([*model.positions, position]))

    return alter


def with_position_replaced(position: Position) -> Alteration:
    """Change a position in its place; the alteration raises `POSITION_NOT_FOUND` if it is missing."""

    def alter(model: Model) -> Model:
        present = _present(model, position)
        positions = [position if each is present else each for each in model.positions]
        return replace(model, positions=checked_positions(positions))

    return alter


def without_position(position: Position) -> Alteration:
    """Remove a position; the alteration raises `POSITION_NOT_FOUND`, or `POSITION_MISMATCH` where it is another one."""

    def alter(model: Model) -> Model:
        present = _present(model, position)
        if present != position:
            raise OrderGenerationError(
                ErrorCode.POSITION_MISMATCH,
                f"The model's position in security {position.security_id} has another target or other drifts.",
                {
                    "securityId": present.security_id,
                    "target": present.target,
                    "highDrift": present.high_drift,
                    "lowDrift": present.low_drift,
                },
            )
        return replace(model, positions=tuple(each for each in model.positions if each is not present))

    return alter


def with_portfolios(portfolio_ids: Sequence[str]) -> Alteration:
    """Add the portfolios that the model does not have."""

    def alter(model: Model) -> Model:
        return replace(model, portfolios=checked_portfolios((*model.portfolios, *portfolio_ids)))

    return alter


def without_portfolios(portfolio_ids: Sequence[str]) -> Alteration:
    """Remove the portfolios that the model has."""
    unwanted = frozenset(portfolio_ids)

    def alter(model: Model) -> Model:
        return replace(model, portfolios=tuple(each for each in model.portfolios if each not in unwanted))

    return alter


def _present(model: Model, position: Position) -> Position:
    for each in model.positions:
        if each.security_id == position.security_id:
            return each
    raise OrderGenerationError(
        ErrorCode.POSITION_NOT_FOUND,
        f"The model has no security {position.security_id}.",
        {"securityId": position.security_id},
    )
