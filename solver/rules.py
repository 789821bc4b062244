"""The rules that a portfolio may be rebalanced by; without any, it is brought as close to its targets as possible."""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

ZERO, ONE = Decimal(0), Decimal(1)

MAGNITUDE = 64
"""Digits allowed on either side of the decimal point."""


class InvalidRules(ValueError):
    """A rule is out of range, or an id appears twice in a list of them.

    Attributes:
        faults: what is wrong, one sentence for each rule.
    """

    def __init__(self, *faults: str) -> None:
        """Join the sentences to a message."""
        self.faults = faults
        super().__init__("; ".join(faults))


class Goal(StrEnum):
    """What a rebalance minimises."""

    TARGET = "TARGET"
    """The distance to the targets and the fees."""
    BAND = "BAND"
    """The money traded and the fees; after them, the distance to the targets."""


class Bands(StrEnum):
    """How strict the drift bands are."""

    REQUIRED = "REQUIRED"
    """No security is outside its band, except one that a rule keeps there."""
    PREFERRED = "PREFERRED"
    """As little money as possible is outside the bands; a band never makes the portfolio infeasible."""


class Direction(StrEnum):
    """The trades that are allowed in the whole portfolio."""

    BOTH = "BOTH"
    BUY_ONLY = "BUY_ONLY"
    SELL_ONLY = "SELL_ONLY"


class TradeScope(StrEnum):
    """The securities that may be traded."""

    ALL = "ALL"
    OUT_OF_BAND = "OUT_OF_BAND"
    """Only the securities that are outside their band before the rebalance."""


class Unpriced(StrEnum):
    """What becomes of a security that is held outside the model and has no price."""

    FAIL = "FAIL"
    HOLD = "HOLD"
    """It stays as held and is no part of the market value."""


class Restraint(StrEnum):
    """The rule that kept a security from a better quantity, in the order in which rules are named."""

    DO_NOT_TRADE = "DO_NOT_TRADE"
    DO_NOT_BUY = "DO_NOT_BUY"
    DO_NOT_SELL = "DO_NOT_SELL"
    BUY_ONLY = "BUY_ONLY"
    SELL_ONLY = "SELL_ONLY"
    IN_BAND = "IN_BAND"
    MINIMUM_TRADE = "MINIMUM_TRADE"
    UNPRICED = "UNPRICED"


class LotSize(Struct, frozen=True, kw_only=True):
    """The lot size of one security.

    Attributes:
        security_id: the security.
        lot_size: shares, above 0; its trades are multiples of it.
    """

    security_id: str
    lot_size: Decimal


class Rules(Struct, frozen=True, kw_only=True, cache_hash=True):
    """The rules of one rebalance. Each default changes nothing; ids that the portfolio does not contain are ignored.

    Attributes:
        goal: what is minimised.
        bands: how strict the drift bands are.
        direction: `BUY_ONLY` and `SELL_ONLY` rule out all other trades.
        trade: the securities that may be traded.
        do_not_trade, do_not_buy, do_not_sell: security ids.
        minimum_trade_value: money; no smaller order is allowed, except one that closes a position.
        lot_size: shares; trades are multiples of it.
        lot_sizes: lot sizes of single securities, instead of `lot_size`.
        minimum_cash: money that remains as cash.
        withdrawal: money to be raised; it is no part of the market value that the targets refer to.
        fee_rate: cost of an order as a share of its value, below 1.
        fee_per_order: cost of an order, money.
        unpriced: applied by callers; `solve` itself requires a price for every security.
        acceptable_gap: share of the market value, 0 to 1; at the time limit, a verified result whose gap is at most
            this counts as completed.

    Raises:
        InvalidRules: a value is out of range or an id is repeated; names the rule.
    """

    goal: Goal = Goal.TARGET
    bands: Bands = Bands.REQUIRED
    direction: Direction = Direction.BOTH
    trade: TradeScope = TradeScope.ALL
    do_not_trade: tuple[str, ...] = ()
    do_not_buy: tuple[str, ...] = ()
    do_not_sell: tuple[str, ...] = ()
    minimum_trade_value: Decimal = ZERO
    lot_size: Decimal = ONE
    lot_sizes: tuple[LotSize, ...] = ()
    minimum_cash: Decimal = ZERO
    withdrawal: Decimal = ZERO
    fee_rate: Decimal = ZERO
    fee_per_order: Decimal = ZERO
    unpriced: Unpriced = Unpriced.FAIL
    acceptable_gap: Decimal = ZERO

    def __post_init__(self) -> None:
        """Check every value; msgspec calls this after decoding, too."""
        for field, kind in _TYPES:
            if not isinstance(getattr(self, field), kind):
                value = getattr(self, field)
                raise InvalidRules(f"{field}: must be a {kind.__name__}, is {value!r} of type {type(value).__name__}")
        for field in ("minimum_trade_value", "minimum_cash", "withdrawal", "fee_rate", "fee_per_order"):
            _require_finite(field, getattr(self, field))
            if getattr(self, field) < 0:
                raise InvalidRules(f"{field}: must be 0 or more, is {getattr(self, field)}")
        if self.fee_rate >= 1:
            raise InvalidRules(f"fee_rate: must be at least 0 and below 1, is {self.fee_rate}")
        _require_finite("acceptable_gap", self.acceptable_gap)
        if not 0 <= self.acceptable_gap <= 1:
            raise InvalidRules(f"acceptable_gap: must be 0 to 1, is {self.acceptable_gap}")
        _require_lot("lot_size", self.lot_size)
        for lot in self.lot_sizes:
            if not isinstance(lot, LotSize):
                raise InvalidRules(f"lot_sizes: must be a tuple of LotSize, contains a {type(lot).__name__}")
            _require_lot(f"lot_size of {lot.security_id}", lot.lot_size)
        _require_distinct("lot_sizes", [lot.security_id for lot in self.lot_sizes])
        for field in ("do_not_trade", "do_not_buy", "do_not_sell"):
            _require_distinct(field, getattr(self, field))


_TYPES = (
    ("goal", Goal),
    ("bands", Bands),
    ("direction", Direction),
    ("trade", TradeScope),
    ("unpriced", Unpriced),
    ("do_not_trade", tuple),
    ("do_not_buy", tuple),
    ("do_not_sell", tuple),
    ("lot_sizes", tuple),
)


def _require_finite(field: str, number: Decimal) -> None:
    if not isinstance(number, Decimal):
        raise InvalidRules(f"{field}: must be a Decimal, is {number!r} of type {type(number).__name__}")
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        raise InvalidRules(f"{field}: must be a finite number, is {number}")
    if exponent < -MAGNITUDE or number.adjusted() >= MAGNITUDE:
        raise InvalidRules(f"{field}: must have at most {MAGNITUDE} digits on either side of the point, is {number}")


def _require_lot(field: str, lot: Decimal) -> None:
    _require_finite(field, lot)
    if lot <= 0:
        raise InvalidRules(f"{field}: must be above 0, is {lot}")


def _require_distinct(field: str, ids: Sequence[str]) -> None:
    seen: set[str] = set()
    for security_id in ids:
        if security_id in seen:
            raise InvalidRules(f"{field}: {security_id} appears more than once")
        seen.add(security_id)
