"""Query parameters that an operation does not have are an error under /api/v1, as misspelled fields of a body are.

Only in the standard dialect: the suite's portal forwards any query.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from litestar import Litestar, Request
from litestar.routes import HTTPRoute

from app.errors.codes import InvalidField, check
from app.http.dialect import Dialect
from app.http.faults import MOST_FAULTS

PREFIX = "/api/v1/"
_LONGEST_NAME = 100
"""Of an unknown parameter, as it is shown."""


def reject_unknown_parameters(request: Request[Any, Any, Any]) -> None:
    """Check the names in a request's query.

    Raises:
        InvalidFields: it has a parameter that the operation does not have, or one of them twice.
    """
    app: Litestar = request.app
    if app.state.dialect is not Dialect.STANDARD or not request.scope["path"].startswith(PREFIX):
        return
    query: bytes = request.scope["query_string"]
    if not query:
        return
    # Litestar's own parameters are in no order, and without repetitions that are equal.
    sent = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
    known = _parameters(app)[request.scope["path_template"], request.method]
    check(islice(_faults(sent, known), MOST_FAULTS))


def _faults(sent: Sequence[str], known: frozenset[str]) -> Iterator[InvalidField]:
    for name in dict.fromkeys(sent):
        if name not in known:
            yield InvalidField(name[:_LONGEST_NAME], _unknown(name[:_LONGEST_NAME], known))
        elif sent.count(name) > 1:
            yield InvalidField(name, "occurs more than once")


def _unknown(name: str, known: frozenset[str]) -> str:
    close = get_close_matches(name, known, 1)
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
