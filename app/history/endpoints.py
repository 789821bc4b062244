"""The endpoints that read and delete stored rebalances, portfolio by portfolio: memory does not grow with their size.

A response about one rebalance is complete or an error, and so are lists of at most 1 MiB.
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Annotated, Any, Literal

from litestar import Controller, Request, Response, delete, get, post
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream
from msgspec import Struct

from app.errors.codes import ErrorCode, InvalidField, OrderGenerationError
from app.history.complete import ReadPortfolios, complete, complete_list
from app.history.csv import trades_as_csv
from app.history.packed import packed_json
from app.history.schemas import PortfolioProofDTO, PortfolioResultDTO, PositionResultDTO, RebalanceResultDTO, TradeDTO
from app.http.compression import compressed
from app.http.dialect import Dialect
from app.http.exact_json import encode
from app.http.fields import RebalanceId as StoredRebalanceId
from app.http.headers import add_page_headers
from app.http.identifiers import OBJECT_ID_PATTERN, external_id, object_id
from app.http.query import NO_OFFSET, PAGE_SIZE, Offset, PageSize, Version, sort_keys, sorted_by
from app.http.responses import documented, errors
from app.http.streaming import array
from app.models.schemas import ModelPortfolioDTO
from app.rebalancing.endpoints import PortfolioId
from persistence import Database, PackedPortfolio, Rebalance, RebalancedPortfolio, RebalanceField, SortKey

RebalanceId = Annotated[
    str, PathParameter(description="24 hexadecimal characters.", schema_extra={"pattern": OBJECT_ID_PATTERN})
]

SORT_FIELDS = {
    "rebalance_date": RebalanceField.REBALANCE_DATE,
    "rebalance_id": RebalanceField.REBALANCE_ID,
    "model_name": RebalanceField.MODEL_NAME,
    "number_of_portfolios": RebalanceField.NUMBER_OF_PORTFOLIOS,
}
VIEWS = ("full", "summary")
FORMATS = ("json", "csv")
NEWEST_FIRST = (SortKey(RebalanceField.REBALANCE_DATE, descending=True),)


class DeletedRebalanceDTO(Struct, frozen=True, rename="camel"):
    """The rebalance that was deleted."""

    rebalance_id: StoredRebalanceId
    deleted: Literal[True]


class RebalanceHistoryController(Controller):
    """Read and delete stored rebalances."""

    path = "/api/v1"
    tags = ("Rebalancing",)
    middleware = (compressed,)

    @get(
        "/rebalances",
        operation_id="listRebalances",
        summary="List rebalances",
        responses=errors() | documented(list[RebalanceResultDTO]),
    )
    async def list_rebalances(
        self,
        database: Database,
        dialect: Dialect,
        request: Request[Any, Any, Any],
        offset: Offset = NO_OFFSET,
        limit: PageSize = PAGE_SIZE,
        sort_by: Annotated[str | None, sorted_by(SORT_FIELDS)] = None,
        view: Annotated[
            str,
            QueryParameter(
                description="A summary has null in place of the positions.", schema_extra={"enum": list(VIEWS)}
            ),
        ] = "full",
    ) -> Response[bytes] | Stream:
        """List stored rebalances with their portfolios, newest first unless `sort_by` says otherwise.

        Stored documents that are not in this service's format are left out.
        """
        if view not in VIEWS:
            raise InvalidField("view", f"must be {' or '.join(VIEWS)}")
        keys = sort_keys(sort_by, SORT_FIELDS) or NEWEST_FIRST
        found = await database.rebalances.page(offset=offset, limit=limit, sort=keys) if limit else []
        add_page_headers(request, await database.rebalances.count(), offset, limit)
        return await complete_list(
            found, lambda rebalances: as_array(rebalances, database, dialect, positions=view == "full")
        )

    @post(
        "/rebalances/portfolios",
        operation_id="findRebalancesOfPortfolios",
        summary="Find the rebalances of portfolios",
        status_code=200,
        responses=errors(body=True) | documented(list[RebalanceResultDTO]),
    )
    async def find_rebalances(
        self,
        data: ModelPortfolioDTO,
        database: Database,
        dialect: Dialect,
        request: Request[Any, Any, Any],
        offset: Offset = NO_OFFSET,
        limit: PageSize = PAGE_SIZE,
    ) -> Response[bytes] | Stream:
        """List the rebalances that included any of these portfolios, newest first."""
        wanted = data.portfolios
        listed = bool(wanted) and limit > 0
        found = await database.rebalances.with_portfolios(wanted, offset=offset, limit=limit) if listed else []
        total = await database.rebalances.count_with_portfolios(wanted) if wanted else 0
        add_page_headers(request, total, offset, limit)
        return await complete_list(found, lambda rebalances: as_array(rebalances, database, dialect))

    @get(
        "/rebalance/{rebalance_id:str}",
        operation_id="getRebalance",
        summary="Get a rebalance",
        responses=errors(ErrorCode.REBALANCE_NOT_FOUND, ErrorCode.DOCUMENT_UNREADABLE) | documented(RebalanceResultDTO),
    )
    async def get_rebalance(
        self, rebalance_id: RebalanceId, database: Database, dialect: Dialect
    ) -> Response[bytes] | Stream:
        """Return a stored rebalance with all its portfolios and positions, complete or as an error."""
        rebalance = await database.rebalances.get(object_id("rebalanceId", rebalance_id))
        portfolios = ReadPortfolios(database.rebalances.packed_portfolios(rebalance))
        return await complete(portfolios, as_object(rebalance, portfolios, dialect))

    @get(
        "/rebalance/{rebalance_id:str}/portfolios",
        operation_id="getRebalancePortfolios",
        summary="Get the portfolios of a rebalance",
        responses=errors(ErrorCode.REBALANCE_NOT_FOUND, ErrorCode.DOCUMENT_UNREADABLE)
        | documented(list[PortfolioResultDTO]),
    )
    async def get_portfolios(
        self, rebalance_id: RebalanceId, database: Database, dialect: Dialect
    ) -> Response[bytes] | Stream:
        """Return the portfolios of a stored rebalance with their positions."""
        rebalance = await database.rebalances.get(object_id("rebalanceId", rebalance_id))
        portfolios = ReadPortfolios(database.rebalances.packed_portfolios(rebalance))
        return await complete(portfolios, portfolios_as_array(portfolios, dialect))

    @get(
        "/rebalance/{rebalance_id:str}/portfolio/{portfolio_id:str}/positions",
        operation_id="getRebalancePositions",
        summary="Get the positions of one portfolio of a rebalance",
        responses=errors(ErrorCode.REBALANCE_NOT_FOUND, ErrorCode.DOCUMENT_UNREADABLE, ErrorCode.PORTFOLIO_NOT_FOUND),
    )
    async def get_positions(
        self, rebalance_id: RebalanceId, portfolio_id: PortfolioId, database: Database, dialect: Dialect
    ) -> list[PositionResultDTO]:
        """Return the positions of one portfolio of a stored rebalance; the list is empty if the portfolio failed."""
        return PortfolioResultDTO.of(await _portfolio(database, rebalance_id, portfolio_id), dialect).positions or []

    @get(
        "/rebalance/{rebalance_id:str}/portfolio/{portfolio_id:str}/proof",
        operation_id="getRebalanceProof",
        summary="Get the proof of one portfolio's trades",
        responses=errors(ErrorCode.REBALANCE_NOT_FOUND, ErrorCode.DOCUMENT_UNREADABLE, ErrorCode.PORTFOLIO_NOT_FOUND),
    )
    async def get_proof(
        self, rebalance_id: RebalanceId, portfolio_id: PortfolioId, database: Database
    ) -> PortfolioProofDTO:
        """Return the figures that prove how good the trades of one portfolio are.

        `gap` 0 means that no better trades exist. The figures are null if the portfolio failed.
        """
        return PortfolioProofDTO.of(await _portfolio(database, rebalance_id, portfolio_id))

    @get(
        "/rebalance/{rebalance_id:str}/trades",
        operation_id="getRebalanceTrades",
        summary="Get every trade of a rebalance",
        responses=errors(ErrorCode.REBALANCE_NOT_FOUND, ErrorCode.DOCUMENT_UNREADABLE) | documented(list[TradeDTO]),
    )
    async def get_trades(
        self,
        rebalance_id: RebalanceId,
        request: Request[Any, Any, Any],
        database: Database,
        dialect: Dialect,
        format: Annotated[  # noqa: A002 - the name of the parameter
            str | None,
            QueryParameter(
                description="`csv` for CSV, as with `Accept: text/csv`; JSON otherwise.",
                schema_extra={"enum": list(FORMATS)},
            ),
        ] = None,
    ) -> Response[bytes] | Stream:
        """Return the trades of all portfolios in one flat array, or as a CSV file with one header row.

        Within a portfolio, sales come before purchases. Failed portfolios have no trades. No orders are sent.
        """
        if format is not None and format not in FORMATS:
            raise InvalidField("format", f"must be {' or '.join(FORMATS)}")
        rebalance = await database.rebalances.get(object_id("rebalanceId", rebalance_id))
        portfolios = ReadPortfolios(database.rebalances.portfolios(rebalance))
        trades = _trades(portfolios)
        if format == "csv" or (format is None and _prefers_csv(request)):
            named = {"Content-Disposition": f'attachment; filename="trades-{rebalance.id}.csv"'}
            return await complete(portfolios, trades_as_csv(trades, dialect), "text/csv", named)
        shown = (encode(dialect.spell(trade)) async for block in trades for trade in block)
        return await complete(portfolios, array(shown))

    @delete(
        "/rebalance/{rebalance_id:str}",
        operation_id="deleteRebalance",
        summary="Delete a rebalance",
        status_code=200,
        responses=errors(
            ErrorCode.REBALANCE_NOT_FOUND,
            ErrorCode.DOCUMENT_UNREADABLE,
            ErrorCode.VERSION_CONFLICT,
            ErrorCode.ORDERS_SENT,
        ),
    )
    async def delete_rebalance(
        self, rebalance_id: RebalanceId, version: Version, database: Database
    ) -> DeletedRebalanceDTO:
        """Delete a stored rebalance with all its portfolios if it still has this version.

        A rebalance whose orders were requested cannot be deleted.
        """
        await database.rebalances.delete(object_id("rebalanceId", rebalance_id), version)
        return DeletedRebalanceDTO(rebalance_id, deleted=True)


async def _portfolio(database: Database, rebalance_id: str, portfolio_id: str) -> RebalancedPortfolio:
    portfolio_id = external_id("portfolioId", portfolio_id)
    portfolio = await database.rebalances.portfolio(object_id("rebalanceId", rebalance_id), portfolio_id)
    if portfolio is None:
        raise OrderGenerationError(
            ErrorCode.PORTFOLIO_NOT_FOUND,
            "The portfolio was not part of this rebalance.",
            {"rebalanceId": rebalance_id, "portfolioId": portfolio_id},
        )
    return portfolio


async def _trades(portfolios: AsyncIterable[RebalancedPortfolio]) -> AsyncIterator[list[TradeDTO]]:
    """Yield the trades of each portfolio."""
    async for portfolio in portfolios:
        yield TradeDTO.all_of(portfolio)


def _prefers_csv(request: Request[Any, Any, Any]) -> bool:
    return request.accept.best_match(["application/json", "text/csv"]) == "text/csv"


async def as_array(
    rebalances: Sequence[Rebalance], database: Database, dialect: Dialect, *, positions: bool = True
) -> AsyncIterator[bytes]:
    """Write rebalances as a JSON array. Portfolios that are unreadable are left out."""
    opening = b"["
    for rebalance in rebalances:
        portfolios: AsyncIterable[RebalancedPortfolio | PackedPortfolio]
        if positions:
            portfolios = database.rebalances.packed_portfolios(rebalance, skip_unreadable=True)
        else:
            portfolios = database.rebalances.portfolios(rebalance, positions=False, skip_unreadable=True)
        yield opening
        async for chunk in as_object(rebalance, portfolios, dialect, positions=positions):
            yield chunk
        opening = b","
    yield b"]" if rebalances else b"[]"


async def as_object(
    rebalance: Rebalance,
    portfolios: AsyncIterable[RebalancedPortfolio | PackedPortfolio],
    dialect: Dialect,
    *,
    positions: bool = True,
) -> AsyncIterator[bytes]:
    """Write a rebalance as a JSON object, whose last field is its portfolios."""
    yield encode(dialect.spell(RebalanceResultDTO.of(rebalance, []))).removesuffix(b"[]}")
    async for chunk in portfolios_as_array(portfolios, dialect, positions=positions):
        yield chunk
    yield b"}"


async def portfolios_as_array(
    portfolios: AsyncIterable[RebalancedPortfolio | PackedPortfolio], dialect: Dialect, *, positions: bool = True
) -> AsyncIterator[bytes]:
    """Write portfolios as a JSON array, one at a time."""
    opening = b"["
    async for each in portfolios:
        if isinstance(each, PackedPortfolio):
            yield opening + packed_json(each, dialect)
        else:
            yield opening + encode(dialect.spell(PortfolioResultDTO.of(each, dialect, positions=positions)))
        opening = b","
    yield b"]" if opening == b"," else b"[]"
