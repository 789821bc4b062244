"""Bodies of requests as a caller of the standard dialect writes them."""

from typing import Any
from uuid import uuid4

from tests.harness.api import Api
from tests.harness.upstreams import fresh_id

type Json = dict[str, Any]


def position(security_id: str | None = None, target: Any = "0.1", high: Any = "0.05", low: Any = "0.05") -> Json:
    """A position, with numbers as strings unless given otherwise."""
    return {"securityId": security_id or fresh_id(), "target": target, "highDrift": high, "lowDrift": low}


def model(**fields: Any) -> Json:
    """A model with a name of its own, and whatever else is given."""
    return {"name": f"Model {uuid4().hex}", "positions": [], "portfolios": [], **fields}


def created(api: Api, **fields: Any) -> Json:
    """A model that has been created, as the service returned it."""
    body: Json = api.post("/models", model(**fields)).expect(201).body
    return body


def content(of: Json, **changes: Any) -> Json:
    """A model's response as the body of its replacement."""
    kept = {name: of[name] for name in ("name", "positions", "portfolios", "version")}
    return {**kept, **changes}


def path(of: Json, rest: str = "") -> str:
    """A model's path."""
    return f"/model/{of['modelId']}{rest}"
