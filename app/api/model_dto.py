"""What the model endpoints take and answer."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from app.errors import InvalidField
from app.identifiers import external_id
from app.model_rules import check_name, check_position, checked_positions
from app.wire import Number
from persistence.documents import Model, ModelAction, ModelContent, ModelHistoryEntry, Position


class ModelPositionDTO(Struct, frozen=True, rename="camel"):
    """A security's place in a model: target and drifts as shares of the market value."""

    security_id: str
    target: Number
    high_drift: Number
    low_drift: Number

    @classmethod
    def of(cls, position: Position) -> "ModelPositionDTO":
        """Show a stored position."""
        return cls(
            position.security_id, Number(position.target), Number(position.high_drift), Number(position.low_drift)
        )


class ModelPositionRequest(ModelPositionDTO, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A position that a caller gives, checked against the rules."""

    def __post_init__(self) -> None:
        """Check the rules that concern this position alone."""
        external_id("securityId", self.security_id)
        check_position(self.target, self.low_drift, self.high_drift)

    def to_position(self) -> Position:
        """Make the position as it is stored."""
        return Position(
            security_id=self.security_id,
            target=Decimal(self.target),
            high_drift=Decimal(self.high_drift),
            low_drift=Decimal(self.low_drift),
        )


class ModelPostDTO(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A model to create; positions with target 0 are left out of it."""

    name: str
    positions: list[ModelPositionRequest]
    portfolios: list[str]

    def __post_init__(self) -> None:
        """Check the rules that concern the model as a whole."""
        check_name(self.name)
        check_portfolios(self.portfolios)
        self.content()

    def content(self, last_rebalance_date: datetime | None = None) -> ModelContent:
        """Make the model's content as it is stored."""
        return ModelContent(
            name=check_name(self.name),
            positions=checked_positions([position.to_position() for position in self.positions]),
            portfolios=tuple(dict.fromkeys(self.portfolios)),
            last_rebalance_date=last_rebalance_date,
        )


class ModelPutDTO(ModelPostDTO, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A model to put in the place of the one that has this version.

    A `lastRebalanceDate` that is absent, null or before the stored one leaves the stored one.
    """

    last_rebalance_date: Annotated[datetime, Meta(tz=True)] | None = None
    version: int

    def __post_init__(self) -> None:
        """Check the rules that concern the model as a whole."""
        super().__post_init__()
        self.rebalanced_at()

    def rebalanced_at(self) -> datetime | None:
        """Give the date in UTC."""
        if self.last_rebalance_date is None:
            return None
        try:
            return self.last_rebalance_date.astimezone(UTC)
        except OverflowError:
            raise InvalidField("lastRebalanceDate", "must be a date from year 1 to 9999 in UTC") from None


class ModelPortfolioDTO(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Portfolios to add to a model or to take out of it."""

    portfolios: list[str]

    def __post_init__(self) -> None:
        """Check the ids."""
        check_portfolios(self.portfolios)


class ModelDTO(Struct, frozen=True, rename="camel"):
    """A model as stored."""

    model_id: str
    name: str
    positions: list[ModelPositionDTO]
    portfolios: list[str]
    last_rebalance_date: datetime | None
    version: int

    @classmethod
    def of(cls, model: Model) -> "ModelDTO":
        """Show a stored model."""
        return cls(
            model_id=str(model.id),
            name=model.name,
            positions=[ModelPositionDTO.of(position) for position in model.positions],
            portfolios=list(model.portfolios),
            last_rebalance_date=model.last_rebalance_date,
            version=model.version,
        )


class ModelContentDTO(Struct, frozen=True, rename="camel"):
    """What a model said at one version."""

    name: str
    positions: list[ModelPositionDTO]
    portfolios: list[str]
    last_rebalance_date: datetime | None

    @classmethod
    def of(cls, content: ModelContent | None) -> "ModelContentDTO | None":
        """Show a version's content; there is none before a creation and after a deletion."""
        if content is None:
            return None
        return cls(
            name=content.name,
            positions=[ModelPositionDTO.of(position) for position in content.positions],
            portfolios=list(content.portfolios),
            last_rebalance_date=content.last_rebalance_date,
        )


class ModelHistoryDTO(Struct, frozen=True, rename="camel"):
    """One change of a model: who (by correlation id), when, what, and the version it made."""

    model_id: str
    version: int
    action: ModelAction
    changed_at: datetime
    correlation_id: str
    before: ModelContentDTO | None
    after: ModelContentDTO | None

    @classmethod
    def of(cls, entry: ModelHistoryEntry) -> "ModelHistoryDTO":
        """Show an entry of the audit trail."""
        return cls(
            model_id=str(entry.model_id),
            version=entry.version,
            action=entry.action,
            changed_at=entry.at,
            correlation_id=entry.correlation_id,
            before=ModelContentDTO.of(entry.before),
            after=ModelContentDTO.of(entry.after),
        )


def check_portfolios(portfolios: list[str]) -> None:
    """Check the ids of portfolios; one that is named twice counts once."""
    for place, portfolio_id in enumerate(portfolios):
        external_id(f"portfolios[{place}]", portfolio_id)
