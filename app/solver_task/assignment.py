"""What a solver process is told of one portfolio: what it holds, and the terms that its whole rebalance shares."""

from decimal import Decimal
from functools import lru_cache

import msgspec
from msgspec import Struct

from app.http.dialect import Dialect
from solver import Portfolio, Security


class Terms(Struct, frozen=True, array_like=True):
    """What all portfolios of a rebalance share.

    Attributes:
        rebalance_id: hexadecimal.
        trade_date: ISO 8601.
        dialect: of the answer.
        securities: of the model, in its order, at their price; their quantity says nothing.
    """

    rebalance_id: str
    trade_date: str
    dialect: Dialect
    securities: tuple[Security, ...]


class Assignment(Struct, frozen=True, array_like=True):
    """One portfolio of a rebalance.

    Attributes:
        terms: encoded, the same bytes for every portfolio of the rebalance, so that a process decodes them once.
        place: 0-based place in the rebalance.
        cash: money not invested.
        quantities: shares held of the terms' securities, in their order.
        others: securities held outside the model, by id.
    """

    terms: bytes
    place: int
    portfolio_id: str
    portfolio_name: str | None
    cash: Decimal
    quantities: tuple[Decimal, ...]
    others: tuple[Security, ...]

    def portfolio(self) -> Portfolio:
        """Put the problem together that the solver takes."""
        in_model = zip(decoded(self.terms).securities, self.quantities, strict=True)
        securities = tuple(
            Security(each.security_id, each.price, quantity, each.target, each.low_drift, each.high_drift)
            for each, quantity in in_model
        )
        return Portfolio(securities + self.others, self.cash)


@lru_cache(16)
def decoded(terms: bytes) -> Terms:
    """Decode terms; those of the rebalances under way are remembered."""
    return msgspec.msgpack.decode(terms, type=Terms)
