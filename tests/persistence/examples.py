"""Models, rebalances and changes as the tests want them, with everything that does not matter filled in."""

from datetime import UTC, datetime
from decimal import Decimal

from bson import ObjectId

from persistence.documents import (
    Change,
    Model,
    ModelAction,
    Position,
    Rebalance,
    RebalancedPortfolio,
    RebalancedPosition,
    Solve,
)

NOON = datetime(2025, 8, 10, 12, tzinfo=UTC)


def security(number: int) -> str:
    """A security id."""
    return f"{number:024x}"


def position(number: int, target: str = "0.005") -> Position:
    """A position in security `number`."""
    return Position(security(number), Decimal(target), Decimal("0.0050"), Decimal("0.00"))


def model(name: str = "Growth", **fields: object) -> Model:
    """A new model of two positions and one portfolio; `fields` replace any of these."""
    content: dict[str, object] = {
        "id": ObjectId(),
        "name": name,
        "positions": (position(1, "0.600"), position(2, "0.35")),
        "portfolios": (security(7),),
        "last_rebalance_date": None,
        "version": 1,
    }
    return Model(**(content | fields))  # type: ignore[arg-type]


def change(action: ModelAction = ModelAction.REPLACED, correlation_id: str = "test") -> Change:
    """Somebody doing something now."""
    return Change(action, datetime.now(UTC), correlation_id)


def rebalance(number_of_portfolios: int, name: str = "Growth", rebalance_date: datetime = NOON) -> Rebalance:
    """A header."""
    return Rebalance(
        id=ObjectId(),
        model_id=ObjectId(),
        model_name=name,
        rebalance_date=rebalance_date,
        priced_at=NOON,
        number_of_portfolios=number_of_portfolios,
        created_at=NOON,
        version=1,
    )


def portfolio(rebalance_id: ObjectId, place: int, positions: int = 2) -> RebalancedPortfolio:
    """The portfolio at `place`, named for its place."""
    return RebalancedPortfolio(
        rebalance_id=rebalance_id,
        place=place,
        portfolio_id=security(place),
        portfolio_name=f"Portfolio {place}",
        status="COMPLETED",
        failure=None,
        market_value=Decimal("1234567.8900"),
        cash_before=Decimal("-0.10"),
        cash_after=Decimal(0),
        trade_date="2025-08-10",
        positions=tuple(
            RebalancedPosition(
                security_id=security(number),
                price=Decimal(number * place + 101) / 100,
                original_quantity=Decimal(number * 17 + place),
                adjusted_quantity=Decimal(number * 13 + place),
                target=Decimal("0.005"),
                high_drift=Decimal("0.0100"),
                low_drift=Decimal("0.01"),
            )
            for number in range(positions)
        ),
        solve=Solve(path="ROUNDING", gap=Decimal(0), tie_proven=True, seconds=0.0015),
    )
