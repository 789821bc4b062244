"""What the responses and records of all portfolios of a rebalance have in common, written once."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Final

from msgspec import Struct

from app.http.fields import TransactionType
from app.solver_task.assignment import Terms, decoded
from app.solver_task.schemas import BLANK, DriftDTO, TransactionDTO, around_blanks
from persistence import PositionForm, RebalancedPosition
from solver import Security

DRIFT_PARTS: Final = 9
"""Texts that the JSON of one drift consists of; those at the following places differ between portfolios."""
ORIGINAL, ADJUSTED, ORIGINAL_ACTUAL, ACTUAL = 1, 3, 5, 7

ZERO: Final = Decimal(0)
_REMEMBERED: Final = 16
"""Forms: those of the rebalances that are running."""


class Form(Struct, frozen=True):
    """What the portfolios of a rebalance have in common; all sequences are in the order of the model's securities.

    Attributes:
        prices: in units of 10 to the power of `-price_places`.
        targets: in units of 10 to the power of `-target_places`.
        purchases, sales: the JSON of a trade before and after its quantity.
        drifts: the JSON of all drifts, `DRIFT_PARTS` texts for each; those between them, the two quantities and the two
            weights, are empty.
        record: the BSON of the positions.
    """

    prices: tuple[int, ...]
    price_places: int
    targets: tuple[int, ...]
    target_places: int
    purchases: tuple[Sequence[str], ...]
    sales: tuple[Sequence[str], ...]
    drifts: list[str]
    record: PositionForm


@lru_cache(_REMEMBERED)
def form_of(encoded: bytes) -> Form:
    """Return the form of the portfolios with these terms."""
    terms = decoded(encoded)
    securities = tuple(zip(terms.securities, terms.tickers, strict=True))
    return Form(
        *integers([security.price for security, _ in securities]),
        *integers([security.target for security, _ in securities]),
        purchases=tuple(_trade("BUY", security, ticker, terms) for security, ticker in securities),
        sales=tuple(_trade("SELL", security, ticker, terms) for security, ticker in securities),
        drifts=_drifts([_drift(security, ticker, terms) for security, ticker in securities]),
        record=PositionForm([_position(security, ticker) for security, ticker in securities]),
    )


def integers(numbers: Sequence[Decimal]) -> tuple[tuple[int, ...], int]:
    """Return numbers in a common unit, and the decimal places of that unit."""
    exponents = [number.as_tuple().exponent for number in numbers]
    places = max((-exponent for exponent in exponents if isinstance(exponent, int) and exponent < 0), default=0)
    ratios = [number.as_integer_ratio() for number in numbers]
    return tuple(numerator * 10**places // denominator for numerator, denominator in ratios), places


def _trade(kind: TransactionType, security: Security, ticker: str | None, terms: Terms) -> Sequence[str]:
    day = date.fromisoformat(terms.trade_date)
    trade = TransactionDTO(kind, security.security_id, ticker, BLANK, security.price, day)
    return around_blanks(trade, terms.dialect)


def _drift(security: Security, ticker: str | None, terms: Terms) -> Sequence[str]:
    drift = DriftDTO(
        security.security_id,
        ticker,
        original_quantity=BLANK,
        adjusted_quantity=BLANK,
        target=security.target,
        high_drift=security.high_drift,
        low_drift=security.low_drift,
        original_actual=BLANK,
        actual=BLANK,
        restraint=None,
    )
    return around_blanks(drift, terms.dialect)


def _drifts(written: Sequence[Sequence[str]]) -> list[str]:
    parts: list[str] = []
    for start, adjusted, band, actual, end in written:
        parts += (f",{start}", "", adjusted, "", band, "", actual, "", end)
    parts[0] = parts[0].removeprefix(",")
    return parts


def _position(security: Security, ticker: str | None) -> RebalancedPosition:
    return RebalancedPosition(
        security.security_id,
        price=security.price,
        original_quantity=ZERO,
        adjusted_quantity=ZERO,
        target=security.target,
        high_drift=security.high_drift,
        low_drift=security.low_drift,
        ticker=ticker,
    )
