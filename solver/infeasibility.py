"""Explains a portfolio that has no whole-share solution: every reason, as data and as a sentence."""

from decimal import Decimal

import numpy as np

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

PREFERRED_HINT = "With bands PREFERRED the portfolio would be feasible."
"""Added to the sentences if it is true."""


def reasons(portfolio: Portfolio, scaled: ScaledPortfolio, bounds: ShareBounds) -> tuple[InfeasibleReason, ...]:
    """Return every reason why no whole shares satisfy the bands and the cash; empty if and only if some do."""
    if scaled.market_value < 0:
        return (NegativeMarketValue(market_value=scaled.cash_money(scaled.market_value)),)
    impossible = bounds.lowest > bounds.highest
    found: list[InfeasibleReason] = [
        _no_whole_share(portfolio.securities[index], scaled, bounds, index)
        for index in map(int, np.flatnonzero(impossible))
    ]
    # A band without a whole share demands none: it is a reason of its own, and the cash may be short without it.
    demanded = np.where(impossible, 0, bounds.lowest)
    values = demanded * scaled.prices + scaled.fractions
    missing = int(values.sum()) - scaled.market_value
    if missing > 0:
        minimums = [
            Minimum(
                security_id=portfolio.securities[index].security_id,
                quantity=_quantity(portfolio.securities[index], scaled, index, int(demanded[index])),
                value=scaled.cash_money(int(values[index])),
            )
            for index in sorted(map(int, np.flatnonzero(values)), key=lambda index: -int(values[index]))
        ]
        found.append(CashShortfall(missing=scaled.cash_money(missing), minimums=tuple(minimums)))
    return tuple(found)


def describe(found: tuple[InfeasibleReason, ...]) -> str:
    """Return the reasons as sentences for a person."""
    return " ".join(_sentence(reason) for reason in found)


def _no_whole_share(security: Security, scaled: ScaledPortfolio, bounds: ShareBounds, index: int) -> NoWholeShare:
    """Return the band of one security and the whole shares around it."""
    price, fraction = int(scaled.prices[index]), int(scaled.fractions[index])
    target = int(scaled.targets[index])
    lower, upper = target - int(scaled.lows[index]), target + int(scaled.highs[index])
    below = int(bounds.highest[index])
    above = max(below + 1, 0)
    value_below, value_above = below * price + fraction, above * price + fraction
    # The drift that admits a holding is its weight's distance from the target.
    distance = value_above - target
    if below >= 0:
        distance = min(distance, target - value_below)
    places = scaled.money_places + scaled.weight_places
    return NoWholeShare(
        security_id=security.security_id,
        price=security.price,
        lower_value=unscaled(lower, places),
        upper_value=unscaled(upper, places),
        lower_shares=_ratio(lower, price, SHARE_PLACES, up=True),
        upper_shares=_ratio(upper, price, SHARE_PLACES, up=False),
        quantity_below=_quantity(security, scaled, index, below) if below >= 0 else None,
        quantity_above=_quantity(security, scaled, index, above),
        weight_below=_weight(value_below, scaled) if below >= 0 else None,
        weight_above=_weight(value_above, scaled),
        drift_needed=_ratio(distance, scaled.market_value, WEIGHT_PLACES, up=True),
    )


def _ratio(numerator: int, denominator: int, places: int, *, up: bool) -> Decimal:
    numerator *= 10**places
    return unscaled(-(-numerator // denominator) if up else numerator // denominator, places)


def _weight(value: int, scaled: ScaledPortfolio) -> Decimal:
    """Half up, as every weight of this service is rounded."""
    return unscaled((2 * value * 10**WEIGHT_PLACES + scaled.market_value) // (2 * scaled.market_value), WEIGHT_PLACES)


def _quantity(security: Security, scaled: ScaledPortfolio, index: int, whole: int) -> Decimal:
    """Return the shares held when `whole` whole ones lie on top of the fraction that stays."""
    return EXACT.add(security.quantity, Decimal(whole - int(scaled.held[index])))


def _sentence(reason: InfeasibleReason) -> str:
    match reason:
        case NegativeMarketValue():
            return f"The portfolio owes more than it owns: its market value is {plain(reason.market_value)}."
        case NoWholeShare():
            around = f"{plain(reason.quantity_above)} (weight {plain(reason.weight_above)})"
            if reason.quantity_below is not None and reason.weight_below is not None:
                around = f"{plain(reason.quantity_below)} (weight {plain(reason.weight_below)}) and {around}"
            return (
                f"Security {reason.security_id} at {plain(reason.price)} has no {_whole(reason.lot_size)} worth"
                f" {plain(reason.lower_value)} to {plain(reason.upper_value)}: the nearest holdings are {around};"
                f" a drift of {plain(reason.drift_needed)} would admit one."
            )
        case CashShortfall():
            takers = ", ".join(
                f"{plain(minimum.quantity)} of {minimum.security_id} for {plain(minimum.value)}"
                for minimum in reason.minimums
            )
            return (
                f"The least holdings that the drift bands allow cost {plain(reason.missing)} more"
                f" than the portfolio is worth: {takers}."
                if not _reserved(reason)
                else f"The least holdings that drift bands and rules allow, with {_reserved(reason)}, need"
                f" {plain(reason.missing)} more than is available: {takers or 'no holdings'}."
            )


def _whole(lot_size: Decimal) -> str:
    return "whole number of shares" if lot_size == 1 else f"quantity in lots of {plain(lot_size)} shares"


def _reserved(reason: CashShortfall) -> str:
    """Describe what uses the cash besides the holdings, and the rules that lock money in."""
    parts = [
        f"{text} {plain(amount)}"
        for text, amount in (
            ("a minimum cash of", reason.minimum_cash),
            ("a withdrawal of", reason.withdrawal),
            ("fees of", reason.fees),
        )
        if amount
    ]
    if reason.locked:
        names = ", ".join(f"{one.security_id} ({one.restraint.value})" for one in reason.locked)
        parts.append(f"no sale of {names}")
    return ", ".join(parts)


def plain(number: Decimal) -> str:
    """Return a number without exponent and trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
