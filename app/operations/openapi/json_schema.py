"""JSON Schema as msgspec writes it, in the form that people and generators of clients read best."""

from typing import Any

type Json = dict[str, Any]


def plain(schema: Any) -> Any:
    """Simplify a schema, at every depth.

    Decimals are called the numbers they are, choices have a type, and that a value may be null is said as briefly as
    JSON Schema can.
    """
    if isinstance(schema, list):
        return [plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: plain(value) for name, value in schema.items()}
    if schema.get("format") == "decimal" and schema.get("type") == "string":
        schema["type"] = "number"
    match schema.get("anyOf"):
        case [{"type": str(kind)} as one, {"type": "null"}] if "enum" not in one:
            del schema["anyOf"]
            return {**one, **schema, "type": [kind, "null"]}
        case [{"enum": list(values)}, {"type": "null"}]:
            schema = {"enum": [*values, None]}
    return _typed_choice(schema) if isinstance(schema.get("enum"), list) and "type" not in schema else schema


def _typed_choice(schema: Json) -> Json:
    """Add the type of a choice; generators of clients leave out what has none.

    A choice of one truth value becomes a constant, since a boolean with choices is unknown to them as well.
    """
    values = schema["enum"]
    if values == [True]:
        return {"type": "boolean", "const": True} | {name: each for name, each in schema.items() if name != "enum"}
    if not all(value is None or isinstance(value, str) for value in values):
        raise ValueError(f"choices of other types than texts: {values}")
    return {"type": ["string", "null"] if None in values else "string"} | schema
