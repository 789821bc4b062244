"""Turns a portfolio of Decimals into integers over common denominators, and integers back into exact Decimals."""

from collections.abc import Callable, Sequence
from decimal import (
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    Rounded,
    localcontext,
)

from msgspec import Struct

from solver.problem import InvalidPortfolio, Portfolio, Security

MAGNITUDE = 64
"""Digits allowed on either side of the decimal point: far beyond money, and a bound on what one portfolio can ask."""

EXACT = Context(
    prec=1000, Emin=-999, Emax=999, traps=[Clamped, DivisionByZero, Inexact, InvalidOperation, Overflow, Rounded]
)
"""Wide enough for a sum of products of three admitted numbers, and an error rather than a rounded result beyond."""


class ScaledPortfolio(Struct, frozen=True):
    """A portfolio in whole numbers. Every list is in the order of its securities.

    Attributes:
        market_value: in units of `10 ** -money_places`.
        money_places: decimals of a money amount; at least `price_places`.
        prices: in units of `10 ** -price_places`, above 0.
        price_places: decimals of a price.
        held: whole shares held, rounded down.
        fraction_values: value of the fraction of a share held above `held`, in money units.
        targets: in units of `10 ** -target_places`.
        target_places: decimals of a target.
        low_drifts, high_drifts: in units of `10 ** -drift_places`.
        drift_places: decimals of a drift.
    """

    market_value: int
    money_places: int
    prices: list[int]
    price_places: int
    held: list[int]
    fraction_values: list[int]
    targets: list[int]
    target_places: int
    low_drifts: list[int]
    high_drifts: list[int]
    drift_places: int


def scale(portfolio: Portfolio) -> ScaledPortfolio:
    """Bring every number of a portfolio to integers.

    Raises:
        InvalidPortfolio: a number is not finite or out of range, or a security appears twice; names the field.
    """
    securities = portfolio.securities
    with localcontext(EXACT):
        try:
            prices, price_places = _integers([security.price for security in securities])
            quantities, quantity_places = _integers([security.quantity for security in securities])
            targets, target_places = _integers([security.target for security in securities])
            drifts, drift_places = _integers(
                [security.low_drift for security in securities] + [security.high_drift for security in securities]
            )
            (cash,), cash_places = _integers([portfolio.cash])
        except (ArithmeticError, ValueError):
            _refuse(portfolio)
            raise
    whole = 10**target_places
    if (
        len({security.security_id for security in securities}) < len(securities)
        or min(prices, default=1) <= 0
        or min(targets, default=0) < 0
        or max(targets, default=0) > whole
        or min(drifts, default=0) < 0
        or max(drifts, default=0) > 10**drift_places
    ):
        _refuse(portfolio)
    value_places = price_places + quantity_places
    money_places = max(value_places, cash_places)
    to_money = 10 ** (money_places - value_places)
    value = sum(quantity * price for quantity, price in zip(quantities, prices, strict=True))
    if quantity_places:
        share = 10**quantity_places
        held = [quantity // share for quantity in quantities]
        fraction_values = [
            quantity % share * price * to_money for quantity, price in zip(quantities, prices, strict=True)
        ]
    else:
        held = quantities
        fraction_values = [0] * len(quantities)
    return ScaledPortfolio(
        market_value=cash * 10 ** (money_places - cash_places) + value * to_money,
        money_places=money_places,
        prices=prices,
        price_places=price_places,
        held=held,
        fraction_values=fraction_values,
        targets=targets,
        target_places=target_places,
        low_drifts=drifts[: len(securities)],
        high_drifts=drifts[len(securities) :],
        drift_places=drift_places,
    )


def unscaled(number: int, places: int) -> Decimal:
    """`number * 10 ** -places`, exactly, whatever the caller's decimal context."""
    return EXACT.scaleb(Decimal(number), -places)


def _integers(numbers: Sequence[Decimal]) -> tuple[list[int], int]:
    """Decimals as integers over the smallest power of ten that fits all of them; the exact context must be active."""
    exponent = sum(numbers, Decimal(0)).as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MAGNITUDE:
        raise ValueError(exponent)
    places = max(0, -exponent)
    unit = Decimal(1).scaleb(places)
    integers = [int(number * unit) for number in numbers]
    if max(map(abs, integers), default=0) >= 10 ** (MAGNITUDE + places):
        raise ValueError(places)
    return integers, places


def _refuse(portfolio: Portfolio) -> None:
    """Raise for the first field that breaks a rule; called once a quick look has found that one does."""
    _require("cash", portfolio.cash, lambda _: True, "")
    seen: set[str] = set()
    for security in portfolio.securities:
        name = security.security_id
        if name in seen:
            raise InvalidPortfolio(f"security_id: {name} appears more than once")
        seen.add(name)
        _require_security(name, security)


def _require_security(name: str, security: Security) -> None:
    _require(f"price of {name}", security.price, lambda price: price > 0, "must be above 0")
    _require(f"quantity of {name}", security.quantity, lambda _: True, "")
    for field in ("target", "low_drift", "high_drift"):
        _require(f"{field} of {name}", getattr(security, field), lambda weight: 0 <= weight <= 1, "must be 0 to 1")


def _require(field: str, number: Decimal, rule: Callable[[Decimal], bool], message: str) -> None:
    if not number.is_finite():
        raise InvalidPortfolio(f"{field}: must be a finite number, is {number}")
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent < -MAGNITUDE or number.adjusted() >= MAGNITUDE:
        raise InvalidPortfolio(
            f"{field}: must have at most {MAGNITUDE} digits on either side of the point, is {number}"
        )
    if not rule(number):
        raise InvalidPortfolio(f"{field}: {message}, is {number}")
