"""The last word on every answer: checks it against the portfolio as it was given, in exact decimal arithmetic.

Shares nothing with the code that finds answers: no scaled integers, no bounds, no items. A rounded step anywhere in it
is an error of its own, because the arithmetic runs in a context that traps it.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from operator import add, mul

from msgspec import Struct

from solver.problem import ZERO, Portfolio
from solver.scaling import EXACT


class VerificationError(ArithmeticError):
    """An answer breaks a constraint or contradicts its own proof; it must not leave the solver."""


class Verified(Struct, frozen=True):
    """What is true of whole-share trades that satisfy every constraint.

    Attributes:
        quantities: shares held afterwards.
        market_value, cash_after, objective: money.
    """

    quantities: tuple[Decimal, ...]
    market_value: Decimal
    cash_after: Decimal
    objective: Decimal


def verify(portfolio: Portfolio, trades: Sequence[int], bound: Decimal | None = None) -> Verified:
    """Recompute an answer from the portfolio and check every constraint.

    Args:
        portfolio: as the caller gave it.
        trades: whole shares to trade, one for each security.
        bound: lower bound that the answer's producer claims to have proven, if it does.

    Raises:
        VerificationError: a quantity is negative or outside its band, the cash does not suffice, value is not
            conserved, or the objective lies below the claimed bound.
    """
    with localcontext(EXACT):
        securities = portfolio.securities
        held = [security.quantity for security in securities]
        prices = [security.price for security in securities]
        quantities = tuple(map(add, held, map(Decimal, trades)))
        if len(trades) != len(securities):
            raise VerificationError(f"{len(trades)} trades for {len(securities)} securities")
        market_value = sum(map(mul, held, prices), portfolio.cash)
        values = list(map(mul, quantities, prices))
        objective = ZERO
        for security, quantity, value in zip(securities, quantities, values, strict=True):
            distance = value - market_value * security.target
            objective += abs(distance)
            drift = security.high_drift if distance > 0 else security.low_drift
            if quantity < 0 or abs(distance) > market_value * drift:
                _check_band(security.security_id, quantity, distance, market_value * drift, security.target)
        cash_after = market_value - sum(values)
        if cash_after < 0:
            raise VerificationError(f"the trades overspend by {-cash_after}")
        if portfolio.cash - sum(map(mul, map(Decimal, trades), prices)) != cash_after:
            raise VerificationError("market value is not conserved")
        if bound is not None and objective < bound:
            raise VerificationError(f"the objective {objective} lies below its proven bound {bound}")
        return Verified(quantities=quantities, market_value=market_value, cash_after=cash_after, objective=objective)


def _check_band(security_id: str, quantity: Decimal, distance: Decimal, allowed: Decimal, target: Decimal) -> None:
    """Raise unless the holding is the fraction of a share that stays in a portfolio without a target for it."""
    if target == 0 and 0 <= quantity < 1:
        return
    raise VerificationError(f"{quantity} of {security_id} is {distance} from its target, {allowed} are allowed")
