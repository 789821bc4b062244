"""What a stateless optimisation accepts."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from app.errors.codes import InvalidField
from app.http.exact_json import Number
from app.http.fields import OptimizationId
from app.http.identifiers import optimization_id
from app.rebalancing.schemas import RulesRequest, check_amount
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
            if not 0 <= weight <= 1:
                raise InvalidField(field, "must be between 0 and 1")


class OptimizationPrice(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The price of a security."""

    security_id: OptimizationId
    price: Annotated[Number, Meta(description="Money per share.", extra_json_schema={"exclusiveMinimum": 0})]

    def __post_init__(self) -> None:
        """Check the price by itself."""
        optimization_id("securityId", self.security_id)
        if self.price <= 0:
            raise InvalidField("price", "must be above 0")
        check_amount("price", self.price)


class OptimizationHolding(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Shares held of a security."""

    security_id: OptimizationId
    quantity: Annotated[Number, Meta(description="Shares held; negative if short.")]

    def __post_init__(self) -> None:
        """Check the holding by itself."""
        optimization_id("securityId", self.security_id)
        check_amount("quantity", self.quantity)


class OptimizationPortfolio(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A portfolio to optimise."""

    portfolio_id: OptimizationId
    cash: Annotated[Number, Meta(description="Money not invested; negative if overdrawn.")]
    holdings: Annotated[list[OptimizationHolding], Meta(description="What the portfolio holds.")]

    def __post_init__(self) -> None:
        """Check the portfolio by itself."""
        optimization_id("portfolioId", self.portfolio_id)
        check_amount("cash", self.cash)
        check_count("holdings", self.holdings, MAXIMUM_POSITIONS)
        check_distinct("holdings", "securityId", [holding.security_id for holding in self.holdings])


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
        check_count("positions", self.positions, MAXIMUM_POSITIONS)
        check_count("portfolios", self.portfolios, MAXIMUM_PORTFOLIOS)
        check_distinct("positions", "securityId", [position.security_id for position in self.positions])
        check_distinct("prices", "securityId", [price.security_id for price in self.prices])
        check_distinct("portfolios", "portfolioId", [portfolio.portfolio_id for portfolio in self.portfolios])
        total = sum((position.target for position in self.positions), Decimal(0))
        if total > 1:
            raise InvalidField("positions", f"must have targets with a sum of at most 1; their sum is {total}")
        self.solver_rules()

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


def check_count(field: str, items: Sequence[object], most: int) -> None:
    """Check the length of a list.

    Raises:
        InvalidField: it is too long.
    """
    if len(items) > most:
        raise InvalidField(field, f"must have at most {most} elements, not {len(items)}")


def check_distinct(field: str, name: str, ids: Sequence[str]) -> None:
    """Check that no id is repeated in a list.

    Raises:
        InvalidField: naming the first repetition.
    """
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    for index, identifier in enumerate(ids):
        if identifier in seen:
            raise InvalidField(f"{field}[{index}].{name}", "must be unique in its list")
        seen.add(identifier)
