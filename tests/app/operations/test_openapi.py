"""The API document: valid, in the dialect in force, its examples real responses, and its pages complete offline."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from jsonschema.validators import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from app.errors.codes import ErrorCode
from app.errors.envelope import ErrorEnvelope
from app.history.endpoints import SORT_FIELDS, DeletedRebalanceDTO
from app.history.schemas import PortfolioProofDTO, PortfolioResultDTO, PositionResultDTO, RebalanceResultDTO, TradeDTO
from app.http.dialect import Dialect
from app.http.exact_json import encode
from app.models.schemas import ModelDTO, ModelHistoryDTO
from app.operations.health import LiveDTO, ReadyDTO
from app.operations.openapi.document import EXAMPLES
from app.operations.version import VersionDTO
from app.orders.schemas import OrderSubmissionDTO
from app.solver_task.schemas import OptimizationDTO, RebalanceDTO
from tests.harness.api import Api

type Json = Any

OPERATIONS = {
    "listModels": list[ModelDTO],
    "createModel": ModelDTO,
    "getModel": ModelDTO,
    "replaceModel": ModelDTO,
    "deleteModel": None,
    "getModelHistory": list[ModelHistoryDTO],
    "addPosition": ModelDTO,
    "replacePosition": ModelDTO,
    "removePosition": ModelDTO,
    "addPortfolios": ModelDTO,
    "removePortfolios": ModelDTO,
    "rebalanceModel": list[RebalanceDTO],
    "rebalancePortfolio": RebalanceDTO,
    "listRebalances": list[RebalanceResultDTO],
    "findRebalancesOfPortfolios": list[RebalanceResultDTO],
    "getRebalance": RebalanceResultDTO,
    "getRebalancePortfolios": list[PortfolioResultDTO],
    "getRebalancePositions": list[PositionResultDTO],
    "getRebalanceProof": PortfolioProofDTO,
    "getRebalanceTrades": list[TradeDTO],
    "optimizePortfolios": list[OptimizationDTO],
    "sendOrders": OrderSubmissionDTO,
    "getOrders": OrderSubmissionDTO,
    "getVersion": VersionDTO,
    "deleteRebalance": DeletedRebalanceDTO,
    "getLiveness": LiveDTO,
    "getReadiness": ReadyDTO,
}


WITHOUT_EXAMPLE = {"OVERLOADED", "REQUEST_TIMEOUT"}
"""Codes that no call of the examples can cause."""


class _Example(msgspec.Struct):
    status: str
    response: msgspec.Raw

    @classmethod
    def of(cls, raw: msgspec.Raw) -> "_Example":
        return msgspec.json.decode(raw, type=cls)


EXAMPLES_BY_KIND = msgspec.json.decode(EXAMPLES.read_bytes(), type=dict[str, dict[str, msgspec.Raw]])
EXAMPLE_RESPONSES = [
    *((operation, bytes(_Example.of(raw).response)) for operation, raw in EXAMPLES_BY_KIND["operations"].items()),
    *((code, bytes(raw)) for code, raw in EXAMPLES_BY_KIND["errors"].items()),
]


@pytest.fixture
def document(api: Api) -> Json:
    return api.raw("GET", "/docs/openapi.json").expect(200).exact


def operations(document: Json) -> Iterator[Json]:
    for item in document["paths"].values():
        yield from item.values()


def named(part: Json) -> Iterator[str]:
    """The names of all properties in a part of the document."""
    match part:
        case {"properties": dict(properties), **rest}:
            yield from properties
            yield from named(list(properties.values()))
            yield from named(rest)
        case dict():
            yield from named(list(part.values()))
        case list():
            for each in part:
                yield from named(each)


def test_the_document_is_valid_and_has_every_operation_once(document: Json) -> None:
    """It satisfies the OpenAPI schema, and each operation has summary, description and tag."""
    validate(document)
    found = [each["operationId"] for each in operations(document)]
    assert sorted(found) == sorted(OPERATIONS)
    for each in operations(document):
        assert each["summary"]
        assert each["description"]
        assert each["tags"][0] in {"Models", "Rebalancing", "Optimisation", "Orders", "Service"}


def test_names_are_spelled_in_the_dialect_in_force(api: Api, document: Json) -> None:
    """No schema, path or query name uses the other dialect's spelling."""
    foreign = re.compile("_" if api.dialect is Dialect.STANDARD else "[A-Z]")
    assert [each for each in named(document["components"]) if foreign.search(each)] == []
    parameters = re.findall(r"\{(\w+)\}", " ".join(document["paths"]))
    assert [each for each in parameters if foreign.search(each)] == []
    for path, item in document["paths"].items():
        for each in item.values():
            in_path = {one["name"] for one in each["parameters"] if one.get("in") == "path"}
            assert in_path == set(re.findall(r"\{(\w+)\}", path))
    query = [one["name"] for each in operations(document) for one in each["parameters"] if one.get("in") == "query"]
    assert set(query) == {"offset", "limit", "sort_by", "view", "format", "version", api.name("modelId")}


def test_a_listing_says_what_it_can_be_sorted_by_in_either_spelling_and_which_views_there_are(document: Json) -> None:
    """Description and pattern agree with what the service accepts."""
    parameters = {
        one["name"]: one for one in document["paths"]["/api/v1/rebalances"]["get"]["parameters"] if "in" in one
    }
    sort_by = parameters["sort_by"]
    assert all(f"`{field}`" in sort_by["description"] for field in SORT_FIELDS)
    for accepted in ("-rebalance_date", "+modelName,numberOfPortfolios"):
        assert re.search(sort_by["schema"]["pattern"], accepted)
    assert not re.search(sort_by["schema"]["pattern"], "version")
    assert parameters["view"]["schema"] == {"type": "string", "enum": ["full", "summary"], "default": "full"}


def test_responses_have_every_key_and_requests_no_other(document: Json) -> None:
    """Response schemas require all properties; request schemas forbid others."""
    schemas = document["components"]["schemas"]
    requests = {name for name in schemas if name.endswith("Request") or name.startswith("Optimization")}
    requests |= {"ModelPostDTO", "ModelPutDTO", "ModelPortfolioDTO"}
    requests -= {"OptimizationDTO"}
    optional_fields = {
        "ModelPutDTO": 1,
        "RebalanceRequest": 2,
        "RulesRequest": 16,
        "OptimizationRulesRequest": 16,
        "OptimizationRequest": 1,
        "OrdersRequest": 2,
    }
    for name, schema in schemas.items():
        if "properties" in schema:
            assert schema["description"]
            optional = set(schema["properties"]) - set(schema.get("required", ()))
            assert len(optional) == optional_fields.get(name, 0)
            assert schema.get("additionalProperties", True) == (name not in requests)
    assert ("detail" in schemas["ErrorEnvelope"]["properties"]) == ("trace_id" in schemas["ErrorDTO"]["properties"])


def test_decimals_are_numbers_with_their_limits(api: Api, document: Json) -> None:
    """Limits and precision are exact, and a nullable decimal says so."""
    schemas = document["components"]["schemas"]
    target = schemas["ModelPositionRequest"]["properties"]["target"]
    assert target["type"] == ["number", "string"]
    assert [str(target[limit]) for limit in ("minimum", "maximum", "multipleOf")] == ["0", "0.95", "0.005"]
    drift = schemas["ModelPositionDTO"]["properties"][api.name("highDrift")]
    assert (drift["type"], drift["format"], drift["minimum"], drift["maximum"]) == ("number", "decimal", 0, 1)
    nullable = schemas["RebalanceDTO"]["properties"][api.name("marketValue")]
    assert (nullable["type"], nullable["format"]) == (["number", "null"], "decimal")
    identifier = schemas["ModelDTO"]["properties"][api.name("modelId")]
    assert (identifier["type"], identifier["pattern"]) == ("string", "^[0-9a-fA-F]{24}$")
    assert schemas["ModelPostDTO"]["properties"]["name"]["maxLength"] == 255


def test_every_choice_has_a_type(document: Json) -> None:
    """Generators of clients leave out operations whose responses have a choice without one."""
    choices = 0

    def look(value: Any) -> None:
        nonlocal choices
        if isinstance(value, dict):
            if isinstance(value.get("enum"), list):
                choices += 1
                assert value.get("type") in ("string", ["string", "null"]), value
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    look(document["components"]["schemas"])
    assert choices > 10
    deleted = document["components"]["schemas"]["DeletedRebalanceDTO"]["properties"]["deleted"]
    assert (deleted["type"], deleted["const"]) == ("boolean", True)


def test_every_field_is_described_and_every_parameter_has_an_example(document: Json) -> None:
    """Every property of every schema has a description, and every parameter an example."""
    fields = [
        (name, field, schema)
        for name, part in document["components"]["schemas"].items()
        for field, schema in part.get("properties", {}).items()
    ]
    assert fields
    assert [(name, field) for name, field, schema in fields if not schema.get("description")] == []
    parameters = [one for each in operations(document) for one in each["parameters"] if "in" in one]
    parameters += document["components"]["parameters"].values()
    assert parameters
    assert [one["name"] for one in parameters if "example" not in one] == []


def test_every_error_is_documented_with_the_envelope_under_the_status_of_its_code(document: Json) -> None:
    """Every code of the service appears under some operation."""
    told: set[str] = set()
    for operation in operations(document):
        for status, response in operation["responses"].items():
            assert "X-Correlation-ID" in response["headers"]
            if int(status) < 400 or operation["operationId"] == "getReadiness":
                continue
            assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorEnvelope"}
            codes = re.findall(r"^`([A-Z_]+)`: \w", response["description"], re.MULTILINE)
            assert codes
            assert {ErrorCode(code).status for code in codes} == {int(status)}
            told.update(codes)
        takes_a_body = "requestBody" in operation
        assert ({"413", "415"} <= set(operation["responses"])) == takes_a_body
    # These belong to no operation, or to operations that are still to come.
    assert set(ErrorCode) - told == {
        "METHOD_NOT_ALLOWED",
        "INTERNAL_ERROR",
    }


@pytest.mark.parametrize(("name", "response"), EXAMPLE_RESPONSES, ids=[name for name, _ in EXAMPLE_RESPONSES])
def test_an_example_is_a_response_of_today_to_the_last_key(name: str, response: bytes) -> None:
    """Decoded strictly into what is returned and written again, it is the same; else make the examples anew."""
    kind = OPERATIONS.get(name, ErrorEnvelope)
    decoded = msgspec.json.Decoder(kind, float_hook=Decimal).decode(response)
    assert msgspec.json.format(encode(decoded), indent=0) == msgspec.json.format(response, indent=0)


def test_every_operation_shows_a_request_and_a_response_and_every_code_a_response(document: Json) -> None:
    """Each body, success and error code has an example."""
    for operation in operations(document):
        if "requestBody" in operation:
            optional = operation["operationId"] in {"rebalanceModel", "rebalancePortfolio", "sendOrders"}
            assert operation["requestBody"]["required"] is not optional
            assert "example" in operation["requestBody"]["content"]["application/json"]
        shown = [status for status, each in operation["responses"].items() if "example" in _content(each)]
        assert shown in ([] if operation["operationId"] == "deleteModel" else ["200"], ["201"])
        for response in operation["responses"].values():
            codes = set(re.findall(r"`([A-Z_]+)`:", response["description"])) - WITHOUT_EXAMPLE
            assert set(_content(response).get("examples", {})) == codes


def _content(response: Json) -> Json:
    return response.get("content", {}).get("application/json", {})


def test_every_example_satisfies_its_schema(document: Json) -> None:
    """All examples of bodies validate against the schemas beside them."""
    registry: Registry[Json] = Registry().with_resource("urn:api", DRAFT202012.create_resource(document))

    checked = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            base = f"urn:api#/paths/{path.replace('~', '~0').replace('/', '~1')}/{method}"
            parts = [("requestBody", operation.get("requestBody"))]
            parts += [(f"responses/{status}", each) for status, each in operation["responses"].items()]
            for where, part in parts:
                values = [each["value"] for each in _content(part or {}).get("examples", {}).values()]
                values += [_content(part)["example"]] if part and "example" in _content(part) else []
                pointer = f"{base}/{where}/content/application~1json/schema".replace("{", "%7B").replace("}", "%7D")
                for value in values:
                    Draft202012Validator({"$ref": pointer}, registry=registry).validate(value)
                    checked += 1
    assert checked > 100


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_a_documentation_page_needs_nothing_from_elsewhere(api: Api, page: str) -> None:
    """Scripts and styles come from the service, and the policy allows no other source."""
    html = api.raw("GET", page).expect(200)
    assert html.headers["Content-Type"].startswith("text/html")
    assert not re.search(r"https?://|//\w+\.", html.text)
    policy = re.search(r'"Content-Security-Policy" content="([^"]+)"', html.text)
    assert policy is not None
    for kind in ("connect", "font", "img"):
        assert f"{kind}-src 'self'" in policy[1], "what a page's script asks for, it asks here"
    needed = re.findall(r'(?:src|href)="([^"]+)"', html.text) + re.findall(r'"(/docs/[^"]+)"', html.text)
    assert len(needed) >= 3
    for each in needed:
        assert api.raw("GET", each).expect(200).text
