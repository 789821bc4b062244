"""The model endpoints."""

from typing import Annotated, Any

from bson import ObjectId
from litestar import Controller, Request, delete, get, post, put
from litestar.params import PathParameter
from litestar.response import Stream

from app.clock import now
from app.errors.codes import ErrorCode
from app.http.correlation import correlation_id
from app.http.dialect import Dialect
from app.http.exact_json import encode
from app.http.headers import add_headers, add_page_headers
from app.http.identifiers import OBJECT_ID_PATTERN, object_id
from app.http.query import NO_OFFSET, PAGE_SIZE, Limit, Offset, PageSize, Version, sort_keys, sorted_by
from app.http.responses import documented, errors
from app.http.streaming import array, streamed
from app.models.edits import (
    Alteration,
    with_portfolios,
    with_position,
    with_position_replaced,
    without_portfolios,
    without_position,
)
from app.models.schemas import (
    ModelDTO,
    ModelHistoryDTO,
    ModelPortfolioDTO,
    ModelPositionRequest,
    ModelPostDTO,
    ModelPutDTO,
)
from persistence import AuditNote, Database, Model, ModelAction, ModelField

ModelId = Annotated[
    str, PathParameter(description="24 hexadecimal characters.", schema_extra={"pattern": OBJECT_ID_PATTERN})
]

SORT_FIELDS = {
    "model_id": ModelField.MODEL_ID,
    "name": ModelField.NAME,
    "last_rebalance_date": ModelField.LAST_REBALANCE_DATE,
}


class ModelController(Controller):
    """Create, read, change and delete models; every change stores a new version and an entry of the audit trail."""

    path = "/api/v1"
    tags = ("Models",)

    @get(
        "/models",
        operation_id="listModels",
        summary="List models",
        responses=errors() | documented(list[ModelDTO]),
    )
    async def list_models(
        self,
        database: Database,
        dialect: Dialect,
        request: Request[Any, Any, Any],
        offset: Offset = NO_OFFSET,
        limit: Limit = None,
        sort_by: Annotated[str | None, sorted_by(SORT_FIELDS)] = None,
    ) -> Stream:
        """List models: all of them, or a page if `offset` or `limit` is present.

        `X-Total-Count` counts the models of all pages. Stored documents that are not in this service's format are left
        out.
        """
        found = database.models.each(offset=offset, limit=limit, sort=sort_keys(sort_by, SORT_FIELDS))
        response = await streamed(array(encode(dialect.spell(ModelDTO.of(model))) async for model in found))
        # Counted after the page is read, which may have shown that a document is unreadable.
        add_page_headers(request, await database.models.count(), offset, limit)
        return response

    @post(
        "/models",
        operation_id="createModel",
        summary="Create a model",
        responses=errors(ErrorCode.DUPLICATE_NAME, body=True),
    )
    async def create_model(self, data: ModelPostDTO, database: Database, request: Request[Any, Any, Any]) -> ModelDTO:
        """Store a new model at version 1, and the first entry of its audit trail.

        Positions with target 0 are left out. Creating a model rebalances nothing.
        """
        content = data.content()
        model = Model(
            id=ObjectId(),
            name=content.name,
            positions=content.positions,
            portfolios=content.portfolios,
            last_rebalance_date=None,
            version=1,
        )
        await database.models.insert(model, change(ModelAction.CREATED))
        add_headers(request, {"Location": f"/api/v1/model/{model.id}"})
        return ModelDTO.of(model)

    @get(
        "/model/{model_id:str}",
        operation_id="getModel",
        summary="Get a model",
        responses=errors(ErrorCode.MODEL_NOT_FOUND, ErrorCode.DOCUMENT_UNREADABLE),
    )
    async def get_model(self, model_id: ModelId, database: Database) -> ModelDTO:
        """Return the current version of a model."""
        return ModelDTO.of(await database.models.get(object_id("modelId", model_id)))

    @put(
        "/model/{model_id:str}",
        operation_id="replaceModel",
        summary="Replace a model",
        responses=errors(
            ErrorCode.MODEL_NOT_FOUND,
            ErrorCode.DOCUMENT_UNREADABLE,
            ErrorCode.VERSION_CONFLICT,
            ErrorCode.DUPLICATE_NAME,
            body=True,
        ),
    )
    async def replace_model(self, model_id: ModelId, data: ModelPutDTO, database: Database) -> ModelDTO:
        """Replace a model completely if it still has the version in the body.

        The new version and its entry of the audit trail are stored together. Rebalances that are stored do not change.
        """
        content = data.content()
        model = Model(
            id=object_id("modelId", model_id),
            name=content.name,
            positions=content.positions,
            portfolios=content.portfolios,
            last_rebalance_date=data.rebalanced_at(),
            version=data.version,
        )
        return ModelDTO.of(await database.models.replace(model, change(ModelAction.REPLACED)))

    @delete(
        "/model/{model_id:str}",
        operation_id="deleteModel",
        summary="Delete a model",
        responses=errors(ErrorCode.MODEL_NOT_FOUND, ErrorCode.DOCUMENT_UNREADABLE, ErrorCode.VERSION_CONFLICT),
    )
    async def delete_model(self, model_id: ModelId, version: Version, database: Database) -> None:
        """Delete a model if it still has this version.

        Its audit trail and its stored rebalances remain.
        """
        await database.models.delete(object_id("modelId", model_id), version, change(ModelAction.DELETED))

    @get(
        "/model/{model_id:str}/history",
        operation_id="getModelHistory",
        summary="Get a model's audit trail",
        responses=errors(ErrorCode.MODEL_NOT_FOUND, ErrorCode.DOCUMENT_UNREADABLE),
    )
    async def get_history(
        self,
        model_id: ModelId,
        database: Database,
        request: Request[Any, Any, Any],
        offset: Offset = NO_OFFSET,
        limit: PageSize = PAGE_SIZE,
    ) -> list[ModelHistoryDTO]:
        """Return a page of the audit trail, newest first; also works for deleted models.

        Each entry has the content before and after one change, when it was made, and the correlation id of the request.
        """
        identifier = object_id("modelId", model_id)
        # An empty page still has to know whether there is such a model.
        entries = await database.models.history(identifier, offset=offset, limit=limit or 1)
        add_page_headers(request, await database.models.history_count(identifier), offset, limit)
        return [ModelHistoryDTO.of(entry) for entry in entries[:limit]]

    @post(
        "/model/{model_id:str}/position",
        operation_id="addPosition",
        summary="Add a position to a model",
        status_code=200,
        responses=errors(
            ErrorCode.MODEL_NOT_FOUND,
            ErrorCode.DOCUMENT_UNREADABLE,
            ErrorCode.DUPLICATE_POSITION,
            ErrorCode.VERSION_CONFLICT,
            body=True,
        ),
    )
    async def add_position(self, model_id: ModelId, data: ModelPositionRequest, database: Database) -> ModelDTO:
        """Add a security that the model does not have, and store the new version with its entry of the audit trail.

        With target 0 nothing is added.
        """
        return await _changed(database, model_id, with_position(data.to_position()), ModelAction.POSITION_ADDED)

    @put(
        "/model/{model_id:str}/position",
        operation_id="replacePosition",
        summary="Change a position of a model",
        responses=errors(
            ErrorCode.MODEL_NOT_FOUND,
            ErrorCode.DOCUMENT_UNREADABLE,
            ErrorCode.POSITION_NOT_FOUND,
            ErrorCode.VERSION_CONFLICT,
            body=True,
        ),
    )
    async def replace_position(self, model_id: ModelId, data: ModelPositionRequest, database: Database) -> ModelDTO:
        """Change target and drifts of a security that the model has; target 0 removes it.

        If nothing changes, no version is stored.
        """
        alter = with_position_replaced(data.to_position())
        return await _changed(database, model_id, alter, ModelAction.POSITION_CHANGED)

    @delete(
        "/model/{model_id:str}/position",
        operation_id="removePosition",
        summary="Remove a position from a model",
        status_code=200,
        responses=errors(
            ErrorCode.MODEL_NOT_FOUND,
            ErrorCode.DOCUMENT_UNREADABLE,
            ErrorCode.POSITION_NOT_FOUND,
            ErrorCode.POSITION_MISMATCH,
            ErrorCode.VERSION_CONFLICT,
            body=True,
        ),
    )
    async def remove_position(self, model_id: ModelId, data: ModelPositionRequest, database: Database) -> ModelDTO:
        """Remove a security from the model if its target and drifts are those in the body."""
        return await _changed(database, model_id, without_position(data.to_position()), ModelAction.POSITION_REMOVED)

    @post(
        "/model/{model_id:str}/portfolio",
        operation_id="addPortfolios",
        summary="Add portfolios to a model",
        status_code=200,
        responses=errors(
            ErrorCode.MODEL_NOT_FOUND, ErrorCode.DOCUMENT_UNREADABLE, ErrorCode.VERSION_CONFLICT, body=True
        ),
    )
    async def add_portfolios(self, model_id: ModelId, data: ModelPortfolioDTO, database: Database) -> ModelDTO:
        """Add portfolios to the model; those that it already has are ignored.

        They are not looked up: an id that no service knows fails when it is rebalanced.
        """
        return await _changed(database, model_id, with_portfolios(data.portfolios), ModelAction.PORTFOLIOS_ADDED)

    @delete(
        "/model/{model_id:str}/portfolio",
        operation_id="removePortfolios",
        summary="Remove portfolios from a model",
        status_code=200,
        responses=errors(
            ErrorCode.MODEL_NOT_FOUND, ErrorCode.DOCUMENT_UNREADABLE, ErrorCode.VERSION_CONFLICT, body=True
        ),
    )
    async def remove_portfolios(self, model_id: ModelId, data: ModelPortfolioDTO, database: Database) -> ModelDTO:
        """Remove portfolios from the model; those that it does not have are ignored."""
        alter = without_portfolios(data.portfolios)
        return await _changed(database, model_id, alter, ModelAction.PORTFOLIOS_REMOVED)


def change(action: ModelAction) -> AuditNote:
    """Build the audit trail's note of a change."""
    return AuditNote(action, now(), correlation_id())


async def _changed(database: Database, model_id: str, alter: Alteration, action: ModelAction) -> ModelDTO:
    return ModelDTO.of(await database.models.change(object_id("modelId", model_id), alter, change(action)))
