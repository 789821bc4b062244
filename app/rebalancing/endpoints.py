"""The endpoints that rebalance."""

from typing import Annotated

from litestar import Controller, MediaType, Response, post
from litestar.params import HeaderParameter, PathParameter, QueryParameter
from litestar.response import Stream

from app.errors.codes import ErrorCode
from app.http.headers import IDEMPOTENCY_KEY
from app.http.identifiers import EXTERNAL_ID_PATTERN, OBJECT_ID_PATTERN, external_id, object_id
from app.http.responses import REBALANCE_ERRORS, documented, errors
from app.http.streaming import BLOCK_BYTES, blocks
from app.models.endpoints import ModelId
from app.rebalancing.idempotency import KEY_PATTERN
from app.rebalancing.schemas import RebalanceRequest
from app.rebalancing.service import RebalanceService
from app.solver_task.schemas import RebalanceDTO

PortfolioId = Annotated[
    str, PathParameter(description="24 letters or digits.", schema_extra={"pattern": EXTERNAL_ID_PATTERN})
]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name=IDEMPOTENCY_KEY,
        description="For 24 hours, a request with the same key, target and rules returns the stored response.",
        schema_extra={"pattern": KEY_PATTERN},
    ),
]
NO_RULES = RebalanceRequest()


def _chosen_model(name: str) -> QueryParameter:
    return QueryParameter(
        name=name,
        description="The model, if several contain the portfolio.",
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
        responses=errors(ErrorCode.MODEL_NOT_FOUND, ErrorCode.DOCUMENT_UNREADABLE, *REBALANCE_ERRORS, body=True)
        | documented(list[RebalanceDTO]),
    )
    async def rebalance_model(
        self,
        model_id: ModelId,
        rebalances: RebalanceService,
        data: RebalanceRequest | None = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[bytes] | Stream:
        """Compute the trades of every portfolio of the model, in its order, and store the rebalance.

        A portfolio that fails has the reason in `error`; if all portfolios fail, the response is an error, and the
        rebalance is stored nevertheless. A preview stores nothing. No orders are sent.
        """
        body = await rebalances.rebalance_model(object_id("modelId", model_id), data or NO_RULES, idempotency_key)
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
            body=True,
        )
        | documented(RebalanceDTO),
    )
    async def rebalance_portfolio(
        self,
        portfolio_id: PortfolioId,
        rebalances: RebalanceService,
        data: RebalanceRequest | None = None,
        model_id: Annotated[str | None, _chosen_model("modelId")] = None,
        model_id_in_snake_case: Annotated[str | None, _chosen_model("model_id")] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[bytes]:
        """Compute the trades of one portfolio and store the rebalance.

        If the portfolio fails, the response is an error, and the rebalance is stored nevertheless. A preview stores
        nothing. No orders are sent.
        """
        portfolio_id = external_id("portfolioId", portfolio_id)
        model_id = model_id if model_id is not None else model_id_in_snake_case
        chosen = None if model_id is None else object_id("modelId", model_id)
        body = await rebalances.rebalance_portfolio(portfolio_id, chosen, data or NO_RULES, idempotency_key)
        return Response(b"".join(body.parts()), media_type=MediaType.JSON)
