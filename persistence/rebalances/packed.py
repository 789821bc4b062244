"""A stored portfolio that was read without decoding each number of its positions."""

from collections.abc import Iterator
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from persistence.documents import RebalancedPosition


class PositionTerms(Struct, frozen=True, eq=False):
    """The terms that a stored position shares with those of other portfolios; equal terms are one object.

    Attributes:
        position: the position, its quantities 0. It has a price above 0 and a target of at least 0.
        original_exponent, adjusted_exponent: power of ten of the unit of each quantity, -18 to 0.
    """

    position: RebalancedPosition
    original_exponent: int
    adjusted_exponent: int


class PackedPortfolio(Struct, frozen=True):
    """A completed portfolio without warnings and with a market value above 0, as far as responses show it.

    Attributes:
        place: 0-based place in the order of the rebalance.
        path: the method that found the result.
        terms: of each position.
        originals, adjusted: coefficients of the quantities of each position before and after, at least 0.
    """

    place: int
    portfolio_id: str
    portfolio_name: str | None
    market_value: Decimal
    cash_before: Decimal
    cash_after: Decimal
    trade_date: str
    path: str
    terms: tuple[PositionTerms, ...]
    originals: tuple[int, ...]
    adjusted: tuple[int, ...]

    @property
    def positions(self) -> Iterator[RebalancedPosition]:
        """Yield the positions."""
        for terms, original, adjusted in zip(self.terms, self.originals, self.adjusted, strict=True):
            yield replace(
                terms.position,
                original_quantity=Decimal(f"{original}E{terms.original_exponent}"),
                adjusted_quantity=Decimal(f"{adjusted}E{terms.adjusted_exponent}"),
            )
