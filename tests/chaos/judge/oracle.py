"""Judges trades in exact fractions: whole shares, bands, cash, conservation, and that nothing better exists.

It knows what the simulator really holds and charges, and reads what the service stored. It has no code in common with
the service but `solver.solve`, which it asks only for a second opinion where cash binds.
"""

import math
from decimal import Decimal
from fractions import Fraction

from msgspec import Struct

from solver import Portfolio, Security, Solution, solve
from tests.chaos.judge.market import Market
from tests.chaos.judge.responses import ApiResponse, Failure, StoredPortfolio, StoredPosition


class Wanted(Struct, frozen=True):
    """What a model wants of one security, as shares of the market value."""

    security_id: str
    target: Decimal
    low_drift: Decimal
    high_drift: Decimal


NOTHING = Wanted("", Decimal(0), Decimal(0), Decimal(0))


class Model(Struct, frozen=True):
    """A model as it was posted, and the id it got."""

    model_id: str
    name: str
    positions: tuple[Wanted, ...]
    portfolios: tuple[str, ...]


class _Choice(Struct, frozen=True):
    """The quantities that one security may end with: `rest + k` shares, `least <= k <= most`."""

    price: Fraction
    wanted: Fraction
    rest: Fraction
    least: int
    most: int

    def distance(self, quantity: Fraction) -> Fraction:
        """Money between this many shares and what the model wants."""
        return abs(self.wanted - quantity * self.price)

    def nearest(self) -> Fraction:
        """The admissible quantity with the least distance."""
        below = math.floor(self.wanted / self.price - self.rest)
        each = (self.rest + min(max(whole, self.least), self.most) for whole in (below, below + 1))
        return min(each, key=self.distance)


def judge_completed(market: Market, model: Model, portfolio: StoredPortfolio) -> None:
    """Check a completed portfolio against the truth.

    Raises:
        AssertionError: saying what is wrong.
    """
    cash, held = market.held(portfolio.portfolio_id)
    wanted = {each.security_id: each for each in model.positions}
    ids = [position.security_id for position in portfolio.positions]
    assert ids == [*wanted, *sorted(set(held) - set(wanted))], "the union of the model's and the held securities"
    for position in portfolio.positions:
        asked = wanted.get(position.security_id, NOTHING)
        assert (position.target, position.low_drift, position.high_drift) == (
            asked.target,
            asked.low_drift,
            asked.high_drift,
        ), f"{position.security_id} is stored with other bands than the model has"
        assert position.original_quantity == held.get(position.security_id, 0), f"{position.security_id} is misread"
        assert position.price == market.price(position.security_id), f"{position.security_id} is mispriced"
    assert portfolio.cash_before_rebalance == cash, "the cash is misread"
    value_before = _value(portfolio, adjusted=False)
    value_after = _value(portfolio, adjusted=True)
    market_value, cash_after = portfolio.market_value, portfolio.cash_after_rebalance
    assert market_value is not None
    assert cash_after is not None
    assert Fraction(market_value) == Fraction(cash) + value_before, "the market value is wrong"
    assert Fraction(market_value) == Fraction(cash_after) + value_after, "value is not conserved"
    assert cash_after >= 0, "cash is overdrawn"
    choices = [_choice(position, Fraction(market_value)) for position in portfolio.positions]
    for position, choice in zip(portfolio.positions, choices, strict=True):
        _judge_position(position, choice, market_value)
    if market_value:
        _judge_optimality(portfolio, choices, Fraction(market_value), Fraction(cash_after))
    else:
        assert all(position.transaction_type is None for position in portfolio.positions)


def judge_infeasible(market: Market, model: Model, portfolio_id: str) -> None:
    """Check that no quantities at all satisfy the constraints.

    Raises:
        AssertionError: there are some.
    """
    cash, held = market.held(portfolio_id)
    quotes = {each: market.price(each) for each in {*held, *(wanted.security_id for wanted in model.positions)}}
    prices = {each: Fraction(price) for each, price in quotes.items() if price is not None}
    assert prices.keys() == quotes.keys(), "a security without a price is not infeasible"
    market_value = Fraction(cash) + sum(Fraction(quantity) * prices[each] for each, quantity in held.items())
    if market_value < 0:
        return
    wanted = {each.security_id: each for each in model.positions}
    choices = [
        _limits(prices[each], Fraction(held.get(each, 0)), wanted.get(each, NOTHING), market_value) for each in prices
    ]
    least = sum((each.rest + each.least) * each.price for each in choices)
    assert any(each.least > each.most for each in choices) or least > market_value, "there is a solution"


def judge_response(response: ApiResponse, portfolio: StoredPortfolio) -> None:
    """Check that a portfolio was returned as it is stored: the trades, the drifts, and the failure if there is one."""
    for field in ("portfolio_id", "portfolio_name", "status", "market_value", "cash_before_rebalance", "error"):
        assert getattr(response, field) == getattr(portfolio, field), f"{field} is returned and stored differently"
    assert response.cash_after_rebalance == portfolio.cash_after_rebalance
    assert len(response.drifts) == len(portfolio.positions)
    for drift, position in zip(response.drifts, portfolio.positions, strict=True):
        stored = [field for field in drift.__struct_fields__ if field in position.__struct_fields__]
        assert stored
        for field in stored:
            assert getattr(drift, field) == getattr(position, field), f"{field} is returned and stored differently"
    traded = [position for position in portfolio.positions if position.transaction_type is not None]
    traded.sort(key=lambda position: position.transaction_type == "BUY")
    assert [
        (each.transaction_type, each.security_id, each.quantity, each.trade_date) for each in response.transactions
    ] == [(each.transaction_type, each.security_id, each.trade_quantity, each.trade_date) for each in traded], (
        "sells before buys, each as stored"
    )


def judge_failure(failure: Failure) -> None:
    """Check that a failure tells nothing that is nobody's business."""
    told = f"{failure.message} {failure.details}"
    for secret in ("Traceback", 'File "', "http://", "127.0.0.1", "mongodb:", "/work", ".py", "0x"):
        assert secret not in told, f"{secret!r} in {told}"
    assert failure.message
    assert failure.trace_id


def _value(portfolio: StoredPortfolio, *, adjusted: bool) -> Fraction:
    return sum(
        (
            Fraction(position.adjusted_quantity if adjusted else position.original_quantity) * Fraction(position.price)
            for position in portfolio.positions
        ),
        Fraction(0),
    )


def _choice(position: StoredPosition, market_value: Fraction) -> _Choice:
    wanted = Wanted(position.security_id, position.target, position.low_drift, position.high_drift)
    return _limits(Fraction(position.price), Fraction(position.original_quantity), wanted, market_value)


def _limits(price: Fraction, quantity: Fraction, wanted: Wanted, market_value: Fraction) -> _Choice:
    target, low, high = Fraction(wanted.target), Fraction(wanted.low_drift), Fraction(wanted.high_drift)
    rest = quantity - math.floor(quantity)
    least = max(0, math.ceil(market_value * (target - low) / price - rest))
    most = math.floor(market_value * (target + high) / price - rest)
    if not wanted.target and not wanted.high_drift:
        # The fraction of a share that cannot be sold stays.
        most = max(most, 0)
    return _Choice(price, market_value * target, rest, least, most)


def _judge_position(position: StoredPosition, choice: _Choice, market_value: Decimal) -> None:
    name = position.security_id
    traded = position.adjusted_quantity - position.original_quantity
    assert traded == traded.to_integral_value(), f"{name} trades a fraction of a share"
    side = None if not traded else "BUY" if traded > 0 else "SELL"
    assert (position.transaction_type, position.trade_quantity) == (side, abs(int(traded)) or None)
    assert (position.trade_date is None) == (side is None)
    value = Fraction(position.adjusted_quantity) * Fraction(position.price)
    if market_value:
        whole = Fraction(position.adjusted_quantity) - choice.rest
        assert choice.least <= whole <= choice.most, f"{name} leaves its band"
        rounded = Fraction(math.floor(value / Fraction(market_value) * 10_000 + Fraction(1, 2)), 10_000)
        assert Fraction(position.actual) == rounded, f"{name}: its actual share is {float(rounded)}"


def _judge_optimality(
    portfolio: StoredPortfolio, choices: list[_Choice], market_value: Fraction, cash_after: Fraction
) -> None:
    """Nothing better exists: each security is at its own optimum, or else cash forbids it and the solver agrees."""
    quantities = [Fraction(position.adjusted_quantity) for position in portfolio.positions]
    objective = sum(choice.distance(quantity) for choice, quantity in zip(choices, quantities, strict=True))
    nearest = [choice.nearest() for choice in choices]
    if objective == sum(choice.distance(quantity) for choice, quantity in zip(choices, nearest, strict=True)):
        return
    spent = sum(choice.price * quantity for choice, quantity in zip(choices, nearest, strict=True))
    assert spent > market_value, "the nearest whole shares are affordable, and were not taken"
    for choice, quantity in zip(choices, quantities, strict=True):
        for other in (quantity - 1, quantity + 1):
            admissible = choice.least <= other - choice.rest <= choice.most
            affordable = (other - quantity) * choice.price <= cash_after
            better = choice.distance(other) < choice.distance(quantity)
            assert not (admissible and affordable and better), "one share more or less would be better"
    second = solve(_problem(portfolio))
    assert isinstance(second, Solution)
    assert Fraction(second.objective) == objective, f"{second.objective} is possible"


def _problem(portfolio: StoredPortfolio) -> Portfolio:
    assert portfolio.cash_before_rebalance is not None
    return Portfolio(
        tuple(
            Security(
                position.security_id,
                position.price,
                position.original_quantity,
                position.target,
                position.low_drift,
                position.high_drift,
            )
            for position in portfolio.positions
        ),
        portfolio.cash_before_rebalance,
    )
