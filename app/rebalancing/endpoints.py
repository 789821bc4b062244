"""The endpoints that rebalance."""

from typing import Annotated

from litestar import Controller, MediaType, Response, post
from litestar.params import HeaderParameter, PathParameter, QueryParameter
from litestar.response import Stream

from app.errors.codes import ErrorCode
from app.http.headers import IDEMPOTENCY_KEY
from app.http.identifiers import EXTERNAL_ID_PATTERN, OBJECT_ID_PATTERN, external_id, object_id
from app.http.responses import REBALANCE_ERRORS, errors
from app.http.responses import answers as documented
from app.http.streaming import BLOCK_BYTES, blocks
from app.models.endpoints import ModelId
from app.rebalancing.idempotency import KEY_PATTERN
from app.rebalancing.service import RebalanceService
from app.solver_task.schemas import RebalanceDTO

PortfolioId = Annotated[
    str, PathParameter(description="24 letters or digits.", schema_extra={"pattern": EXTERNAL_ID_PATTERN})
]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name=IDEMPOTENCY_KEY,
        description="The same key again replays the answer, for 24 hours.",
        schema_extra={"pattern": KEY_PATTERN},
    ),
]


def _chosen_model(name: str) -> QueryParameter:
    return QueryParameter(
        name=name,
        description="Which model, where several have the portfolio.",
        schema_extra={"pattern": OBJECT_ID_PATTERN},
    )


class RebalanceController(Controller):
    """Rebalance the portfolios of a model."""

    path = "/api/v1"
    tags = ("Rebalancing",)

    @post(
        "/model/{model_id:str}/rebalance",
        operation_id="rebalanceModel",
        summary="Rebalance every portfolio of a model",
        status_code=200,
        responses=errors(ErrorCode.MODEL_NOT_FOUND, ErrorCode.DOCUMENT_UNREADABLE, *REBALANCE_ERRORS)
        | documented(list[RebalanceDTO]),
    )
    async def rebalance_model(
        self, model_id: ModelId, rebalances: RebalanceService, idempotency_key: IdempotencyKey = None
    ) -> Response[bytes] | Stream:
        """Give each portfolio's orders in the model's order; portfolios that fail say why."""
        body = await rebalances.rebalance_model(object_id("modelId", model_id), idempotency_key)
        if len(body) < BLOCK_BYTES:
            return Response(b"".join([part async for part in body.array()]), media_type=MediaType.JSON)
        return Stream(blocks(body.array()), media_type=MediaType.JSON)

    @post(
        "/portfolio/{portfolio_id:str}/rebalance",
        operation_id="rebalancePortfolio",
        summary="Rebalance one portfolio",
        status_code=200,
        responses=errors(
            ErrorCode.MODEL_NOT_FOUND,
            ErrorCode.DOCUMENT_UNREADABLE,
            ErrorCode.PORTFOLIO_NOT_FOUND,
            ErrorCode.AMBIGUOUS_MODEL,
            *REBALANCE_ERRORS,
        )
        | documented(RebalanceDTO),
    )
    async def rebalance_portfolio(
        self,
        portfolio_id: PortfolioId,
        rebalances: RebalanceService,
        model_id: Annotated[str | None, _chosen_model("modelId")] = None,
        model_id_in_snake_case: Annotated[str | None, _chosen_model("model_id")] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[bytes]:
        """Give one portfolio's orders."""
        portfolio_id = external_id("portfolioId", portfolio_id)
        model_id = model_id if model_id is not None else model_id_in_snake_case
        wanted = None if model_id is None else object_id("modelId", model_id)
        body = await rebalances.rebalance_portfolio(portfolio_id, wanted, idempotency_key)
        return Response(b"".join(body.parts()), media_type=MediaType.JSON)
