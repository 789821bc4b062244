"""The judge is not asleep: every way to tamper with a right response is noticed."""

from collections.abc import Callable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import pytest
from msgspec.structs import replace

from solver import Portfolio, Security, Solution, solve
from tests.chaos.judge import oracle
from tests.chaos.judge.caller import evenly
from tests.chaos.judge.market import Market
from tests.chaos.judge.oracle import Model
from tests.chaos.judge.responses import StoredPortfolio, StoredPosition

type Tamper = Callable[[StoredPortfolio], StoredPortfolio]


def with_position(number: int, change: Callable[[StoredPosition], StoredPosition]) -> Tamper:
    def tamper(portfolio: StoredPortfolio) -> StoredPortfolio:
        positions = list(portfolio.positions)
        positions[number] = change(positions[number])
        return replace(portfolio, positions=positions)

    return tamper


def with_other_trade(shares: Decimal) -> Tamper:
    """Trade so many shares more of the first security, and account for them without a mistake."""

    def tamper(portfolio: StoredPortfolio) -> StoredPortfolio:
        first = portfolio.positions[0]
        assert portfolio.market_value is not None
        assert portfolio.cash_after_rebalance is not None
        quantity = first.adjusted_quantity + shares
        moved = replace(
            first,
            adjusted_quantity=quantity,
            trade_quantity=int(quantity),
            actual=(quantity * first.price / portfolio.market_value).quantize(Decimal("0.0001"), ROUND_HALF_UP),
        )
        cash = portfolio.cash_after_rebalance - shares * first.price
        return replace(portfolio, positions=[moved, *portfolio.positions[1:]], cash_after_rebalance=cash)

    return tamper


TAMPERED: dict[str, Tamper] = {
    "one share more": with_other_trade(Decimal(1)),
    "one share less": with_other_trade(Decimal(-1)),
    "half a share more": with_other_trade(Decimal("0.5")),
    "out of the band": with_other_trade(Decimal(10_000)),
    "a wrong price": with_position(2, lambda position: replace(position, price=position.price + 1)),
    "a wrong holding": with_position(2, lambda position: replace(position, original_quantity=Decimal(7))),
    "a wrong side": with_position(1, lambda position: replace(position, transaction_type="SELL")),
    "a wrong quantity": with_position(1, lambda position: replace(position, trade_quantity=1)),
    "a wrong share": with_position(1, lambda position: replace(position, actual=Decimal("0.1234"))),
    "a wrong target": with_position(1, lambda position: replace(position, target=Decimal("0.2"))),
    "a missing security": lambda portfolio: replace(portfolio, positions=portfolio.positions[1:]),
    "a wrong market value": lambda portfolio: replace(portfolio, market_value=Decimal(1)),
    "money from nowhere": lambda portfolio: replace(portfolio, cash_after_rebalance=Decimal(10**6)),
    "wrong cash": lambda portfolio: replace(portfolio, cash_before_rebalance=Decimal(1)),
}


@pytest.fixture(scope="module")
def model(market: Market) -> Model:
    return Model(
        "0" * 24, "", evenly(market.world.priced_security_ids()[:10]), tuple(market.world.portfolio_ids(5000, 1))
    )


@pytest.fixture(scope="module")
def right(market: Market, model: Model) -> StoredPortfolio:
    """What the service would store for a portfolio that holds only cash."""
    cash, _ = market.held(model.portfolios[0])
    prices = [market.price(each.security_id) or Decimal(0) for each in model.positions]
    securities = tuple(
        Security(each.security_id, price, Decimal(0), each.target, each.low_drift, each.high_drift)
        for each, price in zip(model.positions, prices, strict=True)
    )
    solution = solve(Portfolio(securities, cash))
    assert isinstance(solution, Solution)
    positions = [
        StoredPosition(
            security_id=security.security_id,
            price=security.price,
            original_quantity=Decimal(0),
            adjusted_quantity=quantity,
            original_position_market_value=Decimal(0),
            adjusted_position_market_value=quantity * security.price,
            target=security.target,
            high_drift=security.high_drift,
            low_drift=security.low_drift,
            actual=(quantity * security.price / cash).quantize(Decimal("0.0001"), ROUND_HALF_UP),
            actual_drift=Decimal(0),
            transaction_type="BUY",
            trade_quantity=int(quantity),
            trade_date=date(2026, 1, 2),
        )
        for security, quantity in zip(securities, solution.quantities, strict=True)
    ]
    return StoredPortfolio(
        portfolio_id=model.portfolios[0],
        portfolio_name=None,
        status="COMPLETED",
        error=None,
        market_value=cash,
        cash_before_rebalance=cash,
        cash_after_rebalance=solution.cash_after,
        positions=positions,
    )


def test_a_right_response_passes(market: Market, model: Model, right: StoredPortfolio) -> None:
    """The oracle accepts a solution that the service found."""
    oracle.judge_completed(market, model, right)


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED.keys())
def test_a_wrong_response_does_not(tamper: Tamper, market: Market, model: Model, right: StoredPortfolio) -> None:
    """The oracle notices each kind of tampering with a right response."""
    with pytest.raises(AssertionError):
        oracle.judge_completed(market, model, tamper(right))


def test_a_feasible_portfolio_is_not_infeasible(market: Market, model: Model) -> None:
    """The oracle rejects a false claim that no solution exists."""
    with pytest.raises(AssertionError):
        oracle.judge_infeasible(market, model, model.portfolios[0])
