"""What a portfolio can hold, and the special portfolios that every world has one of."""

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

_ZERO = Decimal(0)
_SOLD_PREFIX = "5f000000"
_THOUSAND_ROWS = 1200


class SpecialCase(StrEnum):
    """A portfolio that every world has one of, besides the regular ones that hold only cash."""

    UNFUNDED = "unfunded"
    """No rows at all."""
    UNPRICED_HOLDING = "unpriced-holding"
    """Holds a security that has no price."""
    SMALL = "small"
    """10,000 in cash: one share of `World.expensive_security` is too coarse for a drift of .005."""
    MANY_ROWS = "many-rows"
    """Up to 60 holdings, more than the default page: the cash is on the second one."""
    THOUSAND_ROWS = "thousand-rows"
    """1,200 rows besides cash, more than the largest page; those beyond the priced securities are rows of zeros."""
    ZERO_ROWS = "zero-rows"
    """Rows of 0/0 of securities that were sold, unpriced ones among them."""
    FRACTIONAL = "fractional"
    """Fractions of shares, up to 8 decimals."""
    SHORT = "short"
    """Owes shares of one security."""
    OVERDRAWN = "overdrawn"
    """Negative cash, worth more than it owes."""
    NEGATIVE_VALUE = "negative-value"
    """Owes more than it owns."""
    INVESTED = "invested"
    """Holds the first ten priced securities."""
    OUTSIDE = "outside"
    """Holds the last five priced securities, which a model of the first ones does not want."""


class Security(Struct, frozen=True):
    """A security and the mean of its price in cents; None if it has no price."""

    security_id: str
    ticker: str
    description: str
    mean: int | None


class Holding(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Shares held of one security: negative when short, 0 for a row that remained after a sale."""

    security_id: str
    quantity: Decimal

    def __post_init__(self) -> None:
        """Refuse what cannot be held.

        Raises:
            ValueError: the quantity is not a number.
        """
        if not self.quantity.is_finite():
            raise ValueError("a quantity must be a number")


class Holdings(Struct, frozen=True):
    """The holdings of a portfolio; `cash` is None if there is no cash row."""

    cash: Decimal | None = None
    holdings: tuple[Holding, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be held.

        Raises:
            ValueError: the cash is not a number.
        """
        if self.cash is not None and not self.cash.is_finite():
            raise ValueError("cash must be a number")


def special_holdings(securities: tuple[Security, ...]) -> dict[SpecialCase, Holdings]:
    """Build the special portfolios from a world's securities, of which at least 20 have a price and one has none."""
    priced = tuple(security for security in securities if security.mean is not None)
    unpriced = next(security.security_id for security in securities if security.mean is None)
    fractions = zip(priced, ("10.5", "0.25", "123.12345678"), strict=False)
    many = _worth(priced[:_THOUSAND_ROWS], 5_000)
    sold = tuple(Holding(f"{_SOLD_PREFIX}{row:016x}", _ZERO) for row in range(_THOUSAND_ROWS - len(many)))
    return {
        SpecialCase.UNFUNDED: Holdings(),
        SpecialCase.UNPRICED_HOLDING: Holdings(
            Decimal(250_000), (*_worth(priced[:2], 20_000), Holding(unpriced, Decimal(100)))
        ),
        SpecialCase.SMALL: Holdings(Decimal(10_000)),
        SpecialCase.MANY_ROWS: Holdings(Decimal("123456.78"), many[:60]),
        SpecialCase.THOUSAND_ROWS: Holdings(Decimal("500000.5"), many + sold),
        SpecialCase.ZERO_ROWS: Holdings(
            Decimal(300_000),
            _worth(priced[:3], 20_000) + tuple(Holding(row.security_id, _ZERO) for row in securities[-10:]),
        ),
        SpecialCase.FRACTIONAL: Holdings(
            Decimal("200000.55"), tuple(Holding(security.security_id, Decimal(part)) for security, part in fractions)
        ),
        SpecialCase.SHORT: Holdings(
            Decimal(500_000), (Holding(priced[0].security_id, Decimal(-50)), *_worth(priced[1:3], 30_000))
        ),
        SpecialCase.OVERDRAWN: Holdings(Decimal("-2500.75"), _worth(priced[:5], 50_000)),
        SpecialCase.NEGATIVE_VALUE: Holdings(Decimal(-1_000_000), _worth(priced[:1], 10_000)),
        SpecialCase.INVESTED: Holdings(Decimal("40000.25"), _worth(priced[:10], 60_000)),
        SpecialCase.OUTSIDE: Holdings(Decimal(100_000), _worth(priced[-5:], 80_000)),
    }


def _worth(securities: tuple[Security, ...], money: int) -> tuple[Holding, ...]:
    """Whole shares of each security worth about this much at the mean price, at least one."""
    return tuple(
        Holding(security.security_id, Decimal(max(1, money * 100 // security.mean)))
        for security in securities
        if security.mean is not None
    )
