"""Reads and computes for the pages through the services of the API."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
from bson import ObjectId
from msgspec import Struct

from app.errors.codes import ErrorCode, OrderGenerationError
from app.http.dialect import Dialect
from app.orders.schemas import OrderSubmissionDTO
from app.orders.submission import OrderSubmission
from app.pages.content import PortfolioRow, row_of, total, worst_first
from app.rebalancing.schemas import RebalanceRequest
from app.rebalancing.service import RebalanceService
from app.solver_task.schemas import OptimizationDTO, ProofDTO, rebalance_dto
from persistence import Database, DocumentUnreadable, Model, Rebalance, RebalancedPortfolio

ZERO = Decimal(0)
IN_PROGRESS_SECONDS = 0.25


class Previewed(Struct, frozen=True):
    """A preview: the rows, worst drift first, and the proofs by portfolio id."""

    rows: list[PortfolioRow]
    proofs: dict[str, ProofDTO]


class Summary(Struct, frozen=True):
    """The figures of a stored rebalance."""

    portfolios: int
    failed: int
    drift_before: Decimal | None
    drift_after: Decimal | None
    fees: Decimal
    cash_after: Decimal


async def preview(
    rebalances: RebalanceService,
    model: Model,
    request: RebalanceRequest,
    dialect: Dialect,
    on_result: Callable[[], None],
) -> Previewed:
    """Compute what a rebalance would do now; nothing is stored.

    Args:
        rebalances: the service of the API.
        model: whose portfolios.
        request: a preview with its rules.
        dialect: of the service.
        on_result: called after each portfolio.
    """
    rows, proofs = [], {}
    for part in await rebalances.preview(model, request, on_result):
        shown = _decoded(part, OptimizationDTO, dialect)
        rows.append(row_of(shown))
        proofs[shown.portfolio_id] = shown.proof
        # A thousand portfolios take a while to decode, and other requests need their turn.
        await asyncio.sleep(0)
    return Previewed(worst_first(rows), proofs)


async def rebalance(
    rebalances: RebalanceService, model_id: ObjectId, request: RebalanceRequest, key: str
) -> str | None:
    """Rebalance a model once for a key, however often the form is sent; return the id of the stored rebalance.

    Returns:
        None if the model has no portfolios.

    Raises:
        OrderGenerationError: nothing was stored.
    """
    while True:
        try:
            body = await rebalances.rebalance_model(model_id, request, key)
        except OrderGenerationError as error:
            if error.code is ErrorCode.IDEMPOTENCY_IN_PROGRESS:
                await asyncio.sleep(IN_PROGRESS_SECONDS)
                continue
            # A rebalance in which every portfolio failed is stored, and its report says why.
            if stored := error.details.get("rebalanceId"):
                return str(stored)
            raise
        parts = list(body.parts())
        body.close()
        if not parts:
            return None
        first = msgspec.json.decode(parts[0], type=dict[str, msgspec.Raw])
        return str(msgspec.json.decode(first.get("rebalanceId", first.get("rebalance_id", msgspec.Raw(b"null")))))


async def summary_of(database: Database, rebalance: Rebalance) -> tuple[Summary, list[str]]:
    """Return the figures of a stored rebalance, and its portfolios, worst drift first."""
    found: list[RebalancedPortfolio] = [
        portfolio
        async for portfolio in database.rebalances.portfolios(rebalance, positions=False, skip_unreadable=True)
    ]
    found.sort(key=lambda each: (each.status == "COMPLETED", -(each.drift_before or ZERO), each.portfolio_id))
    summary = Summary(
        portfolios=len(found),
        failed=sum(portfolio.status == "FAILED" for portfolio in found),
        drift_before=max((each.drift_before for each in found if each.drift_before is not None), default=None),
        drift_after=max((each.drift_after for each in found if each.drift_after is not None), default=None),
        fees=total(portfolio.fees or ZERO for portfolio in found),
        cash_after=total(portfolio.cash_after or ZERO for portfolio in found),
    )
    return summary, [portfolio.portfolio_id for portfolio in found]


async def portfolios_of(
    database: Database, rebalance_id: ObjectId, portfolio_ids: list[str]
) -> tuple[list[tuple[PortfolioRow, ProofDTO]], int]:
    """Return stored portfolios with their positions, in the given order, and how many of them cannot be read."""
    rows, unreadable = [], 0
    for portfolio_id in portfolio_ids:
        try:
            portfolio = await database.rebalances.portfolio(rebalance_id, portfolio_id)
        except DocumentUnreadable:
            unreadable += 1
            continue
        if portfolio is not None:
            rows.append((row_of(rebalance_dto(portfolio)), ProofDTO.of(portfolio.solve)))
    return rows, unreadable


async def count_trades(database: Database, rebalance: Rebalance) -> int:
    """Count the trades of a stored rebalance."""
    count = 0
    async for portfolio in database.rebalances.portfolios(rebalance, skip_unreadable=True):
        count += sum(each.adjusted_quantity != each.original_quantity for each in portfolio.positions)
    return count


async def orders_of(submission: OrderSubmission, rebalance_id: ObjectId, dialect: Dialect) -> OrderSubmissionDTO | None:
    """Return the recorded state of a rebalance's orders; None if none were ever requested."""
    try:
        state = await submission.get(rebalance_id)
    except OrderGenerationError as error:
        if error.code is ErrorCode.NOT_FOUND:
            return None
        raise
    return _decoded(b"".join([chunk async for chunk in state.chunks()]), OrderSubmissionDTO, dialect)


def _decoded[T](body: bytes, kind: type[T], dialect: Dialect) -> T:
    """Decode what the API would send."""
    content: Any = _decoder(dialect.type_of(kind)).decode(body)
    decoded: T = dialect.understand(content, kind) if dialect is Dialect.GLOBECO else content
    return decoded


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    # The hooks are for the details of errors, which can hold any JSON value; their numbers stay exact.
    return msgspec.json.Decoder(kind, dec_hook=lambda _, value: value, float_hook=Decimal)
