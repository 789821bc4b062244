"""What the endpoints that read stored rebalances return."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from app.errors.codes import Details
from app.errors.schemas import ErrorDTO
from app.http.dialect import Dialect
from app.http.fields import (
    Actual,
    ActualDrift,
    Bound,
    CashAfter,
    CashBefore,
    FinalQuantity,
    FinalValue,
    Gap,
    HighDrift,
    LowDrift,
    MarketValue,
    ModelName,
    ModelReference,
    Moment,
    Objective,
    OriginalQuantity,
    OriginalValue,
    Outside,
    Path,
    PortfolioCount,
    PortfolioId,
    PortfolioName,
    PortfolioStatus,
    PositionTradeDate,
    PositionTransactionType,
    Price,
    RebalanceId,
    SecurityId,
    Shares,
    Target,
    Ticker,
    TieProven,
    TradeDate,
    TradePrice,
    TradeQuantity,
    TradeValue,
    TransactionType,
    VersionNumber,
)
from app.solver_task.rounding import ZERO_SHARE, difference, magnitude, negative, product, share
from app.solver_task.schemas import ProofDTO, trade_of
from persistence import Rebalance, RebalancedPortfolio, RebalancedPosition

ZERO = Decimal(0)


class PositionResultDTO(Struct, frozen=True, rename="camel"):
    """One security of a stored rebalance; the last three fields are null if it is not traded."""

    security_id: SecurityId
    price: Price
    original_quantity: OriginalQuantity
    adjusted_quantity: FinalQuantity
    original_position_market_value: OriginalValue
    adjusted_position_market_value: FinalValue
    target: Target
    high_drift: HighDrift
    low_drift: LowDrift
    actual: Actual
    actual_drift: ActualDrift
    transaction_type: PositionTransactionType
    trade_quantity: TradeQuantity
    trade_date: PositionTradeDate

    @classmethod
    def of(
        cls, position: RebalancedPosition, market_value: Decimal, trade_date: date, dialect: Dialect
    ) -> "PositionResultDTO":
        """Show a stored position of a rebalanced portfolio."""
        trade = trade_of(position)
        value = _value_of(position.adjusted_quantity, position.price)
        wanted = product(position.target, market_value)
        return cls(
            security_id=position.security_id,
            price=_absent(dialect) if position.price is None else position.price,
            original_quantity=position.original_quantity,
            adjusted_quantity=position.adjusted_quantity,
            original_position_market_value=_value_of(position.original_quantity, position.price) if trade else value,
            adjusted_position_market_value=value,
            target=position.target,
            high_drift=position.high_drift,
            low_drift=position.low_drift,
            actual=share(value, market_value),
            actual_drift=share(difference(value, wanted), wanted) if wanted else ZERO_SHARE,
            transaction_type=None if not trade else "BUY" if trade > 0 else "SELL",
            trade_quantity=magnitude(trade) or None,
            trade_date=trade_date if trade else None,
        )


class PortfolioResultDTO(Struct, frozen=True, rename="camel"):
    """One portfolio of a stored rebalance."""

    portfolio_id: PortfolioId
    portfolio_name: PortfolioName
    status: PortfolioStatus
    error: ErrorDTO | None
    market_value: MarketValue
    cash_before_rebalance: CashBefore
    cash_after_rebalance: CashAfter
    positions: Annotated[list[PositionResultDTO] | None, Meta(description="Its securities; null in a summary.")]

    @classmethod
    def of(cls, portfolio: RebalancedPortfolio, dialect: Dialect, *, positions: bool = True) -> "PortfolioResultDTO":
        """Show a stored portfolio of a rebalance, with its positions or null in their place."""
        market_value = portfolio.market_value or ZERO
        trade_date = date.fromisoformat(portfolio.trade_date)
        absent = _absent(dialect)
        return cls(
            portfolio_id=portfolio.portfolio_id,
            portfolio_name=portfolio.portfolio_name,
            status=portfolio.status,
            error=ErrorDTO.of(portfolio.failure),
            market_value=absent if portfolio.market_value is None else portfolio.market_value,
            cash_before_rebalance=absent if portfolio.cash_before is None else portfolio.cash_before,
            cash_after_rebalance=absent if portfolio.cash_after is None else portfolio.cash_after,
            positions=[
                PositionResultDTO.of(position, market_value, trade_date, dialect) for position in portfolio.positions
            ]
            if positions
            else None,
        )


class PortfolioProofDTO(Struct, frozen=True, rename="camel"):
    """How good the trades of a portfolio are proven to be, in exact arithmetic; null if it failed."""

    portfolio_id: PortfolioId
    status: PortfolioStatus
    path: Path | None
    gap: Gap | None
    tie_proven: TieProven | None
    objective: Objective | None
    bound: Bound | None
    outside: Outside | None

    @classmethod
    def of(cls, portfolio: RebalancedPortfolio) -> "PortfolioProofDTO":
        """Show what is stored of the proof."""
        proof = ProofDTO.of(portfolio.solve)
        return cls(
            portfolio_id=portfolio.portfolio_id,
            status=portfolio.status,
            path=proof.path,
            gap=proof.gap,
            tie_proven=proof.tie_proven,
            objective=proof.objective,
            bound=proof.bound,
            outside=proof.outside,
        )


class TradeDTO(Struct, frozen=True, rename="camel"):
    """One trade of a stored rebalance."""

    portfolio_id: PortfolioId
    portfolio_name: PortfolioName
    transaction_type: TransactionType
    security_id: SecurityId
    ticker: Ticker
    quantity: Shares
    price: TradePrice
    value: TradeValue
    trade_date: TradeDate

    @classmethod
    def all_of(cls, portfolio: RebalancedPortfolio) -> list["TradeDTO"]:
        """Show the trades of a portfolio, sales first."""
        trades = [(position, trade_of(position)) for position in portfolio.positions]
        sales = [cls._of(portfolio, position, negative(trade), "SELL") for position, trade in trades if trade < 0]
        return sales + [cls._of(portfolio, position, trade, "BUY") for position, trade in trades if trade > 0]

    @classmethod
    def _of(
        cls,
        portfolio: RebalancedPortfolio,
        position: RebalancedPosition,
        quantity: Decimal,
        transaction_type: TransactionType,
    ) -> "TradeDTO":
        assert position.price is not None, "what has no price is not traded"
        return cls(
            portfolio_id=portfolio.portfolio_id,
            portfolio_name=portfolio.portfolio_name,
            transaction_type=transaction_type,
            security_id=position.security_id,
            ticker=position.ticker,
            quantity=quantity,
            price=position.price,
            value=product(quantity, position.price),
            trade_date=date.fromisoformat(portfolio.trade_date),
        )


class RebalanceResultDTO(Struct, frozen=True, rename="camel"):
    """A stored rebalance."""

    rebalance_id: RebalanceId
    model_id: ModelReference
    model_name: ModelName
    rebalance_date: Annotated[Moment, Meta(description="When the rebalance was requested, UTC.")]
    number_of_portfolios: PortfolioCount
    rules: Annotated[
        Details | None, Meta(description="The rules as they were sent, as in a rebalance request; null if none.")
    ]
    version: VersionNumber
    created_at: Annotated[Moment, Meta(description="When the rebalance was stored, UTC.")]
    portfolios: Annotated[list[PortfolioResultDTO], Meta(description="Its portfolios, in the order of the model.")]

    @classmethod
    def of(cls, rebalance: Rebalance, portfolios: list[PortfolioResultDTO]) -> "RebalanceResultDTO":
        """Show a stored rebalance with the given portfolios."""
        return cls(
            rebalance_id=str(rebalance.id),
            model_id=str(rebalance.model_id),
            model_name=rebalance.model_name,
            rebalance_date=rebalance.rebalance_date,
            number_of_portfolios=rebalance.number_of_portfolios,
            rules=rebalance.rules,
            version=rebalance.version,
            created_at=rebalance.created_at,
            portfolios=portfolios,
        )


def _absent(dialect: Dialect) -> Decimal | None:
    """Return what stands for a number that does not exist: the suite's portal shows a null as NaN."""
    return ZERO if dialect is Dialect.GLOBECO else None


def _value_of(quantity: Decimal, price: Decimal | None) -> Decimal:
    """Return the money that shares are worth; 0 without a price, as they are no part of the market value."""
    return ZERO if price is None else product(quantity, price)
