"""The trades of a rebalanced portfolio as planned orders, and the BUYs that remain if SELLs are refused."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from itertools import chain
from typing import Final

from msgspec import Struct

from app.solver_task.rounding import EXACT, difference, magnitude, product, shortest
from persistence import DocumentUnreadable, OrderPlan, PlannedOrder, RebalancedPortfolio, RebalancedPosition

QUANTITY_LIMIT: Final = Decimal(10**10)
"""The Order Service stores quantities as decimal(18,8)."""
QUANTITY_DECIMALS: Final = 8

NOT_STORABLE: Final = (
    "The Order Service cannot store this quantity: it has at most 10 digits before the decimal point and 8 after it."
)
HELD_BACK: Final = (
    "Held back: SELLs of this portfolio were refused, and the created SELLs and cash do not pay for this BUY."
)


class Costs(Struct, frozen=True):
    """What reduces the money for BUYs: fees of each order, and money that is to remain."""

    fee_rate: Decimal = Decimal(0)
    fee_per_order: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)

    @classmethod
    def of(cls, rules: Mapping[str, object] | None) -> "Costs":
        """Return the costs in the stored rules of a rebalance; None for a rebalance without rules."""

        def amount(name: str) -> Decimal:
            return Decimal(str((rules or {}).get(name) or 0))

        return cls(amount("feeRate"), amount("feePerOrder"), amount("minimumCash") + amount("withdrawal"))


def planned_orders(portfolio: RebalancedPortfolio) -> tuple[PlannedOrder, ...]:
    """Return the orders of a portfolio, SELLs before BUYs, each in stored order; none if the portfolio failed.

    Raises:
        DocumentUnreadable: a security without a price trades.
    """
    trades = [(position, _trade(position)) for position in portfolio.positions]
    if any(trade and position.price is None for position, trade in trades):
        raise DocumentUnreadable("portfolio", f"{portfolio.portfolio_id} of rebalance {portfolio.rebalance_id}")
    sells = (_order(position, trade) for position, trade in trades if trade < 0)
    buys = (_order(position, trade) for position, trade in trades if trade > 0)
    return tuple(chain(sells, buys))


def is_storable(quantity: Decimal) -> bool:
    """Return whether the Order Service can store a quantity exactly."""
    exponent = shortest(quantity).as_tuple().exponent
    return quantity < QUANTITY_LIMIT and isinstance(exponent, int) and exponent >= -QUANTITY_DECIMALS


def unaffordable(plan: OrderPlan) -> tuple[int, ...]:
    """Return the PENDING BUYs that the money does not suffice for, by index, once every SELL has an outcome.

    If no SELL was refused, the whole plan is affordable. Otherwise BUYs are kept in stored order while cash and created
    SELLs pay for them; the first that they do not pay for is held back, and every later one with it.
    """
    sells = [order for order in plan.orders if order.side == "SELL"]
    if not any(order.state == "REFUSED" for order in sells):
        return ()
    with localcontext(EXACT):
        return _unaffordable(plan, sells)


def _unaffordable(plan: OrderPlan, sells: Sequence[PlannedOrder]) -> tuple[int, ...]:
    money = plan.cash + sum(
        (_value(order) - _fees(plan, order) for order in sells if order.state in ("CREATED", "SUBMITTED")), Decimal(0)
    )
    held: list[int] = []
    for index, order in enumerate(plan.orders):
        if order.side != "BUY" or order.state == "REFUSED":
            continue
        money -= _value(order) + _fees(plan, order)
        if order.state == "PENDING" and (held or money < 0):
            held.append(index)
    return tuple(held)


def _trade(position: RebalancedPosition) -> Decimal:
    return difference(position.adjusted_quantity, position.original_quantity)


def _order(position: RebalancedPosition, trade: Decimal) -> PlannedOrder:
    assert position.price is not None, "a security without a price does not trade"
    return PlannedOrder(
        security_id=position.security_id,
        ticker=position.ticker,
        side="BUY" if trade > 0 else "SELL",
        quantity=magnitude(trade),
        price=position.price,
    )


def _value(order: PlannedOrder) -> Decimal:
    return product(order.quantity, order.price)


def _fees(plan: OrderPlan, order: PlannedOrder) -> Decimal:
    return _value(order) * plan.fee_rate + plan.fee_per_order
