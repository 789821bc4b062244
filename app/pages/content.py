"""What the pages show, computed from the API's own data."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import reduce

from msgspec import Struct

from app.solver_task.rounding import EXACT, difference, magnitude, product
from app.solver_task.schemas import DriftDTO, ProofDTO, RebalanceDTO
from solver import Proof, Restraint, Rules, Security, SolutionPath
from solver.files import (
    DriftDocument,
    ErrorDocument,
    PortfolioDocument,
    ProofDocument,
    TransactionDocument,
    WarningDocument,
    proof_sentence,
    reason_of,
)

ZERO = Decimal(0)
PAGE_ROWS = 100


class PortfolioRow(Struct, frozen=True):
    """A portfolio in a table.

    Attributes:
        out_of_band: securities that were outside their band before the trades.
        orders: number of trades.
        help: what would allow a portfolio that failed, or None.
    """

    portfolio: RebalanceDTO
    out_of_band: int
    orders: int
    help: str | None


class Tiles(Struct, frozen=True):
    """The figures above the table."""

    portfolios: int
    out_of_band: int
    failed: int
    orders: int
    cash_after: Decimal


def row_of(portfolio: RebalanceDTO) -> PortfolioRow:
    """Return a portfolio's row."""
    return PortfolioRow(
        portfolio,
        sum(is_outside(drift) for drift in portfolio.drifts),
        len(portfolio.transactions),
        help_of(portfolio),
    )


def worst_first(rows: Iterable[PortfolioRow]) -> list[PortfolioRow]:
    """Sort rows by the drift before the trades, those that failed first."""
    return sorted(
        rows,
        key=lambda row: (
            row.portfolio.status == "COMPLETED",
            -(row.portfolio.drift_before or ZERO),
            row.portfolio.portfolio_id,
        ),
    )


def tiles_of(rows: Sequence[PortfolioRow]) -> Tiles:
    """Add up the rows."""
    return Tiles(
        portfolios=len(rows),
        out_of_band=sum(row.out_of_band > 0 for row in rows),
        failed=sum(row.portfolio.status == "FAILED" for row in rows),
        orders=sum(row.orders for row in rows),
        cash_after=total(row.portfolio.cash_after_rebalance or ZERO for row in rows),
    )


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Add amounts without rounding."""
    return reduce(EXACT.add, amounts, ZERO)


def is_outside(drift: DriftDTO) -> bool:
    """Return whether a security was outside its drift band before the trades, by its rounded weight."""
    without_target = not drift.target and not drift.low_drift and not drift.high_drift
    if without_target:
        return abs(drift.original_quantity) >= 1
    return not drift.target - drift.low_drift <= drift.original_actual <= drift.target + drift.high_drift


def help_of(portfolio: RebalanceDTO) -> str | None:
    """Return the sentence that says what would allow a portfolio that failed."""
    error = portfolio.error
    if error is None:
        return None
    reasons = error.details.get("reasons")
    drifts = [
        f"a drift of {reason['driftNeeded']} for security {reason['securityId']}"
        for reason in (reasons if isinstance(reasons, Sequence) else ())
        if isinstance(reason, Mapping) and reason.get("driftNeeded") is not None
    ]
    if drifts:
        return f"What would allow it: {', '.join(drifts[:3])}; or the rule that drift bands are preferred."
    return None


def document_of(
    portfolio: RebalanceDTO, proof: ProofDTO | None, rules: Rules | None, *, worst_drift_first: bool = True
) -> PortfolioDocument:
    """Return a portfolio in the form that the report of `solver.files` renders, reasons and proof included.

    Args:
        portfolio: as the API shows it.
        proof: None if it is not known.
        rules: None for none.
        worst_drift_first: whether securities are sorted by |weight - target|; otherwise as in the API.
    """
    market_value = portfolio.market_value or ZERO
    drifts = list(portfolio.drifts)
    if worst_drift_first:
        drifts.sort(key=lambda drift: (-abs(drift.original_actual - drift.target), drift.security_id))
    by_id = {drift.security_id: drift for drift in drifts}
    transactions = []
    for transaction in portfolio.transactions:
        drift = by_id[transaction.security_id]
        trade = transaction.quantity if transaction.transaction_type == "BUY" else -transaction.quantity
        security = Security(
            drift.security_id,
            transaction.price,
            drift.original_quantity,
            drift.target,
            drift.low_drift,
            drift.high_drift,
        )
        restraint = Restraint(drift.restraint) if drift.restraint else None
        reason = reason_of(security, drift.adjusted_quantity, trade, restraint, market_value)
        transactions.append(
            TransactionDocument(
                transaction.transaction_type,
                transaction.security_id,
                transaction.ticker,
                transaction.quantity,
                transaction.price,
                transaction.trade_date,
                f"{reason}.",
            )
        )
    return PortfolioDocument(
        portfolio_id=portfolio.portfolio_id,
        portfolio_name=portfolio.portfolio_name,
        rebalance_id=portfolio.rebalance_id,
        status=portfolio.status,
        market_value=portfolio.market_value,
        cash_before_rebalance=portfolio.cash_before_rebalance,
        cash_after_rebalance=portfolio.cash_after_rebalance,
        drift_before=portfolio.drift_before,
        drift_after=portfolio.drift_after,
        turnover=portfolio.turnover,
        fees=portfolio.fees,
        transactions=tuple(transactions),
        drifts=tuple(
            DriftDocument(
                drift.security_id,
                drift.ticker,
                drift.original_quantity,
                drift.adjusted_quantity,
                drift.target,
                drift.high_drift,
                drift.low_drift,
                drift.original_actual,
                drift.actual,
                drift.restraint,
            )
            for drift in drifts
        ),
        warnings=tuple(
            WarningDocument(warning.code, warning.message, tuple(warning.security_ids))
            for warning in portfolio.warnings
        ),
        error=None if portfolio.error is None else ErrorDocument(portfolio.error.code, portfolio.error.message),
        proof=_proof(proof, rules),
    )


def _proof(proof: ProofDTO | None, rules: Rules | None) -> ProofDocument | None:
    if proof is None or proof.path is None or proof.gap is None or proof.tie_proven is None:
        return None
    if proof.objective is None or proof.bound is None or proof.outside is None:
        return None
    proven = Proof(SolutionPath(proof.path), proof.gap, proof.tie_proven, proof.objective, proof.bound, proof.outside)
    sentence = proof_sentence(proven, rules or Rules())
    return ProofDocument(proof.path, proof.gap, proof.tie_proven, proof.objective, proof.bound, proof.outside, sentence)


def leftover_of(portfolio: RebalanceDTO) -> str | None:
    """Explain the money that is left over after the trades."""
    cash, value = portfolio.cash_after_rebalance, portfolio.market_value
    if cash is None or not value:
        return None
    uninvested = difference(Decimal(1), total(drift.target for drift in portfolio.drifts))
    planned = product(uninvested, value)
    rest = difference(cash, planned)
    if not rest:
        return None
    side = "more" if rest > 0 else "less"
    return (
        f"The targets leave {planned:,.2f} uninvested; because of whole shares, bands and rules, "
        f"{magnitude(rest):,.2f} {side} remains as cash."
    )
