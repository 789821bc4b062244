"""Trades as JSON or CSV, as the caller prefers."""

import pytest

from tests.harness.api import Api
from tests.harness.bodies import created, path
from tests.harness.upstreams import Upstreams


def test_trades_are_one_file_in_csv(api: Api, upstreams: Upstreams) -> None:
    """The file of trades has its media type once, as documented, and a name."""
    made = created(api, portfolios=[upstreams.portfolio()])
    rebalance_id = api.post(path(made, "/rebalance")).expect(200).body[0]["rebalanceId"]
    response = api.get(f"/rebalance/{rebalance_id}/trades", format="csv").expect(200)
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == f'attachment; filename="trades-{rebalance_id}.csv"'
    described = api.raw("GET", "/docs/openapi.json").exact["paths"]
    (operation,) = [item["get"] for name, item in described.items() if name.endswith("/trades")]
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "text/csv"}


@pytest.mark.parametrize(
    ("accept", "format_", "media_type"),
    [
        ("text/csv", None, "text/csv; charset=utf-8"),
        ("application/json;q=0.5, text/csv", None, "text/csv; charset=utf-8"),
        ("text/csv;q=0.5, application/json", None, "application/json"),
        ("*/*", None, "application/json"),
        ("text/csv", "json", "application/json"),
        ("application/json", "csv", "text/csv; charset=utf-8"),
    ],
)
def test_trades_are_in_the_media_type_that_the_caller_prefers(
    api: Api, upstreams: Upstreams, accept: str, format_: str | None, media_type: str
) -> None:
    """The header decides by its weights, JSON if it leaves the choice, and the parameter precedes it."""
    made = created(api, portfolios=[upstreams.portfolio()])
    rebalance_id = api.post(path(made, "/rebalance")).expect(200).body[0]["rebalanceId"]
    params = None if format_ is None else {"format": format_}
    response = api.call("GET", f"/rebalance/{rebalance_id}/trades", params=params, headers={"Accept": accept})
    assert response.expect(200).headers["Content-Type"] == media_type
