"""What the rebalance endpoints ask for: the model found, the rebalance done once for its key, the answers given."""

from bson import ObjectId

from app.errors.codes import ErrorCode, OrderGenerationError
from app.http.dialect import Dialect
from app.rebalancing import idempotency
from app.rebalancing.body import Answers
from app.rebalancing.rebalance import Rebalanced, Rebalancer
from persistence import Database, Model


class RebalanceRequests:
    """Serves requests to rebalance."""

    def __init__(self, database: Database, rebalancer: Rebalancer, dialect: Dialect) -> None:
        self._database = database
        self._rebalancer = rebalancer
        self._dialect = dialect

    async def of_model(self, model_id: ObjectId, key: str | None) -> Answers:
        """Rebalance every portfolio of a model; the answers are in its order.

        Args:
            model_id: which.
            key: idempotency key, None for none.

        Raises:
            OrderGenerationError: every portfolio failed.
            persistence.errors.PersistenceError: there is no such model, the key cannot be used, or nothing was stored.
        """

        async def work(rebalance_id: ObjectId) -> Rebalanced | None:
            model = await self._database.models.get(model_id)
            return await self._rebalancer.rebalance(model, model.portfolios, rebalance_id) if model.portfolios else None

        rebalanced = await idempotency.once(self._database, key, f"model/{model_id}", self._dialect, work)
        return _answers(rebalanced) if rebalanced else Answers()

    async def of_portfolio(self, portfolio_id: str, model_id: ObjectId | None, key: str | None) -> Answers:
        """Rebalance one portfolio to the model given, or to the only one that has it.

        Raises:
            OrderGenerationError: the portfolio has no such model, or several, or failed.
            persistence.errors.PersistenceError: as of a model.
        """

        async def work(rebalance_id: ObjectId) -> Rebalanced:
            model = await self._model_of(portfolio_id, model_id)
            return await self._rebalancer.rebalance(model, [portfolio_id], rebalance_id)

        target = f"portfolio/{portfolio_id}" + (f"/model/{model_id}" if model_id else "")
        # From now on, not only once its model has been read: nobody waits less patiently than for a single portfolio.
        with self._rebalancer.precedence.rebalance(1):
            rebalanced = await idempotency.once(self._database, key, target, self._dialect, work)
        assert rebalanced is not None, "there is always one portfolio to rebalance"
        return _answers(rebalanced)

    async def _model_of(self, portfolio_id: str, model_id: ObjectId | None) -> Model:
        if model_id is not None:
            model = await self._database.models.get(model_id)
            models = [model] if portfolio_id in model.portfolios else []
        else:
            models = await self._database.models.with_portfolio(portfolio_id)
        if not models:
            raise OrderGenerationError(
                ErrorCode.PORTFOLIO_NOT_FOUND,
                "No model has this portfolio." if model_id is None else "The model does not have this portfolio.",
                {"portfolioId": portfolio_id},
            )
        if len(models) > 1:
            parameter = self._dialect.field_name("modelId")
            raise OrderGenerationError(
                ErrorCode.AMBIGUOUS_MODEL,
                f"{len(models)} models have this portfolio; choose one of them by the query parameter {parameter}.",
                {
                    "portfolioId": portfolio_id,
                    "models": [{"modelId": str(model.id), "name": model.name} for model in models],
                },
            )
        return models[0]


def _answers(rebalanced: Rebalanced) -> Answers:
    if error := idempotency.all_failed(rebalanced):
        rebalanced.answers.close()
        raise error
    return rebalanced.answers
