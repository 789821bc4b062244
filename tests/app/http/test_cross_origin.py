"""What pages of other origins may read, and the headers that keep responses where they belong."""

import pytest

from tests.harness.api import Api

PAGE = {"Origin": "https://desk.example"}
STRANGER = {"Origin": "https://stranger.example"}


@pytest.mark.parametrize(
    ("method", "route"), [("GET", "/api/v1/models"), ("GET", "/nothing"), ("PATCH", "/health/live")]
)
def test_every_origin_may_read_every_response_unless_origins_are_named(standard: Api, method: str, route: str) -> None:
    """By default the wildcard is sent, without credentials, on errors as on success."""
    headers = standard.raw(method, route, headers={**STRANGER, "Cookie": "a=b"}).headers
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "X-Correlation-ID" in headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize(
    ("method", "route"), [("GET", "/api/v1/models"), ("GET", "/nothing"), ("PATCH", "/health/live")]
)
def test_only_the_named_origins_may_read(hurried: Api, method: str, route: str) -> None:
    """A configured origin is echoed with Vary; a lookalike, `null` and an empty origin get no permission."""
    for origin in ("https://desk.example", "https://other.example"):
        headers = hurried.raw(method, route, headers={"Origin": origin}).headers
        assert headers["Access-Control-Allow-Origin"] == origin
        assert headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in headers
    for origin in ("https://stranger.example", "http://desk.example", "https://desk.example.evil", "null", ""):
        headers = hurried.raw(method, route, headers={"Origin": origin}).headers
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("route", ["/api/v1/models", "/api/v1/model/x/position", "/nothing"])
def test_a_preflight_names_what_is_allowed(standard: Api, hurried: Api, route: str) -> None:
    """Methods and requested headers are allowed in a 204 without a body, for the configured origins only."""
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type, idempotency-key"}
    for api, origin, allowed in (
        (standard, STRANGER, "*"),
        (hurried, PAGE, "https://desk.example"),
        (hurried, STRANGER, None),
    ):
        response = api.raw("OPTIONS", route, headers={**origin, **asked}).expect(204)
        assert response.text == ""
        assert response.headers.get("Access-Control-Allow-Origin") == allowed
        assert "PUT" in response.headers["Access-Control-Allow-Methods"]
        assert response.headers["Access-Control-Allow-Headers"] == "content-type, idempotency-key"
        assert "Access-Control-Allow-Credentials" not in response.headers


def test_a_page_that_is_no_other_origin_gets_no_permission(standard: Api) -> None:
    """A request without an Origin header gets no CORS headers."""
    assert "Access-Control-Allow-Origin" not in standard.raw("GET", "/api/v1/models").headers


def test_responses_of_the_api_are_neither_cached_nor_guessed_at(standard: Api) -> None:
    """The API sends no-store and nosniff; scripts of the documentation may be cached."""
    for route in ("/api/v1/models", "/api/v1/model/x"):
        headers = standard.raw("GET", route).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
    script = standard.raw("GET", "/static/redoc/redoc.standalone.js").expect(200).headers
    assert script["X-Content-Type-Options"] == "nosniff"
    assert "max-age" in script["Cache-Control"]
