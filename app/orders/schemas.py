"""What the endpoints of orders accept and return."""

from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from app.errors.codes import InvalidField, check
from app.http.fields import PortfolioId, PortfolioIds, RebalanceId, SecurityId, TransactionType
from app.models.rules import portfolios_faults
from persistence import OrderPlan, OrderState, PlannedOrder

type SubmissionStatus = Literal["PENDING", "COMPLETED", "PARTIAL", "FAILED"]


class OrdersRequest(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Which orders of a rebalance to send. An empty body sends those of all completed portfolios."""

    portfolios: Annotated[
        PortfolioIds | None, Meta(description="Portfolios of the rebalance; null or absent for all of them.")
    ] = None
    submit: Annotated[bool, Meta(description="Whether the Order Service also submits the orders it creates.")] = False

    def __post_init__(self) -> None:
        """Check the ids.

        Raises:
            InvalidFields: there is no id, or some are not portfolios'.
        """
        check(self.faults({"portfolios": self.portfolios}))

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that are broken by the fields that could be read."""
        portfolio_ids = fields.get("portfolios")
        if portfolio_ids is None:
            return
        if not portfolio_ids:
            yield InvalidField("portfolios", "must name at least one portfolio, or be absent")
        yield from portfolios_faults(portfolio_ids)


class OrderDTO(Struct, frozen=True, rename="camel"):
    """One order: a trade of the rebalance that is, or will be, sent to the Order Service."""

    security_id: SecurityId
    ticker: Annotated[str | None, Meta(description="Ticker of the security; null if it is unknown.")]
    transaction_type: TransactionType
    quantity: Annotated[Decimal, Meta(description="Shares to trade.", extra_json_schema={"exclusiveMinimum": 0})]
    status: Annotated[
        OrderState,
        Meta(
            description="PENDING: not sent yet, or being sent. CREATED: exists in the Order Service. SUBMITTED: exists "
            "and was submitted. REFUSED: not created and not sent again. UNKNOWN: sent, and the Order Service has not "
            "shown yet whether it exists; it is never sent again before that is known."
        ),
    ]
    order_id: Annotated[int | None, Meta(description="The Order Service's id; null if the order was not created.")]
    message: Annotated[str | None, Meta(description="The Order Service's message, or the reason for the status.")]

    @classmethod
    def of(cls, order: PlannedOrder) -> "OrderDTO":
        """Show a planned order."""
        message = order.message
        if order.duplicates:
            ids = ", ".join(str(each) for each in order.duplicates)
            message = f"Duplicated in the Order Service as {ids}. {message or ''}".strip()
        return cls(order.security_id, order.ticker, order.side, order.quantity, order.state, order.order_id, message)


class PortfolioOrdersDTO(Struct, frozen=True, rename="camel"):
    """The orders of one portfolio; none if it failed or does not trade."""

    portfolio_id: PortfolioId
    status: Annotated[
        SubmissionStatus,
        Meta(description="PENDING while an order is PENDING or UNKNOWN, then COMPLETED, PARTIAL or FAILED."),
    ]
    orders: list[OrderDTO]

    @classmethod
    def of(cls, plan: OrderPlan) -> "PortfolioOrdersDTO":
        """Show a plan."""
        return cls(plan.portfolio_id, submission_status(Totals.of(plan)), [OrderDTO.of(order) for order in plan.orders])


class OrderSubmissionDTO(Struct, frozen=True, rename="camel"):
    """The recorded state of the orders of a rebalance."""

    rebalance_id: RebalanceId
    status: Annotated[
        SubmissionStatus,
        Meta(description="PENDING while an order is PENDING or UNKNOWN, then COMPLETED, PARTIAL or FAILED."),
    ]
    total: Annotated[int, Meta(description="Number of orders that were requested, in every state.")]
    created: Annotated[int, Meta(description="Orders that exist in the Order Service, submitted or not.")]
    refused: Annotated[int, Meta(description="Orders that were not created and are not sent again.")]
    unknown: Annotated[int, Meta(description="Orders whose outcome is not known yet.")]
    pending: Annotated[int, Meta(description="Orders that are not sent yet.")]
    duplicates: Annotated[int, Meta(description="Further orders that the Order Service created for the same trades.")]
    portfolios: list[PortfolioOrdersDTO]


class Totals(Struct, frozen=True):
    """Counts of orders by their state."""

    created: int = 0
    refused: int = 0
    unknown: int = 0
    pending: int = 0
    duplicates: int = 0

    @classmethod
    def of(cls, plan: OrderPlan) -> "Totals":
        """Count the orders of a plan."""
        states = Counter(order.state for order in plan.orders)
        return cls(
            created=states["CREATED"] + states["SUBMITTED"],
            refused=states["REFUSED"],
            unknown=states["UNKNOWN"],
            pending=states["PENDING"],
            duplicates=sum(len(order.duplicates) for order in plan.orders),
        )

    def __add__(self, other: "Totals") -> "Totals":
        """Add the counts of other orders."""
        return Totals(
            self.created + other.created,
            self.refused + other.refused,
            self.unknown + other.unknown,
            self.pending + other.pending,
            self.duplicates + other.duplicates,
        )

    @property
    def total(self) -> int:
        """All orders."""
        return self.created + self.refused + self.unknown + self.pending

    @property
    def unfinished(self) -> bool:
        """Whether an order has no outcome yet."""
        return bool(self.unknown or self.pending)


def submission_status(totals: Totals) -> SubmissionStatus:
    """Return the status of orders taken together; COMPLETED if there are none."""
    if totals.unfinished:
        return "PENDING"
    if not totals.refused:
        return "COMPLETED"
    return "PARTIAL" if totals.created else "FAILED"
