"""The errors that the API document shows with each operation, all in the one envelope."""

from litestar.openapi.datastructures import ResponseSpec

from app.api.envelope import ErrorEnvelope


def _documented(description: str) -> ResponseSpec:
    return ResponseSpec(data_container=ErrorEnvelope, description=description, generate_examples=False)


def streams(kind: object) -> dict[int, ResponseSpec]:
    """Document an answer that is written piece by piece, whose type the handler does not say."""
    return {200: ResponseSpec(data_container=kind, description="Request fulfilled", generate_examples=False)}


INVALID = {400: _documented("`VALIDATION_ERROR`: the details name the field and the rule.")}
NO_MODEL = {404: _documented("`MODEL_NOT_FOUND`")}
NO_REBALANCE = {404: _documented("`REBALANCE_NOT_FOUND`")}
CONFLICT = {409: _documented("A version, name, position or idempotency key is not free for this; the code says which.")}
REBALANCE_FAILED = {
    422: _documented(
        "Every portfolio failed, none for a dependency: `OPTIMIZATION_FAILED`, `PRICE_UNAVAILABLE`, "
        "`SECURITY_NOT_FOUND` or `DEADLINE_EXCEEDED`."
    ),
    503: _documented("Every portfolio failed, one for a dependency, or the database is away."),
}
