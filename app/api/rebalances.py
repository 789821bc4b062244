"""The endpoints that rebalance."""

from typing import Annotated

from bson import ObjectId
from litestar import Controller, MediaType, Response, post
from litestar.params import HeaderParameter, PathParameter, QueryParameter
from litestar.response import Stream

from app.api.models import ModelId
from app.errors import ErrorCode, OrderGenerationError
from app.http.dialect import Dialect
from app.http.identifiers import EXTERNAL_ID_PATTERN, OBJECT_ID_PATTERN, external_id, object_id
from app.openapi.responses import REBALANCE_ERRORS, answers, errors
from app.rebalancing import idempotency
from app.rebalancing.answer import RebalanceDTO
from app.rebalancing.answers import BLOCK_BYTES, Answers
from app.rebalancing.rebalance import Rebalanced, Rebalancer
from persistence.database import Database
from persistence.documents import Model

PortfolioId = Annotated[
    str, PathParameter(description="24 letters or digits.", schema_extra={"pattern": EXTERNAL_ID_PATTERN})
]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name=idempotency.HEADER,
        description="The same key again replays the answer, for 24 hours.",
        schema_extra={"pattern": idempotency.KEY_PATTERN},
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
        responses=errors(ErrorCode.MODEL_NOT_FOUND, *REBALANCE_ERRORS) | answers(list[RebalanceDTO]),
    )
    async def rebalance_model(
        self,
        model_id: ModelId,
        database: Database,
        rebalancer: Rebalancer,
        dialect: Dialect,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[bytes] | Stream:
        """Give each portfolio's orders in the model's order; portfolios that fail say why."""
        wanted = object_id("modelId", model_id)

        async def work(rebalance_id: ObjectId) -> Rebalanced | None:
            model = await database.models.get(wanted)
            return await rebalancer.rebalance(model, model.portfolios, rebalance_id) if model.portfolios else None

        rebalanced = await idempotency.once(database, idempotency_key, f"model/{wanted}", dialect, work)
        if rebalanced is None:
            return Response(b"[]", media_type=MediaType.JSON)
        collected = answers_of(rebalanced)
        if len(collected) < BLOCK_BYTES:
            return Response(b"".join(collected.array()), media_type=MediaType.JSON)
        return Stream(collected.array(), media_type=MediaType.JSON)

    @post(
        "/portfolio/{portfolio_id:str}/rebalance",
        operation_id="rebalancePortfolio",
        summary="Rebalance one portfolio",
        status_code=200,
        responses=errors(
            ErrorCode.MODEL_NOT_FOUND, ErrorCode.PORTFOLIO_NOT_FOUND, ErrorCode.AMBIGUOUS_MODEL, *REBALANCE_ERRORS
        )
        | answers(RebalanceDTO),
    )
    async def rebalance_portfolio(
        self,
        portfolio_id: PortfolioId,
        database: Database,
        rebalancer: Rebalancer,
        dialect: Dialect,
        model_id: Annotated[str | None, _chosen_model("modelId")] = None,
        model_id_in_snake_case: Annotated[str | None, _chosen_model("model_id")] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[bytes]:
        """Give one portfolio's orders."""
        portfolio_id = external_id("portfolioId", portfolio_id)
        model_id = model_id if model_id is not None else model_id_in_snake_case
        wanted = None if model_id is None else object_id("modelId", model_id)

        async def work(rebalance_id: ObjectId) -> Rebalanced:
            model = await model_of(database, portfolio_id, wanted)
            return await rebalancer.rebalance(model, [portfolio_id], rebalance_id)

        target = f"portfolio/{portfolio_id}" + (f"/model/{wanted}" if wanted else "")
        rebalanced = await idempotency.once(database, idempotency_key, target, dialect, work)
        assert rebalanced is not None, "there is always one portfolio to rebalance"
        return Response(b"".join(answers_of(rebalanced).parts()), media_type=MediaType.JSON)


def answers_of(rebalanced: Rebalanced) -> Answers:
    """Give the answers of a rebalance.

    Raises:
        OrderGenerationError: every portfolio failed.
    """
    if error := idempotency.all_failed(rebalanced):
        rebalanced.answers.close()
        raise error
    return rebalanced.answers


async def model_of(database: Database, portfolio_id: str, model_id: ObjectId | None) -> Model:
    """Find the model that a portfolio follows.

    Raises:
        OrderGenerationError: `PORTFOLIO_NOT_FOUND`, or `AMBIGUOUS_MODEL` naming the models.
        persistence.errors.ModelNotFound: there is no model with the id given.
    """
    if model_id is not None:
        model = await database.models.get(model_id)
        models = [model] if portfolio_id in model.portfolios else []
    else:
        models = await database.models.with_portfolio(portfolio_id)
    if not models:
        raise OrderGenerationError(
            ErrorCode.PORTFOLIO_NOT_FOUND,
            "No model has this portfolio." if model_id is None else "The model does not have this portfolio.",
            {"portfolioId": portfolio_id},
        )
    if len(models) > 1:
        raise OrderGenerationError(
            ErrorCode.AMBIGUOUS_MODEL,
            f"{len(models)} models have this portfolio; the request must choose one of them.",
            {
                "portfolioId": portfolio_id,
                "models": [{"modelId": str(model.id), "name": model.name} for model in models],
            },
        )
    return models[0]
