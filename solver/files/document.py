"""A plan as plain data in the shape of the service's API: what the JSON file contains and the report renders."""

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from solver.planning.exact import EXACT, plain
from solver.planning.plan import Plan, PlannedSecurity, proof_sentence, share

_API_PLACES = 4


class TransactionDocument(Struct, frozen=True, rename="camel"):
    """An order and its reason."""

    transaction_type: str
    security_id: str
    ticker: str | None
    quantity: int | Decimal
    price: Decimal
    trade_date: date
    reason: str | None = None


class DriftDocument(Struct, frozen=True, rename="camel"):
    """A security before and after."""

    security_id: str
    ticker: str | None
    original_quantity: int | Decimal
    adjusted_quantity: int | Decimal
    target: Decimal
    high_drift: Decimal
    low_drift: Decimal
    original_actual: Decimal
    actual: Decimal
    restraint: str | None


class WarningDocument(Struct, frozen=True, rename="camel"):
    """A warning."""

    code: str
    message: str
    security_ids: tuple[str, ...]


class ProofDocument(Struct, frozen=True, rename="camel"):
    """The proof; `sentence` is it in words."""

    path: str
    gap: Decimal
    tie_proven: bool
    objective: Decimal
    bound: Decimal
    outside: Decimal
    sentence: str | None = None


class ErrorDocument(Struct, frozen=True, rename="camel"):
    """Why a portfolio has no plan."""

    code: str
    message: str


class PortfolioDocument(Struct, frozen=True, rename="camel", kw_only=True):
    """A rebalanced portfolio, with the fields of `RebalanceDTO` and its proof."""

    portfolio_id: str | None = None
    portfolio_name: str | None = None
    rebalance_id: str | None = None
    status: str
    market_value: Decimal | None
    cash_before_rebalance: Decimal | None
    cash_after_rebalance: Decimal | None
    drift_before: Decimal | None
    drift_after: Decimal | None
    turnover: Decimal | None
    fees: Decimal | None
    transactions: tuple[TransactionDocument, ...]
    drifts: tuple[DriftDocument, ...]
    warnings: tuple[WarningDocument, ...]
    error: ErrorDocument | None
    proof: ProofDocument | None


def document_of(plan: Plan, name: str | None = None) -> PortfolioDocument:
    """Return a plan as plain data."""
    return PortfolioDocument(
        portfolio_name=name,
        status="COMPLETED",
        market_value=plan.market_value,
        cash_before_rebalance=plan.cash_before,
        cash_after_rebalance=plan.cash_after,
        drift_before=plan.drift_before,
        drift_after=plan.drift_after,
        turnover=plan.turnover,
        fees=plan.fees,
        transactions=tuple(_transaction(each, plan.trade_date) for each in plan.orders),
        drifts=tuple(_drift(each, plan.market_value) for each in plan.securities),
        warnings=tuple(WarningDocument(each.code, each.message, each.security_ids) for each in plan.warnings),
        error=None,
        proof=ProofDocument(
            plan.proof.path.value,
            plan.proof.gap,
            plan.proof.tie_proven,
            plan.proof.objective,
            plan.proof.bound,
            plan.proof.outside,
            proof_sentence(plan.proof, plan.rules),
        ),
    )


def to_json(documents: tuple[PortfolioDocument, ...]) -> str:
    """Write documents as JSON with the API's fields only; every decimal is an exact number without an exponent."""
    content = msgspec.to_builtins(documents, builtin_types=(Decimal,))
    for document in content:
        for transaction in document["transactions"]:
            del transaction["reason"]
        if document["proof"] is not None:
            del document["proof"]["sentence"]
    return msgspec.json.format(msgspec.json.encode(_exact(content)), indent=2).decode() + "\n"


def _exact(content: Any) -> Any:
    if isinstance(content, Decimal):
        return msgspec.Raw(plain(content).encode())
    if isinstance(content, dict):
        return {key: _exact(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_exact(value) for value in content]
    return content


def _transaction(security: PlannedSecurity, trade_date: date) -> TransactionDocument:
    assert security.price is not None
    return TransactionDocument(
        transaction_type="BUY" if security.trade > 0 else "SELL",
        security_id=security.security_id,
        ticker=security.ticker,
        quantity=security.trade if security.trade > 0 else -security.trade,
        price=security.price,
        trade_date=trade_date,
        reason=security.reason,
    )


def _drift(security: PlannedSecurity, market_value: Decimal) -> DriftDocument:
    price = security.price or Decimal(0)
    return DriftDocument(
        security_id=security.security_id,
        ticker=security.ticker,
        original_quantity=security.quantity_before,
        adjusted_quantity=security.quantity_after,
        target=security.target,
        high_drift=security.high_drift,
        low_drift=security.low_drift,
        original_actual=share(EXACT.multiply(security.quantity_before, price), market_value, _API_PLACES),
        actual=share(EXACT.multiply(security.quantity_after, price), market_value, _API_PLACES),
        restraint=security.restraint.value if security.restraint else None,
    )
