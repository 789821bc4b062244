"""What a solver process receives for one portfolio: what it holds, and the terms that its whole rebalance shares."""

from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from app.http.dialect import Dialect
from solver import Portfolio, Rules, Security


class Terms(Struct, frozen=True, array_like=True):
    """What all portfolios of a rebalance share.

    Attributes:
        rebalance_id: hexadecimal; None if nothing is stored.
        trade_date: ISO 8601.
        dialect: of the response.
        securities: of the model, in its order, at their prices; their quantities mean nothing.
        tickers: of the securities, in their order; None if unknown.
        rules: None for none.
        with_proof: whether the response contains the proof.
    """

    rebalance_id: str | None
    trade_date: str
    dialect: Dialect
    securities: tuple[Security, ...]
    tickers: tuple[str | None, ...]
    rules: Rules | None = None
    with_proof: bool = False


class HeldSecurity(Struct, frozen=True, array_like=True):
    """A security that a portfolio holds outside its model.

    Attributes:
        price: money per share; None if it has no price and a rule says to hold it.
    """

    security_id: str
    ticker: str | None
    price: Decimal | None
    quantity: Decimal


class Assignment(Struct, frozen=True, array_like=True):
    """One portfolio of a rebalance.

    Attributes:
        terms: encoded, the same bytes for every portfolio of the rebalance, so that a process decodes them once.
        index: 0-based index in the rebalance.
        cash: money not invested.
        quantities: shares held of the terms' securities, in their order.
        others: held outside the model, by id.
        has_balances: whether the books have any row for the portfolio.
    """

    terms: bytes
    index: int
    portfolio_id: str
    portfolio_name: str | None
    cash: Decimal
    quantities: tuple[Decimal, ...]
    others: tuple[HeldSecurity, ...]
    has_balances: bool = True

    def portfolio(self) -> Portfolio:
        """Return the problem in the solver's form; securities without a price are not part of it."""
        ids, prices, *band = _columns(self.terms)
        if len(self.quantities) != len(ids):
            raise ValueError("a portfolio has a quantity for each security of its terms")
        securities = tuple(map(Security, ids, prices, self.quantities, *band))
        others = tuple(
            Security(held.security_id, held.price, held.quantity) for held in self.others if held.price is not None
        )
        return Portfolio(securities + others, self.cash)


@lru_cache(16)
def decoded(terms: bytes) -> Terms:
    """Decode terms; those of the running rebalances are cached."""
    return msgspec.msgpack.decode(terms, type=Terms)


@lru_cache(16)
def _columns(terms: bytes) -> tuple[tuple[Any, ...], ...]:
    """Return ids, prices, targets, low drifts and high drifts of the terms' securities."""
    names = ("security_id", "price", "target", "low_drift", "high_drift")
    return tuple(tuple(getattr(security, name) for security in decoded(terms).securities) for name in names)
