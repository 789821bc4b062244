"""What the portfolios of one request share, fixed before the first of them starts."""

from datetime import date, datetime
from typing import Protocol

from bson import ObjectId
from msgspec import Struct

from app.http.dialect import Dialect
from app.rebalancing.results import Results
from app.rebalancing.schedule import RunningRebalance
from app.rebalancing.telemetry import ObservedRebalance
from app.solver_task.assignment import Assignment


class PortfolioSource(Protocol):
    """Where the portfolios come from: the books, or the body of a stateless request."""

    async def assignment(self, index: int, portfolio_id: str) -> Assignment:
        """Return one portfolio, ready to be solved.

        Raises:
            integrations.ServiceError: an upstream failed.
            OrderGenerationError: a security has no price.
        """

    async def name(self, portfolio_id: str) -> str | None:
        """Return a portfolio's name; None if it is not known."""


class RebalanceContext(Struct, frozen=True):
    """What the portfolios of one request share.

    Attributes:
        id: of the rebalance; also names the request's lane in the solver pool.
        stored: whether the result is stored; if not, the response has no rebalance id.
        with_proof: whether the response contains the proofs.
        requested_at: UTC.
        deadline: on `time.monotonic()`.
    """

    id: ObjectId
    stored: bool
    with_proof: bool
    requested_at: datetime
    trade_date: date
    deadline: float
    dialect: Dialect
    running: RunningRebalance
    observed: ObservedRebalance
    source: PortfolioSource
    results: Results
