"""What a stateless optimisation accepts."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from typing import Annotated, Any, override

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict

from app.errors.codes import InvalidField, check
from app.http.dialect import camel_case
from app.http.exact_json import Number
from app.http.faults import Partial, field_faults
from app.http.fields import OptimizationId
from app.http.identifiers import optimization_id
from app.models.rules import percent_hint
from app.rebalancing.schemas import LOT_SIZES, LotSizeRequest, RulesRequest, check_amount, repetition_faults
from app.solver_task.rounding import EXACT
from solver import Rules

MAXIMUM_PORTFOLIOS = 1_000
MAXIMUM_POSITIONS = 1_000

_Weight = {"minimum": 0, "maximum": 1}


class OptimizationPosition(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A security's target and drift band; any decimals, and the low drift may exceed the high drift."""

    security_id: OptimizationId
    target: Annotated[Number, Meta(description="Target share of the market value.", extra_json_schema=_Weight)]
    high_drift: Annotated[
        Number, Meta(description="How far the weight may exceed the target.", extra_json_schema=_Weight)
    ]
    low_drift: Annotated[
        Number, Meta(description="How far the weight may fall short of the target.", extra_json_schema=_Weight)
    ]

    def __post_init__(self) -> None:
        """Check the position by itself."""
        optimization_id("securityId", self.security_id)
        for field, weight in (("target", self.target), ("highDrift", self.high_drift), ("lowDrift", self.low_drift)):
            check_weight(field, weight)

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that are broken by the fields that could be read."""
        yield from field_faults(
            {
                "security_id": optimization_id,
                "target": check_weight,
                "high_drift": check_weight,
                "low_drift": check_weight,
            },
            fields,
        )


class OptimizationPrice(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The price of a security."""

    security_id: OptimizationId
    price: Annotated[Number, Meta(description="Money per share.", extra_json_schema={"exclusiveMinimum": 0})]

    def __post_init__(self) -> None:
        """Check the price by itself."""
        optimization_id("securityId", self.security_id)
        check_price("price", self.price)

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that are broken by the fields that could be read."""
        yield from field_faults({"security_id": optimization_id, "price": check_price}, fields)


class OptimizationHolding(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Shares held of a security."""

    security_id: OptimizationId
    quantity: Annotated[Number, Meta(description="Shares held; negative if short.")]

    def __post_init__(self) -> None:
        """Check the holding by itself."""
        optimization_id("securityId", self.security_id)
        check_amount("quantity", self.quantity)

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that are broken by the fields that could be read."""
        yield from field_faults({"security_id": optimization_id, "quantity": check_amount}, fields)


class OptimizationPortfolio(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A portfolio to optimise."""

    portfolio_id: OptimizationId
    cash: Annotated[Number, Meta(description="Money not invested; negative if overdrawn.")]
    holdings: Annotated[list[OptimizationHolding], Meta(description="What the portfolio holds.")]

    def __post_init__(self) -> None:
        """Check the portfolio by itself."""
        optimization_id("portfolioId", self.portfolio_id)
        check_amount("cash", self.cash)
        check(list_faults("holdings", "security_id", self.holdings, MAXIMUM_POSITIONS))

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that are broken by the fields that could be read."""
        yield from field_faults({"portfolio_id": optimization_id, "cash": check_amount}, fields)
        yield from list_faults("holdings", "security_id", fields.get("holdings", ()), MAXIMUM_POSITIONS)


class OptimizationLotSizeRequest(LotSizeRequest, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The lot size of one security."""

    @staticmethod
    @override
    def check_id(field: str, security_id: str) -> str:
        """Check the id of a security, which the caller chooses."""
        return optimization_id(field, security_id)


class OptimizationRulesRequest(RulesRequest, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The rules of one optimisation; an absent rule changes nothing."""

    # A list of a narrower type, which is possible because nothing is ever added to it.
    lot_sizes: Annotated[list[OptimizationLotSizeRequest] | UnsetType, LOT_SIZES] = UNSET  # type: ignore[assignment]

    @staticmethod
    @override
    def check_id(field: str, security_id: str) -> str:
        """Check the id of a security, which the caller chooses."""
        return optimization_id(field, security_id)


class OptimizationRequest(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A model, prices and portfolios, all of them in the request."""

    positions: Annotated[
        list[OptimizationPosition],
        Meta(description="The model.", extra_json_schema={"maxItems": MAXIMUM_POSITIONS}),
    ]
    prices: Annotated[list[OptimizationPrice], Meta(description="Prices of the securities.")]
    portfolios: Annotated[
        list[OptimizationPortfolio],
        Meta(description="The portfolios, in the order of the response.", extra_json_schema={"maxItems": 1_000}),
    ]
    rules: OptimizationRulesRequest | None = None

    def __post_init__(self) -> None:
        """Check what the parts must satisfy together."""
        check(self.faults(asdict(self)))

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that are broken by the fields that could be read."""
        yield from positions_faults(fields.get("positions", ()))
        yield from list_faults("prices", "security_id", fields.get("prices", ()))
        yield from list_faults("portfolios", "portfolio_id", fields.get("portfolios", ()), MAXIMUM_PORTFOLIOS)

    def solver_rules(self) -> Rules | None:
        """Return the rules in the solver's form; None if there are none."""
        return None if self.rules is None else self.rules.rules()


def check_weight(field: str, weight: Decimal) -> None:
    """Check a share of the market value.

    Raises:
        InvalidField: it is not between 0 and 1.
    """
    if not 0 <= weight <= 1:
        raise InvalidField(field, f"must be between 0 and 1{percent_hint(weight)}")


def check_price(field: str, price: Decimal) -> None:
    """Check a price.

    Raises:
        InvalidField: it is not above 0, too large or too precise.
    """
    if price <= 0:
        raise InvalidField(field, "must be above 0")
    check_amount(field, price)


def positions_faults(
    positions: Sequence[OptimizationPosition | Partial | None],
) -> Iterator[InvalidField]:
    """Yield what is wrong with the positions together, as far as they could be read."""
    yield from list_faults("positions", "security_id", positions, MAXIMUM_POSITIONS)
    targets = (each.target for each in positions if each is not None and each.target is not None)
    total = reduce(EXACT.add, targets, Decimal(0))
    if total > 1:
        yield InvalidField("positions", f"must have targets with a sum of at most 1; their sum is {total}")


def list_faults(
    field: str, id_name: str, items: Sequence[Struct | Partial | None], most: int | None = None
) -> Iterator[InvalidField]:
    """Yield what is wrong with the elements of a list together, as far as they could be read.

    Args:
        field: name of the list.
        id_name: the attribute that is unique in the list.
        items: the elements.
        most: how many there may be; None for any number.
    """
    if most is not None and len(items) > most:
        yield InvalidField(field, f"must have at most {most} elements, not {len(items)}")
    ids = [getattr(each, id_name, None) for each in items]
    yield from repetition_faults(ids, lambda index: f"{field}[{index}].{camel_case(id_name)}")
