"""Rebalancing as the endpoints request it: find the model, rebalance once per idempotency key, raise if all failed."""

from collections.abc import Callable
from hashlib import sha256

from bson import ObjectId

from app.errors import translation
from app.errors.codes import ErrorCode, InvalidField, OrderGenerationError
from app.http.dialect import Dialect
from app.http.headers import IDEMPOTENCY_KEY
from app.rebalancing import idempotency
from app.rebalancing.body import ResponseBody
from app.rebalancing.rebalance import Rebalanced, Rebalancer
from app.rebalancing.schemas import RebalanceRequest, fingerprint
from persistence import Database, Model


class RebalanceService:
    """Serves requests to rebalance."""

    def __init__(self, database: Database, rebalancer: Rebalancer, dialect: Dialect) -> None:
        self._database = database
        self._rebalancer = rebalancer
        self._dialect = dialect

    async def rebalance_model(self, model_id: ObjectId, request: RebalanceRequest, key: str | None) -> ResponseBody:
        """Rebalance every portfolio of a model, in its order.

        Args:
            model_id: the model.
            request: the rules, and whether it is a preview.
            key: idempotency key, None for no protection.

        Raises:
            OrderGenerationError: every portfolio failed.
            persistence.PersistenceError: there is no such model, the key cannot be used, or nothing was stored.
        """
        target = _target(f"model/{model_id}", request, key)
        async with idempotency.attempt(self._database, key, target, self._dialect) as attempt:
            if attempt.replayed is None:
                model = await self._database.models.get(model_id)
                if model.portfolios:
                    attempt.rebalanced = await self._rebalancer.rebalance(
                        model, model.portfolios, request, attempt.rebalance_id
                    )
        rebalanced = attempt.replayed or attempt.rebalanced
        return _body(rebalanced) if rebalanced else ResponseBody()

    async def rebalance_portfolio(
        self, portfolio_id: str, model_id: ObjectId | None, request: RebalanceRequest, key: str | None
    ) -> ResponseBody:
        """Rebalance one portfolio to the given model, or to the only model that contains it.

        Raises:
            OrderGenerationError: no model contains the portfolio, or several do, or it failed.
            persistence.PersistenceError: as for a model.
        """
        target = f"portfolio/{portfolio_id}" + (f"/model/{model_id}" if model_id else "")
        target = _target(target, request, key)
        # Registered before its model has been read, so that a large rebalance makes room for it at once.
        with self._rebalancer.schedule.rebalance(1):
            async with idempotency.attempt(self._database, key, target, self._dialect) as attempt:
                if attempt.replayed is None:
                    model = await self._model_with(portfolio_id, model_id)
                    attempt.rebalanced = await self._rebalancer.rebalance(
                        model, [portfolio_id], request, attempt.rebalance_id
                    )
        rebalanced = attempt.replayed or attempt.rebalanced
        assert rebalanced is not None, "there is always one portfolio to rebalance"
        return _body(rebalanced)

    async def preview(self, model: Model, request: RebalanceRequest, on_result: Callable[[], None]) -> list[bytes]:
        """Compute what a rebalance of a model would do now, with the proofs; nothing is stored.

        Args:
            model: whose portfolios.
            request: a preview with its rules.
            on_result: called after each portfolio.

        Returns:
            The JSON of each portfolio, also of those that failed, in the order of the model.
        """
        rebalanced = await self._rebalancer.rebalance(
            model, model.portfolios, request, ObjectId(), with_proof=True, on_result=on_result
        )
        parts = list(rebalanced.body.parts())
        rebalanced.body.close()
        return parts

    async def _model_with(self, portfolio_id: str, model_id: ObjectId | None) -> Model:
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


def _body(rebalanced: Rebalanced) -> ResponseBody:
    if rebalanced.all_failed:
        rebalanced.body.close()
        raise translation.from_failures(rebalanced.failures, str(rebalanced.header.id) if rebalanced.stored else None)
    return rebalanced.body


def _target(target: str, request: RebalanceRequest, key: str | None) -> str:
    """Return what a key is for: the target, and the rules if there are any.

    Raises:
        InvalidField: a preview has a key.
    """
    if request.preview and key is not None:
        raise InvalidField(IDEMPOTENCY_KEY, "is not accepted with a preview, which stores nothing to replay")
    rules = fingerprint(request.solver_rules())
    return f"{target}?rules={sha256(rules.encode()).hexdigest()}" if rules else target
