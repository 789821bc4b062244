"""Explains a portfolio that has no whole-share answer: every reason, as data and as a sentence."""

from decimal import Decimal

from solver.bounds import ShareBounds
from solver.problem import (
    CashShortfall,
    InfeasibleReason,
    Minimum,
    NegativeMarketValue,
    NoWholeShare,
    Portfolio,
    Security,
)
from solver.scaling import EXACT, ScaledPortfolio, unscaled

SHARE_PLACES = 12
WEIGHT_PLACES = 6


def reasons(portfolio: Portfolio, scaled: ScaledPortfolio, bounds: ShareBounds) -> tuple[InfeasibleReason, ...]:
    """Every reason why no whole shares satisfy the bands and the cash; empty if and only if some do."""
    if scaled.market_value < 0:
        return (NegativeMarketValue(market_value=unscaled(scaled.market_value, scaled.money_places)),)
    found: list[InfeasibleReason] = [
        _no_whole_share(security, scaled, bounds, index)
        for index, security in enumerate(portfolio.securities)
        if bounds.lowest[index] > bounds.highest[index]
    ]
    missing = least_value(scaled, bounds) - scaled.market_value
    if missing > 0:
        found.append(_cash_shortfall(portfolio, scaled, bounds, missing))
    return tuple(found)


def describe(found: tuple[InfeasibleReason, ...]) -> str:
    """The reasons as sentences for a person."""
    return " ".join(_sentence(reason) for reason in found)


def least_value(scaled: ScaledPortfolio, bounds: ShareBounds) -> int:
    """Money units that the fewest shares of every band take, with the fractions that cannot be sold.

    A band without any whole share demands none: it is a reason of its own, and the cash may be short without it.
    """
    unit: int = 10 ** (scaled.money_places - scaled.price_places)
    whole = sum(
        price * least
        for price, least, most in zip(scaled.prices, bounds.lowest, bounds.highest, strict=True)
        if least <= most
    )
    return whole * unit + sum(scaled.fraction_values)


def _cash_shortfall(portfolio: Portfolio, scaled: ScaledPortfolio, bounds: ShareBounds, missing: int) -> CashShortfall:
    minimums = []
    unit = 10 ** (scaled.money_places - scaled.price_places)
    for index, security in enumerate(portfolio.securities):
        least = bounds.lowest[index] if bounds.lowest[index] <= bounds.highest[index] else 0
        value = scaled.prices[index] * unit * least + scaled.fraction_values[index]
        if value > 0:
            minimums.append(
                Minimum(
                    security_id=security.security_id,
                    quantity=_quantity(security, scaled.held[index], least),
                    value=unscaled(value, scaled.money_places),
                )
            )
    minimums.sort(key=lambda minimum: minimum.value, reverse=True)
    return CashShortfall(missing=unscaled(missing, scaled.money_places), minimums=tuple(minimums))


def _no_whole_share(security: Security, scaled: ScaledPortfolio, bounds: ShareBounds, index: int) -> NoWholeShare:
    """The band of one security, and what lies around it, in exact fractions of integers."""
    weight_places = max(scaled.target_places, scaled.drift_places)
    target = scaled.targets[index] * 10 ** (weight_places - scaled.target_places)
    drift_unit = 10 ** (weight_places - scaled.drift_places)
    lower = scaled.market_value * (target - scaled.low_drifts[index] * drift_unit)
    upper = scaled.market_value * (target + scaled.high_drifts[index] * drift_unit)
    value_places = scaled.money_places + weight_places
    price = scaled.prices[index] * 10 ** (value_places - scaled.price_places)
    market_value = scaled.market_value * 10**weight_places
    below = bounds.highest[index]
    above = max(below + 1, 0)
    fraction = scaled.fraction_values[index] * 10**weight_places
    value_below = below * price + fraction
    value_above = above * price + fraction
    # The drift that admits a holding is its weight's distance from the target.
    distance = value_above - scaled.market_value * target
    if below >= 0:
        distance = min(distance, scaled.market_value * target - value_below)
    weight_unit = 10**WEIGHT_PLACES
    return NoWholeShare(
        security_id=security.security_id,
        price=security.price,
        lower_value=unscaled(lower, value_places),
        upper_value=unscaled(upper, value_places),
        lower_shares=unscaled(_ceil(lower * 10**SHARE_PLACES, price), SHARE_PLACES),
        upper_shares=unscaled(upper * 10**SHARE_PLACES // price, SHARE_PLACES),
        quantity_below=_quantity(security, scaled.held[index], below) if below >= 0 else None,
        quantity_above=_quantity(security, scaled.held[index], above),
        weight_below=unscaled(_nearest(value_below * weight_unit, market_value), WEIGHT_PLACES) if below >= 0 else None,
        weight_above=unscaled(_nearest(value_above * weight_unit, market_value), WEIGHT_PLACES),
        drift_needed=unscaled(_ceil(distance * weight_unit, market_value), WEIGHT_PLACES),
    )


def _quantity(security: Security, held: int, whole: int) -> Decimal:
    """Shares held when `whole` whole ones lie on top of the fraction that stays."""
    return EXACT.add(security.quantity, Decimal(whole - held))


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def _nearest(numerator: int, denominator: int) -> int:
    """Half up, as every weight of this service is rounded."""
    return (2 * numerator + denominator) // (2 * denominator)


def _sentence(reason: InfeasibleReason) -> str:
    match reason:
        case NegativeMarketValue():
            return f"The portfolio owes more than it owns: its market value is {_plain(reason.market_value)}."
        case NoWholeShare():
            around = f"{_plain(reason.quantity_above)} (weight {_plain(reason.weight_above)})"
            if reason.quantity_below is not None and reason.weight_below is not None:
                around = f"{_plain(reason.quantity_below)} (weight {_plain(reason.weight_below)}) and {around}"
            return (
                f"Security {reason.security_id} at {_plain(reason.price)} has no whole number of shares worth"
                f" {_plain(reason.lower_value)} to {_plain(reason.upper_value)}: the nearest holdings are {around};"
                f" a drift of {_plain(reason.drift_needed)} would admit one."
            )
        case CashShortfall():
            takers = ", ".join(
                f"{_plain(minimum.quantity)} of {minimum.security_id} for {_plain(minimum.value)}"
                for minimum in reason.minimums
            )
            return (
                f"The least holdings that the drift bands allow cost {_plain(reason.missing)} more"
                f" than the portfolio is worth: {takers}."
            )


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
