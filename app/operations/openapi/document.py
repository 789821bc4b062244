"""The API document: what Litestar describes of the routes, with the values, names, headers and examples of the wire."""

import re
from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from litestar.openapi.spec import OpenAPIType, Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from app.errors.envelope import ErrorEnvelope, PortalErrorEnvelope
from app.history.endpoints import DeletedRebalanceDTO
from app.history.schemas import PortfolioProofDTO, PortfolioResultDTO, PositionResultDTO, RebalanceResultDTO, TradeDTO
from app.http import correlation
from app.http.dialect import Dialect, camel_case, snake_case
from app.http.exact_json import NUMBER_PATTERN, Number
from app.http.query import WholeNumber
from app.models.schemas import (
    ModelDTO,
    ModelHistoryDTO,
    ModelPortfolioDTO,
    ModelPositionRequest,
    ModelPostDTO,
    ModelPutDTO,
)
from app.operations.health import LiveDTO, ReadyDTO
from app.operations.openapi.descriptions import DESCRIPTIONS, DESCRIPTIONS_OF
from app.operations.openapi.json_schema import plain
from app.operations.version import VersionDTO
from app.optimizations.schemas import OptimizationRequest
from app.orders.schemas import OrdersRequest, OrderSubmissionDTO
from app.rebalancing.schemas import RebalanceRequest
from app.solver_task.schemas import OptimizationDTO, RebalanceDTO

type Json = dict[str, Any]
"""An object of the document."""

EXAMPLES = Path(__file__).with_name("examples.json")
"""Real responses: `{"operations": {operationId: {"request", "status", "response"}}, "errors": {code: envelope}}`."""

_BODIES = (
    ModelPostDTO,
    ModelPutDTO,
    ModelPositionRequest,
    ModelPortfolioDTO,
    ModelDTO,
    ModelHistoryDTO,
    RebalanceRequest,
    RebalanceDTO,
    OptimizationRequest,
    OptimizationDTO,
    RebalanceResultDTO,
    PortfolioResultDTO,
    PositionResultDTO,
    TradeDTO,
    PortfolioProofDTO,
    DeletedRebalanceDTO,
    OrdersRequest,
    OrderSubmissionDTO,
    LiveDTO,
    ReadyDTO,
    VersionDTO,
)
_SCHEMAS = "#/components/schemas/"
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")
_CODE = re.compile(r"^`([A-Z_]+)`:", re.MULTILINE)
_RETRY_AFTER_STATUSES = frozenset({"409", "503"})
_SUCCESSES = {"200": "Success", "201": "Created", "204": "Deleted"}
_METHODS = ("get", "post", "put", "delete")
_JSON = "application/json"


def finished(described: Json, dialect: Dialect) -> Json:
    """Build the document that the service shows.

    Args:
        described: what Litestar says of the routes, in the standard dialect.
        dialect: how names are spelled in this process.
    """
    document = deepcopy(described)
    document["components"] = {"schemas": _schemas(dialect), "headers": _HEADERS, "parameters": _PARAMETERS}
    examples = msgspec.json.Decoder(dict[str, Json], float_hook=Decimal).decode(EXAMPLES.read_bytes())
    for operation in _operations(document):
        operation.pop("deprecated", None)
        parameters = [_parameter(each) for each in operation.get("parameters", ()) if _is_spelled(each, dialect)]
        operation["parameters"] = [*parameters, {"$ref": "#/components/parameters/CorrelationId"}]
        _mark_optional_body(operation)
        for parameter in operation["parameters"]:
            if parameter.get("name") == "sort_by" and operation["operationId"] in _SORT_EXAMPLES:
                parameter["example"] = _SORT_EXAMPLES[operation["operationId"]]
        for status, response in operation["responses"].items():
            response["headers"] = _response_headers(status)
            response["description"] = _SUCCESSES.get(status, response["description"])
        _add_headers(operation)
        _show_response(examples["operations"].get(operation["operationId"]), operation, dialect)
        _show_errors(examples["errors"], operation, dialect)
    # Short paths first: they are the ones that are most often looked up.
    document["paths"] = {
        path: {method: item[method] for method in _METHODS if method in item}
        for path, item in sorted(document["paths"].items(), key=lambda entry: (len(entry[0]), entry[0]))
    }
    if dialect is Dialect.STANDARD:
        document["paths"] = {_in_camel_case(path): item for path, item in document["paths"].items()}
        for operation in _operations(document):
            for parameter in operation["parameters"]:
                if parameter.get("in") == "path":
                    parameter["name"] = camel_case(parameter["name"])
    return document


class NumberSchemaPlugin(OpenAPISchemaPlugin):
    """Describes the numbers of queries; what is in bodies is described by the bodies' own types."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Document the integers of query parameters, and decimals."""
        return isinstance(value, type) and issubclass(value, WholeNumber | Decimal)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:  # noqa: ARG002
        """Describe a number and its range."""
        kind = field_definition.annotation
        if issubclass(kind, WholeNumber):
            return Schema(type=OpenAPIType.INTEGER, minimum=kind.least, maximum=kind.most)
        return Schema(type=OpenAPIType.NUMBER)


_HEADERS: Json = {
    "CorrelationId": {
        "description": "Id of the request in every log line: the caller's, or a new one.",
        "required": True,
        "schema": {"type": "string"},
    },
    "RetryAfter": {
        "description": "Seconds after which the same request may succeed, if that is known.",
        "schema": {"type": "integer", "minimum": 1},
    },
}
_ID = "6b032f5cce9b04e7800fffbd"
_PARAMETER_EXAMPLES: Json = {
    "model_id": _ID,
    "modelId": _ID,
    "rebalance_id": "6b032f5cce9b04e7800fffbf",
    "portfolio_id": "68989d07fe10a9e1546d0c12",
    "offset": 0,
    "limit": 10,
    "sort_by": "-name",
    "view": "summary",
    "format": "csv",
    "version": 1,
    "Idempotency-Key": "2f1d6f3c-5c0b-4c39-9a53-b6b1f5a4b0d8",
}
_SORT_EXAMPLES = {"listRebalances": "-rebalance_date,model_name"}
_ADDED_HEADERS: Json = {
    "Location": {"description": "Path of what was created.", "required": True, "schema": {"type": "string"}},
    "X-Total-Count": {
        "description": "Number of elements on all pages.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "Link": {
        "description": 'The next and the previous page, if there are any: `<path>; rel="next"`, `<path>; rel="prev"`.',
        "schema": {"type": "string"},
    },
}
_LISTS = frozenset({"listModels", "getModelHistory", "listRebalances", "findRebalancesOfPortfolios"})
_PARAMETERS: Json = {
    "CorrelationId": {
        "name": correlation.HEADER,
        "in": "header",
        "required": False,
        "description": "Id of the request: 1 to 128 of A-Z, a-z, 0-9 and `._:-`; anything else is replaced.",
        "example": "import-2026-11-27.42",
        "schema": {"type": "string"},
    }
}


def _mark_optional_body(operation: Json) -> None:
    """Describe a body that may be absent as optional, which Litestar describes as one that may be null."""
    body = operation.get("requestBody")
    if body is None:
        return
    content = body["content"][_JSON]
    present = [each for each in content["schema"].get("oneOf", []) if each != {"type": "null"}]
    if len(present) == 1:
        content["schema"] = present[0]
        body["required"] = False


def _operations(document: Json) -> Iterator[Json]:
    for item in document["paths"].values():
        yield from (operation for operation in item.values() if "operationId" in operation)


def _schemas(dialect: Dialect) -> Json:
    """Describe the bodies in the dialect's own types, which decode and encode them."""
    envelope = ErrorEnvelope if dialect is Dialect.STANDARD else PortalErrorEnvelope
    _, schemas = msgspec.json.schema_components(
        [dialect.type_of(kind) for kind in (*_BODIES, envelope)],
        schema_hook=_custom_schema,
        ref_template=_SCHEMAS + "{name}",
    )
    schemas[ErrorEnvelope.__name__] = schemas.pop(envelope.__name__) | {"title": ErrorEnvelope.__name__}
    return {name: _described(name, plain(schema)) for name, schema in sorted(schemas.items())}


def _described(kind: str, schema: Json) -> Json:
    """Describe a schema without the attributes of its class, and every property."""
    if "description" in schema:
        schema["description"] = schema["description"].partition("\n\nAttributes:")[0]
    for name, field in schema.get("properties", {}).items():
        specific = DESCRIPTIONS_OF.get((kind, camel_case(name)))
        if specific is not None:
            field["description"] = specific
        elif "description" not in field:
            field["description"] = DESCRIPTIONS[camel_case(name)]
    return schema


def _custom_schema(kind: type) -> Json:
    if kind is Number:
        return {"type": ["number", "string"], "format": "decimal", "pattern": NUMBER_PATTERN}
    if kind is object:
        return {"description": "Any JSON value."}
    raise NotImplementedError


def _is_spelled(parameter: Json, dialect: Dialect) -> bool:
    """Return whether a parameter's name is in this dialect; those that have two names are understood by both."""
    if parameter["in"] != "query" or parameter["name"] not in {"modelId", "model_id"}:
        return True
    return bool(parameter["name"] == dialect.field_name("modelId"))


def _parameter(described: Json) -> Json:
    schema = {name: value for name, value in described["schema"].items() if name != "description"}
    match schema.pop("oneOf", None):
        case [one, {"type": "null"}]:
            # A parameter that is not sent is absent; there is no null in a URL.
            schema = {**one, **schema}
    if isinstance(schema.get("default"), WholeNumber):
        schema["default"] = int(schema["default"])
    return {
        "name": described["name"],
        "in": described["in"],
        "description": described["description"],
        "required": described["required"],
        "schema": schema,
        "example": _PARAMETER_EXAMPLES[described["name"]],
    }


def _response_headers(status: str) -> Json:
    headers = {correlation.HEADER: {"$ref": "#/components/headers/CorrelationId"}}
    if status in _RETRY_AFTER_STATUSES:
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    return headers


def _add_headers(operation: Json) -> None:
    """Describe the headers of what was created and of lists, and the file of trades."""
    responses = operation["responses"]
    if "201" in responses:
        responses["201"]["headers"]["Location"] = _ADDED_HEADERS["Location"]
    if operation["operationId"] in _LISTS:
        responses["200"]["headers"] |= {name: _ADDED_HEADERS[name] for name in ("X-Total-Count", "Link")}
    if operation["operationId"] == "getRebalanceTrades":
        responses["200"]["content"]["text/csv"] = {"schema": {"type": "string"}}


def _show_response(example: Json | None, operation: Json, dialect: Dialect) -> None:
    if example is None:
        return
    if "request" in example:
        operation["requestBody"]["content"][_JSON]["example"] = _spelled(example["request"], dialect)
    operation["responses"][example["status"]]["content"][_JSON]["example"] = _spelled(example["response"], dialect)


def _show_errors(examples: Json, operation: Json, dialect: Dialect) -> None:
    for response in operation["responses"].values():
        codes = [code for code in _CODE.findall(response["description"]) if code in examples]
        if codes:
            response["content"][_JSON]["examples"] = {
                code: {"value": _spelled(examples[code], dialect)} for code in codes
            }


def _spelled(example: Any, dialect: Dialect) -> Any:
    """Spell an example, which is kept in the standard dialect."""
    if dialect is Dialect.STANDARD:
        return example
    match example:
        case {"error": {"message": message} as error, **rest} if not rest:
            return {"error": _spelled(error, dialect), "detail": message}
        case dict():
            return {snake_case(name): _spelled(value, dialect) for name, value in example.items()}
        case list():
            return [_spelled(value, dialect) for value in example]
        case _:
            return example


def _in_camel_case(path: str) -> str:
    return _PATH_PARAMETER.sub(lambda match: "{" + camel_case(match[1]) + "}", path)
