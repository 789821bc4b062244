"""The response for one portfolio, computed from its record, so that a response and its replay agree."""

from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import Struct

from app.errors.schemas import ErrorDTO
from app.http.dialect import Dialect
from app.http.exact_json import encode
from app.http.fields import (
    Actual,
    Bound,
    CashAfter,
    CashBefore,
    DriftAfter,
    DriftBefore,
    Fees,
    FinalQuantity,
    Gap,
    HighDrift,
    LowDrift,
    MarketValue,
    Objective,
    OriginalActual,
    OriginalQuantity,
    Outside,
    Path,
    PortfolioName,
    PortfolioReference,
    PortfolioStatus,
    RebalanceReference,
    RestraintName,
    SecurityReference,
    Shares,
    Target,
    Ticker,
    TieProven,
    TradeDate,
    TradePrice,
    TransactionType,
    Turnover,
    WarningCode,
    WarningMessage,
    WarningSecurities,
)
from app.solver_task.rounding import difference, negative, shares, shortest
from app.solver_task.valuation import Valuation, valuation
from persistence import PortfolioWarning, RebalancedPortfolio, RebalancedPosition, Solve
from solver import SolutionPath

ZERO = Decimal(0)
WHOLE = Decimal(1)
BLANK: Final[Any] = msgspec.Raw(b"\0")
"""Stands for a value that is written later: the byte is in no JSON, which has an escape sequence for the character."""


class TransactionDTO(Struct, frozen=True, rename="camel"):
    """A trade: shares of one security to buy or sell."""

    transaction_type: TransactionType
    security_id: SecurityReference
    ticker: Ticker
    quantity: Shares
    price: TradePrice
    trade_date: TradeDate


class DriftDTO(Struct, frozen=True, rename="camel"):
    """A security's quantities and weights before and after the trades."""

    security_id: SecurityReference
    ticker: Ticker
    original_quantity: OriginalQuantity
    adjusted_quantity: FinalQuantity
    target: Target
    high_drift: HighDrift
    low_drift: LowDrift
    original_actual: OriginalActual
    actual: Actual
    restraint: RestraintName


class WarningDTO(Struct, frozen=True, rename="camel"):
    """A warning about a completed portfolio."""

    code: WarningCode
    message: WarningMessage
    security_ids: WarningSecurities

    @classmethod
    def of(cls, warning: PortfolioWarning) -> "WarningDTO":
        """Show a stored warning."""
        return cls(warning.code, warning.message, list(warning.security_ids))


class ProofDTO(Struct, frozen=True, rename="camel"):
    """How good the trades of a portfolio are proven to be, in exact arithmetic; null if it failed."""

    path: Path | None
    gap: Gap | None
    tie_proven: TieProven | None
    objective: Objective | None
    bound: Bound | None
    outside: Outside | None

    @classmethod
    def of(cls, solve: Solve | None) -> "ProofDTO":
        """Show what is stored of a proof."""
        if solve is None:
            return cls(path=None, gap=None, tie_proven=None, objective=None, bound=None, outside=None)
        return cls(
            path=SolutionPath(solve.path),
            gap=solve.gap,
            tie_proven=solve.tie_proven,
            objective=solve.objective,
            bound=solve.bound,
            outside=solve.outside,
        )


class RebalanceDTO(Struct, frozen=True, rename="camel"):
    """The trades of one portfolio, or why it could not be rebalanced."""

    portfolio_id: PortfolioReference
    portfolio_name: PortfolioName
    rebalance_id: RebalanceReference
    status: PortfolioStatus
    market_value: MarketValue
    cash_before_rebalance: CashBefore
    cash_after_rebalance: CashAfter
    drift_before: DriftBefore
    drift_after: DriftAfter
    turnover: Turnover
    fees: Fees
    transactions: list[TransactionDTO]
    drifts: list[DriftDTO]
    warnings: list[WarningDTO]
    error: ErrorDTO | None


class OptimizationDTO(RebalanceDTO, frozen=True, rename="camel"):
    """The trades of one portfolio of a stateless optimisation with their proof, or why there are none."""

    proof: ProofDTO


def rebalance_dto(
    portfolio: RebalancedPortfolio, *, stored: bool = True, values: Valuation | None = None
) -> RebalanceDTO:
    """Show a portfolio of a rebalance.

    Args:
        portfolio: its record.
        stored: whether it is kept; otherwise the response has no rebalance id.
        values: the valuation of its positions, if it is known.
    """
    values = values or valuation(portfolio.positions)
    return _shown(portfolio, _transactions(portfolio, values), _drifts(portfolio, values), stored=stored)


def _shown(
    portfolio: RebalancedPortfolio, transactions: list[TransactionDTO], drifts: list[DriftDTO], *, stored: bool
) -> RebalanceDTO:
    return RebalanceDTO(
        portfolio_id=portfolio.portfolio_id,
        portfolio_name=portfolio.portfolio_name,
        rebalance_id=str(portfolio.rebalance_id) if stored else None,
        status=portfolio.status,
        market_value=portfolio.market_value,
        cash_before_rebalance=portfolio.cash_before,
        cash_after_rebalance=portfolio.cash_after,
        drift_before=portfolio.drift_before,
        drift_after=portfolio.drift_after,
        turnover=portfolio.turnover,
        fees=portfolio.fees,
        transactions=transactions,
        drifts=drifts,
        warnings=[WarningDTO.of(warning) for warning in portfolio.warnings],
        error=ErrorDTO.of(portfolio.failure),
    )


def portfolio_json(
    portfolio: RebalancedPortfolio,
    dialect: Dialect,
    *,
    stored: bool = True,
    with_proof: bool = False,
    values: Valuation | None = None,
) -> bytes:
    """Encode a portfolio's part of the response as JSON; the arguments are those of `rebalance_dto`."""
    shown = rebalance_dto(portfolio, stored=stored, values=values)
    return encode(dialect.spell(_proven(shown, portfolio.solve) if with_proof else shown))


def json_around_positions(
    portfolio: RebalancedPortfolio, dialect: Dialect, *, stored: bool, with_proof: bool
) -> list[str]:
    """Return the three texts around the arrays of trades and drifts in the JSON that `portfolio_json` returns."""
    shown = _shown(portfolio, BLANK, BLANK, stored=stored)
    return around_blanks(_proven(shown, portfolio.solve) if with_proof else shown, dialect)


def around_blanks(content: Struct, dialect: Dialect) -> list[str]:
    """Encode content of a response as JSON, and return the texts around its blanks."""
    return encode(dialect.spell(content)).decode().split("\0")


def _proven(shown: RebalanceDTO, solve: Solve | None) -> OptimizationDTO:
    fields = {name: getattr(shown, name) for name in RebalanceDTO.__struct_fields__}
    return OptimizationDTO(**fields, proof=ProofDTO.of(solve))


def trade_of(position: RebalancedPosition) -> Decimal:
    """Return the shares traded, positive if bought and negative if sold, without trailing zeros."""
    return _without_zeros(difference(position.adjusted_quantity, position.original_quantity))


def _without_zeros(trade: Decimal) -> Decimal:
    if trade.same_quantum(WHOLE):
        return trade
    whole = int(trade)
    return Decimal(whole) if whole == trade else shortest(trade)


def _drifts(portfolio: RebalancedPortfolio, values: Valuation) -> list[DriftDTO]:
    market_value = portfolio.market_value or ZERO
    originals, adjusted = (shares(each, market_value) for each in (values.original_values, values.adjusted_values))
    return [
        DriftDTO(
            position.security_id,
            position.ticker,
            position.original_quantity,
            position.adjusted_quantity,
            position.target,
            position.high_drift,
            position.low_drift,
            original_actual,
            actual,
            position.restraint,
        )
        for position, original_actual, actual in zip(portfolio.positions, originals, adjusted, strict=True)
    ]


def _transactions(portfolio: RebalancedPortfolio, values: Valuation) -> list[TransactionDTO]:
    """Show the trades, sales first."""
    trade_date = date.fromisoformat(portfolio.trade_date)
    sales: list[TransactionDTO] = []
    purchases: list[TransactionDTO] = []
    for position, trade in zip(portfolio.positions, values.trades, strict=True):
        if not trade:
            continue
        assert position.price is not None, "what has no price is not traded"
        kind: TransactionType = "BUY" if trade > 0 else "SELL"
        quantity = _without_zeros(trade if trade > 0 else negative(trade))
        shown = TransactionDTO(kind, position.security_id, position.ticker, quantity, position.price, trade_date)
        (purchases if trade > 0 else sales).append(shown)
    return sales + purchases
