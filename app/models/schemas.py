"""What the model endpoints accept and return."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict

from app.errors.codes import InvalidField, check
from app.http.fields import (
    HighDrift,
    LowDrift,
    ModelName,
    ModelReference,
    Moment,
    PortfolioIds,
    RequestedHighDrift,
    RequestedLowDrift,
    RequestedTarget,
    SecurityId,
    Target,
    VersionNumber,
)
from app.http.identifiers import external_id_faults
from app.models.rules import (
    checked_portfolios,
    checked_positions,
    name_faults,
    normalised_name,
    portfolios_faults,
    position_faults,
    positions_faults,
)
from persistence import Model, ModelAction, ModelContent, ModelHistoryEntry, Position


class ModelPositionRequest(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A position of a model: a security with its target and its drift band."""

    security_id: SecurityId
    target: RequestedTarget
    high_drift: RequestedHighDrift
    low_drift: RequestedLowDrift

    def __post_init__(self) -> None:
        """Check the rules that concern this position alone."""
        check(self.faults(asdict(self)))

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that are broken by the fields that could be read."""
        if "security_id" in fields:
            yield from external_id_faults("securityId", fields["security_id"])
        yield from position_faults(fields.get("target"), fields.get("low_drift"), fields.get("high_drift"))

    def to_position(self) -> Position:
        """Return the position as it is stored."""
        return Position(
            security_id=self.security_id,
            target=Decimal(self.target),
            high_drift=Decimal(self.high_drift),
            low_drift=Decimal(self.low_drift),
        )


class ModelPostDTO(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A model to create. Positions with target 0 are left out."""

    name: ModelName
    positions: list[ModelPositionRequest]
    portfolios: PortfolioIds

    def __post_init__(self) -> None:
        """Check the rules that concern the model as a whole."""
        check(self.faults(asdict(self)))

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that are broken by the fields that could be read."""
        if "name" in fields:
            yield from name_faults(fields["name"])
        yield from positions_faults(fields.get("positions", ()))
        yield from portfolios_faults(fields.get("portfolios", ()))

    def content(self, last_rebalance_date: datetime | None = None) -> ModelContent:
        """Return the model's content as it is stored.

        Raises:
            InvalidFields: the positions or portfolios break rules.
        """
        return ModelContent(
            name=normalised_name(self.name),
            positions=checked_positions([position.to_position() for position in self.positions]),
            portfolios=checked_portfolios(self.portfolios),
            last_rebalance_date=last_rebalance_date,
        )


class ModelPutDTO(ModelPostDTO, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """The new content of a model that still has this version.

    A last rebalance date that is absent, null or before the stored one keeps the stored one.
    """

    last_rebalance_date: Annotated[datetime, Meta(tz=True)] | None = None
    version: VersionNumber

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that are broken by the fields that could be read."""
        yield from super().faults(fields)
        if fields.get("version", 1) < 1:
            yield InvalidField("version", "must be at least 1")
        try:
            _in_utc(fields.get("last_rebalance_date"))
        except InvalidField as fault:
            yield fault

    def rebalanced_at(self) -> datetime | None:
        """Return the date in UTC.

        Raises:
            InvalidField: its year is out of range in UTC.
        """
        return _in_utc(self.last_rebalance_date)


def _in_utc(moment: datetime | None) -> datetime | None:
    try:
        return moment and moment.astimezone(UTC)
    except OverflowError:
        raise InvalidField("lastRebalanceDate", "must be a date from year 1 to 9999 in UTC") from None


class ModelPortfolioDTO(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Portfolios to add to a model, to remove from it, or to search rebalances by."""

    portfolios: PortfolioIds

    def __post_init__(self) -> None:
        """Check the ids."""
        check(self.faults(asdict(self)))

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that are broken by the fields that could be read."""
        yield from portfolios_faults(fields.get("portfolios", ()))


class ModelPositionDTO(Struct, frozen=True, rename="camel"):
    """A position of a stored model."""

    security_id: SecurityId
    target: Target
    high_drift: HighDrift
    low_drift: LowDrift

    @classmethod
    def of(cls, position: Position) -> "ModelPositionDTO":
        """Show a stored position."""
        return cls(position.security_id, position.target, position.high_drift, position.low_drift)


class ModelDTO(Struct, frozen=True, rename="camel"):
    """A model as stored."""

    model_id: ModelReference
    name: ModelName
    positions: list[ModelPositionDTO]
    portfolios: PortfolioIds
    last_rebalance_date: Moment | None
    version: VersionNumber

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
    """The content of a model at one version."""

    name: ModelName
    positions: list[ModelPositionDTO]
    portfolios: PortfolioIds
    last_rebalance_date: Moment | None

    @classmethod
    def of(cls, content: ModelContent | None) -> "ModelContentDTO | None":
        """Show a version's content; None before a creation and after a deletion."""
        if content is None:
            return None
        return cls(
            name=content.name,
            positions=[ModelPositionDTO.of(position) for position in content.positions],
            portfolios=list(content.portfolios),
            last_rebalance_date=content.last_rebalance_date,
        )


class ModelHistoryDTO(Struct, frozen=True, rename="camel"):
    """One change of a model, with the content before and after, and the correlation id of the request."""

    model_id: ModelReference
    version: VersionNumber
    action: ModelAction
    changed_at: Moment
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
