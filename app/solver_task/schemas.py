"""What a rebalance answers for a portfolio, computed from its record, so that an answer and its replay agree."""

from datetime import date
from decimal import Decimal

from msgspec import Struct

from app.errors.schemas import ErrorDTO
from app.http.dialect import Dialect
from app.http.exact_json import encode
from app.http.fields import (
    Actual,
    ExternalId,
    FinalQuantity,
    HighDrift,
    LowDrift,
    OriginalQuantity,
    ResourceId,
    Shares,
    Status,
    Target,
    TransactionType,
)
from app.solver_task.rounding import difference, product, share
from persistence import RebalancedPortfolio, RebalancedPosition


class TransactionDTO(Struct, frozen=True, rename="camel"):
    """An order to buy or sell whole shares."""

    transaction_type: TransactionType
    security_id: ExternalId
    quantity: Shares
    trade_date: date


class DriftDTO(Struct, frozen=True, rename="camel"):
    """Where a security stands before and after."""

    security_id: ExternalId
    original_quantity: OriginalQuantity
    adjusted_quantity: FinalQuantity
    target: Target
    high_drift: HighDrift
    low_drift: LowDrift
    actual: Actual


class RebalanceDTO(Struct, frozen=True, rename="camel"):
    """What a rebalance asks of one portfolio, or why it could not be rebalanced."""

    portfolio_id: ExternalId
    portfolio_name: str | None
    rebalance_id: ResourceId
    status: Status
    market_value: Decimal | None
    cash_before_rebalance: Decimal | None
    cash_after_rebalance: Decimal | None
    transactions: list[TransactionDTO]
    drifts: list[DriftDTO]
    error: ErrorDTO | None

    @classmethod
    def of(cls, portfolio: RebalancedPortfolio) -> "RebalanceDTO":
        """Show a portfolio of a rebalance."""
        market_value = portfolio.market_value or Decimal(0)
        trade_date = date.fromisoformat(portfolio.trade_date)
        trades = [(position.security_id, trade_of(position)) for position in portfolio.positions]
        sales = [TransactionDTO("SELL", each, -trade, trade_date) for each, trade in trades if trade < 0]
        purchases = [TransactionDTO("BUY", each, trade, trade_date) for each, trade in trades if trade > 0]
        return cls(
            portfolio_id=portfolio.portfolio_id,
            portfolio_name=portfolio.portfolio_name,
            rebalance_id=str(portfolio.rebalance_id),
            status=portfolio.status,
            market_value=portfolio.market_value,
            cash_before_rebalance=portfolio.cash_before,
            cash_after_rebalance=portfolio.cash_after,
            transactions=sales + purchases,
            drifts=[
                DriftDTO(
                    position.security_id,
                    position.original_quantity,
                    position.adjusted_quantity,
                    position.target,
                    position.high_drift,
                    position.low_drift,
                    share(product(position.adjusted_quantity, position.price or Decimal(0)), market_value),
                )
                for position in portfolio.positions
            ],
            error=ErrorDTO.of(portfolio.failure),
        )


def portfolio_json(portfolio: RebalancedPortfolio, dialect: Dialect) -> bytes:
    """Encode a portfolio's part of the response as JSON."""
    return encode(dialect.spell(RebalanceDTO.of(portfolio)))


def trade_of(position: RebalancedPosition) -> int:
    """Whole shares traded: positive bought, negative sold."""
    return int(difference(position.adjusted_quantity, position.original_quantity))
