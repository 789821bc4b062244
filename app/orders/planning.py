"""The plan of one portfolio, and what keeps a rebalance from being planned: claims of other rebalances, and its age."""

import time
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from bson import ObjectId
from msgspec import Struct
from msgspec.structs import replace

from app.errors.codes import ErrorCode, OrderGenerationError
from app.orders.trades import Costs, planned_orders
from persistence import ORDER_DRAFT, Claim, DocumentUnreadable, OrderPlan, Rebalance, RebalancedPortfolio

_NAMED: Final = 5


class PlanTemplate(Struct, frozen=True):
    """What the plans of one call have in common.

    Attributes:
        now: the database's time when planning began.
        started: the same moment of `time.monotonic()`.
    """

    rebalance: Rebalance
    costs: Costs
    call: ObjectId
    correlation_id: str
    user: str | None
    now: datetime
    started: float
    submit: bool

    def plan(self, portfolio: RebalancedPortfolio, sequence: int) -> OrderPlan:
        """Return the plan of a portfolio, a draft."""
        elapsed = timedelta(seconds=time.monotonic() - self.started)
        return OrderPlan(
            id=f"{self.rebalance.id}/{portfolio.portfolio_id}",
            rebalance_id=self.rebalance.id,
            portfolio_id=portfolio.portfolio_id,
            place=portfolio.place,
            sequence=sequence,
            orders=planned_orders(portfolio),
            posts=(),
            cash=(portfolio.cash_before or Decimal(0)) - self.costs.reserved,
            fee_rate=self.costs.fee_rate,
            fee_per_order=self.costs.fee_per_order,
            submit=self.submit,
            correlation_id=self.correlation_id,
            user=self.user,
            created_at=self.now,
            updated_at=self.now,
            open=True,
            # The draft of a call that died before it was accepted is removed then.
            due=self.now + elapsed + ORDER_DRAFT,
            draft=self.call,
        )

    def numbered(self, plan: OrderPlan, sequence: int) -> OrderPlan:
        """Return a plan with another number."""
        return replace(plan, sequence=sequence)


def check_claims(rebalance: Rebalance, claims: dict[str, Claim]) -> None:
    """Raise `SUPERSEDED` if any portfolio has orders of another rebalance that are unfinished, or sent since."""
    calculated_at = rebalance.calculated_at or rebalance.rebalance_date
    conflicts = [
        {
            "portfolioId": portfolio_id,
            "rebalanceId": str(claim.open_for or claim.last_sent_for),
            "reason": "UNFINISHED" if claim.open_for else "SENT_LATER",
        }
        for portfolio_id, claim in claims.items()
        if claim.open_for or (claim.last_sent_at is not None and claim.last_sent_at > calculated_at)
    ]
    if conflicts:
        names = ", ".join(each["portfolioId"] for each in conflicts[:_NAMED])
        more = f" and {len(conflicts) - _NAMED} more" if len(conflicts) > _NAMED else ""
        raise OrderGenerationError(
            ErrorCode.SUPERSEDED,
            "Another rebalance has orders that are unfinished, or that were sent after this rebalance was calculated, "
            f"of {'portfolio' if len(conflicts) == 1 else 'portfolios'} {names}{more}. Nothing was planned; the other "
            "portfolios can be requested by name.",
            {"portfolios": conflicts},
        )


def costs_of(rebalance: Rebalance) -> Costs:
    """Return what reduces the money for BUYs of a rebalance.

    Raises:
        DocumentUnreadable: an amount in its rules is not a number.
    """
    try:
        return Costs.of(rebalance.rules)
    except ArithmeticError as error:
        raise DocumentUnreadable("rebalance", str(rebalance.id)) from error


def too_old(rebalance: Rebalance, max_age: timedelta) -> OrderGenerationError:
    """Return the error of a rebalance that is older than allowed."""
    hours = max_age / timedelta(hours=1)
    return OrderGenerationError(
        ErrorCode.REBALANCE_TOO_OLD,
        f"The rebalance was stored more than {hours:g} hours ago; rebalance again before you send orders.",
        {"createdAt": f"{rebalance.created_at:%Y-%m-%dT%H:%M:%SZ}", "maxAgeHours": Decimal(f"{hours:g}")},
    )
