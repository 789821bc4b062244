"""Query parameters that an operation does not have are an error under /api/v1, as misspelled fields of a body are.

Only in the standard dialect: the suite's portal forwards any query.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from litestar import Litestar, Request
from litestar.routes import HTTPRoute

from app.errors.codes import InvalidField, check
from app.http.dialect import Dialect

PREFIX = "/api/v1/"


def reject_unknown_parameters(request: Request[Any, Any, Any]) -> None:
    """Check the names in a request's query.

    Raises:
        InvalidFields: it has a parameter that the operation does not have, or one of them twice.
    """
    app: Litestar = request.app
    if app.state.dialect is not Dialect.STANDARD or not request.scope["path"].startswith(PREFIX):
        return
    sent = [name for name, _ in request.query_params.multi_items()]
    if not sent:
        return
    known = _parameters(app)[request.scope["path_template"], request.method]
    check(
        [InvalidField(name, _unknown(name, known)) for name in dict.fromkeys(sent) if name not in known]
        + [InvalidField(name, "occurs more than once") for name in known if sent.count(name) > 1]
    )


def _unknown(name: str, known: frozenset[str]) -> str:
    close = get_close_matches(name[:100], known, 1)
    accepted = f"accepted: {', '.join(sorted(known))}" if known else "it has none"
    return f"is not a query parameter of this request; {f'did you mean {close[0]}?' if close else accepted}"


def _parameters(app: Litestar) -> Mapping[tuple[str, str], frozenset[str]]:
    """Return the query parameters of each operation, by path and method."""
    found: Mapping[tuple[str, str], frozenset[str]] | None = app.state.get("query_parameters")
    if found is None:
        found = {
            (route.path_format, method): frozenset(each.field_alias for each in model.expected_query_params)
            for route in app.routes
            if isinstance(route, HTTPRoute)
            for method, (_, model) in route.route_handler_map.items()
        }
        app.state.query_parameters = found
    return found
