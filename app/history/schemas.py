"""What the endpoints that read stored rebalances answer."""

from datetime import date
from decimal import Decimal

from msgspec import Struct

from app.errors.schemas import ErrorDTO
from app.http.fields import (
    Actual,
    ActualDrift,
    ExternalId,
    FinalQuantity,
    Gap,
    HighDrift,
    LowDrift,
    Moment,
    OriginalQuantity,
    Path,
    PortfolioCount,
    Price,
    ResourceId,
    Shares,
    Status,
    Target,
    TieProven,
    TransactionType,
    VersionNumber,
)
from app.solver_task.rounding import ZERO_SHARE, difference, product, share
from app.solver_task.schemas import trade_of
from persistence import Rebalance, RebalancedPortfolio, RebalancedPosition
from solver import SolutionPath


class PositionResultDTO(Struct, frozen=True, rename="camel"):
    """One security of a stored rebalance; the last three are null where nothing trades."""

    security_id: ExternalId
    price: Price | None
    original_quantity: OriginalQuantity
    adjusted_quantity: FinalQuantity
    original_position_market_value: Decimal
    adjusted_position_market_value: Decimal
    target: Target
    high_drift: HighDrift
    low_drift: LowDrift
    actual: Actual
    actual_drift: ActualDrift
    transaction_type: TransactionType | None
    trade_quantity: Shares | None
    trade_date: date | None

    @classmethod
    def of(cls, position: RebalancedPosition, market_value: Decimal, trade_date: date) -> "PositionResultDTO":
        """Show a stored position of a rebalanced portfolio."""
        trade = trade_of(position)
        price = position.price or Decimal(0)
        value = product(position.adjusted_quantity, price)
        wanted = product(position.target, market_value)
        return cls(
            security_id=position.security_id,
            price=position.price,
            original_quantity=position.original_quantity,
            adjusted_quantity=position.adjusted_quantity,
            original_position_market_value=product(position.original_quantity, price),
            adjusted_position_market_value=value,
            target=position.target,
            high_drift=position.high_drift,
            low_drift=position.low_drift,
            actual=share(value, market_value),
            actual_drift=share(difference(value, wanted), wanted) if wanted else ZERO_SHARE,
            transaction_type=None if not trade else "BUY" if trade > 0 else "SELL",
            trade_quantity=abs(trade) or None,
            trade_date=trade_date if trade else None,
        )


class PortfolioResultDTO(Struct, frozen=True, rename="camel"):
    """One portfolio of a stored rebalance; `positions` is null in a summary."""

    portfolio_id: ExternalId
    portfolio_name: str | None
    status: Status
    error: ErrorDTO | None
    market_value: Decimal | None
    cash_before_rebalance: Decimal | None
    cash_after_rebalance: Decimal | None
    positions: list[PositionResultDTO] | None

    @classmethod
    def of(cls, portfolio: RebalancedPortfolio, *, positions: bool = True) -> "PortfolioResultDTO":
        """Show a stored portfolio of a rebalance, with its positions or null in their place."""
        market_value = portfolio.market_value or Decimal(0)
        trade_date = date.fromisoformat(portfolio.trade_date)
        return cls(
            portfolio_id=portfolio.portfolio_id,
            portfolio_name=portfolio.portfolio_name,
            status=portfolio.status,
            error=ErrorDTO.of(portfolio.failure),
            market_value=portfolio.market_value,
            cash_before_rebalance=portfolio.cash_before,
            cash_after_rebalance=portfolio.cash_after,
            positions=[PositionResultDTO.of(position, market_value, trade_date) for position in portfolio.positions]
            if positions
            else None,
        )


class ProofDTO(Struct, frozen=True, rename="camel"):
    """How good the trades of a portfolio are proven to be, in exact arithmetic; null where it failed."""

    portfolio_id: ExternalId
    status: Status
    path: Path | None
    gap: Gap | None
    tie_proven: TieProven | None

    @classmethod
    def of(cls, portfolio: RebalancedPortfolio) -> "ProofDTO":
        """Show what is stored of the proof."""
        solve = portfolio.solve
        if solve is None:
            return cls(portfolio.portfolio_id, portfolio.status, path=None, gap=None, tie_proven=None)
        return cls(portfolio.portfolio_id, portfolio.status, SolutionPath(solve.path), solve.gap, solve.tie_proven)


class RebalanceResultDTO(Struct, frozen=True, rename="camel"):
    """A stored rebalance."""

    rebalance_id: ResourceId
    model_id: ResourceId
    model_name: str
    rebalance_date: Moment
    number_of_portfolios: PortfolioCount
    version: VersionNumber
    created_at: Moment
    portfolios: list[PortfolioResultDTO]

    @classmethod
    def of(cls, rebalance: Rebalance, portfolios: list[PortfolioResultDTO]) -> "RebalanceResultDTO":
        """Show a stored rebalance with the given portfolios."""
        return cls(
            rebalance_id=str(rebalance.id),
            model_id=str(rebalance.model_id),
            model_name=rebalance.model_name,
            rebalance_date=rebalance.rebalance_date,
            number_of_portfolios=rebalance.number_of_portfolios,
            version=rebalance.version,
            created_at=rebalance.created_at,
            portfolios=portfolios,
        )
