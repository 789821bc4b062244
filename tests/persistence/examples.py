"""Models, rebalances and changes as the tests want them, with everything that does not matter filled in, and stored."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from persistence import (
    AuditNote,
    Database,
    Model,
    ModelAction,
    ModelField,
    Position,
    Rebalance,
    RebalancedPortfolio,
    RebalancedPosition,
    Solve,
    SortKey,
    record_of,
)
from persistence.codec import Document

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


def change(action: ModelAction = ModelAction.REPLACED, correlation_id: str = "test") -> AuditNote:
    """Somebody doing something now."""
    return AuditNote(action, datetime.now(UTC), correlation_id)


def id_made(ago: timedelta) -> ObjectId:
    """A new id, as if it had been made so long ago."""
    then = ObjectId.from_datetime(datetime.now(UTC) - ago)
    return ObjectId(then.binary[:4] + ObjectId().binary[4:])


def rebalance(
    number_of_portfolios: int,
    name: str = "Growth",
    rebalance_date: datetime = NOON,
    *,
    made: timedelta = timedelta(0),
) -> Rebalance:
    """A header, whose id was `made` so long ago."""
    return Rebalance(
        id=id_made(made),
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


async def store(database: Database, header: Rebalance, *portfolios: RebalancedPortfolio) -> Rebalance:
    """Stores a rebalance of these portfolios, or else of as many as its header counts."""
    async with database.rebalances.storing(header.id) as storage:
        for each in portfolios or [portfolio(header.id, place) for place in range(header.number_of_portfolios)]:
            await storage.add(record_of(each))
        await storage.finish(header)
    return header


async def models_of(
    database: Database, *, offset: int = 0, limit: int | None = None, sort: Sequence[SortKey[ModelField]] = ()
) -> list[Model]:
    """Return a page of models."""
    return [each async for each in database.models.each(offset=offset, limit=limit, sort=sort)]


async def portfolios_of(database: Database, header: Rebalance) -> list[RebalancedPortfolio]:
    """What is stored of a rebalance."""
    return [each async for each in database.rebalances.portfolios(header)]


async def leave_orphan(stored: AsyncDatabase[Document], rebalance_id: ObjectId, portfolios: int) -> None:
    """Leaves what a writer leaves that dies before it has inserted the header."""
    documents: list[Document] = [{"_id": {"rebalanceId": rebalance_id, "place": place}} for place in range(portfolios)]
    await stored["rebalances"].insert_many(documents)


async def portfolio_owners(stored: AsyncDatabase[Document]) -> set[ObjectId]:
    """The rebalances that have portfolios."""
    return set(await stored["rebalances"].distinct("_id.rebalanceId"))
