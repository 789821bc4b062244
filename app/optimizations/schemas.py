"""What a stateless optimisation accepts."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from typing import Annotated, Any

from msgspec import Meta, Struct

from app.errors.codes import InvalidField
from app.http.exact_json import Number
from app.http.faults import field_faults
from app.http.fields import OptimizationId
from app.http.identifiers import optimization_id
from app.models.rules import percent_hint
from app.rebalancing.schemas import RulesRequest, check_amount, rules_faults
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
        check_holdings("holdings", self.holdings)

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that are broken by the fields that could be read."""
        yield from field_faults(
            {"portfolio_id": optimization_id, "cash": check_amount, "holdings": check_holdings}, fields
        )


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
    rules: RulesRequest | None = None

    def __post_init__(self) -> None:
        """Check what the parts must satisfy together."""
        check_positions("positions", self.positions)
        check_prices("prices", self.prices)
        check_portfolios("portfolios", self.portfolios)
        self.solver_rules()

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that are broken by the fields that could be read."""
        yield from field_faults(
            {"positions": check_positions, "prices": check_prices, "portfolios": check_portfolios}, fields
        )
        yield from rules_faults(fields.get("rules"), optimization_id)

    def solver_rules(self) -> Rules | None:
        """Return the rules in the solver's form; None if there are none.

        Raises:
            InvalidField: naming the rule and what it accepts.
        """
        if self.rules is None:
            return None
        try:
            return self.rules.rules(optimization_id)
        except InvalidField as error:
            raise InvalidField(f"rules.{error.field}", error.rule) from None


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


def check_positions(field: str, positions: Sequence[OptimizationPosition | None]) -> None:
    """Check the positions together; those that could not be read are None.

    Raises:
        InvalidField: there are too many, one is repeated, or the targets exceed 1.
    """
    check_count(field, positions, MAXIMUM_POSITIONS)
    check_distinct(field, "securityId", [None if each is None else each.security_id for each in positions])
    total = reduce(EXACT.add, (each.target for each in positions if each is not None), Decimal(0))
    if total > 1:
        raise InvalidField(field, f"must have targets with a sum of at most 1; their sum is {total}")


def check_prices(field: str, prices: Sequence[OptimizationPrice | None]) -> None:
    """Check the prices together; those that could not be read are None.

    Raises:
        InvalidField: one is repeated.
    """
    check_distinct(field, "securityId", [None if each is None else each.security_id for each in prices])


def check_holdings(field: str, holdings: Sequence[OptimizationHolding | None]) -> None:
    """Check the holdings of a portfolio together; those that could not be read are None.

    Raises:
        InvalidField: there are too many, or one is repeated.
    """
    check_count(field, holdings, MAXIMUM_POSITIONS)
    check_distinct(field, "securityId", [None if each is None else each.security_id for each in holdings])


def check_portfolios(field: str, portfolios: Sequence[OptimizationPortfolio | None]) -> None:
    """Check the portfolios together; those that could not be read are None.

    Raises:
        InvalidField: there are too many, or one is repeated.
    """
    check_count(field, portfolios, MAXIMUM_PORTFOLIOS)
    check_distinct(field, "portfolioId", [None if each is None else each.portfolio_id for each in portfolios])


def check_count(field: str, items: Sequence[object], most: int) -> None:
    """Check the length of a list.

    Raises:
        InvalidField: it is too long.
    """
    if len(items) > most:
        raise InvalidField(field, f"must have at most {most} elements, not {len(items)}")


def check_distinct(field: str, name: str, ids: Sequence[str | None]) -> None:
    """Check that no id is repeated in a list; None is not an id.

    Raises:
        InvalidField: naming the first repetition.
    """
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    for index, identifier in enumerate(ids):
        if identifier is None:
            continue
        if identifier in seen:
            raise InvalidField(f"{field}[{index}].{name}", "must be unique in its list")
        seen.add(identifier)
