"""Why a security trades, or why it does not, in one sentence."""

from decimal import Decimal

from solver.planning.exact import EXACT, plain
from solver.planning.plan import percent, share
from solver.problem import Security
from solver.rules import Restraint

_RESTRAINTS = {
    Restraint.DO_NOT_TRADE: "it must not be traded",
    Restraint.DO_NOT_BUY: "it must not be bought",
    Restraint.DO_NOT_SELL: "it must not be sold",
    Restraint.BUY_ONLY: "only purchases are allowed",
    Restraint.SELL_ONLY: "only sales are allowed",
    Restraint.IN_BAND: "it is in its band, and only securities outside their band are traded",
    Restraint.MINIMUM_TRADE: "a better order would be smaller than the minimum",
    Restraint.UNPRICED: "it has no price",
}


def reason_of(
    security: Security, quantity: Decimal, trade: int | Decimal, restraint: Restraint | None, market_value: Decimal
) -> str:
    """Return the reason, without a full stop.

    Args:
        security: before the rebalance.
        quantity: shares afterwards.
        trade: shares traded, signed.
        restraint: the rule that kept it from a better quantity.
        market_value: money that its target refers to.
    """
    held = f", because {_RESTRAINTS[restraint]}" if restraint else ""
    before, after = (_weight(shares, security, market_value) for shares in (security.quantity, quantity))
    if not security.target and not security.low_drift and not security.high_drift:
        return _without_target(security, quantity, trade) + held
    target = f"target {percent(security.target)}"
    if not trade:
        return f"stays at {percent(after)}, {target}" + (held or ", no better quantity is possible")
    movement = f"from {percent(before)} to {percent(after)}, {target}"
    value, goal = EXACT.multiply(security.quantity, security.price), EXACT.multiply(market_value, security.target)
    if value < EXACT.multiply(market_value, EXACT.subtract(security.target, security.low_drift)):
        cause = f"below its band of {_band(security)}"
    elif value > EXACT.multiply(market_value, EXACT.add(security.target, security.high_drift)):
        cause = f"above its band of {_band(security)}"
    elif EXACT.abs(EXACT.subtract(goal, EXACT.multiply(quantity, security.price))) < EXACT.abs(
        EXACT.subtract(goal, value)
    ):
        cause = "closer to its target"
    else:
        cause = "releases cash that others need" if trade < 0 else "its order is the best use of the cash"
    return f"{cause}: {movement}{held}"


def _without_target(security: Security, quantity: Decimal, trade: int | Decimal) -> str:
    if security.quantity < 0 < trade:
        return "not in the targets: the short position is closed"
    if not trade:
        return "not in the targets: nothing of it can be sold" if quantity else "not in the targets"
    if quantity:
        return f"not in the targets: everything is sold except {plain(quantity)} shares"
    return "not in the targets: everything is sold"


def _band(security: Security) -> str:
    low = max(EXACT.subtract(security.target, security.low_drift), Decimal(0))
    return f"{percent(low)} to {percent(EXACT.add(security.target, security.high_drift))}"


def _weight(quantity: Decimal, security: Security, market_value: Decimal) -> Decimal:
    return share(EXACT.multiply(quantity, security.price), market_value)
