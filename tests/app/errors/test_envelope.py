"""Every refusal is the one envelope, whatever layer it comes from; `Response` checks the shape of each."""

from typing import Any

import httpx
import pytest

from tests.harness.api import Api
from tests.harness.bodies import created, model, path, position
from tests.harness.upstreams import fresh_id

ID = "f" * 24
BODIES = [
    ("POST", "/models"),
    ("PUT", f"/model/{ID}"),
    ("POST", f"/model/{ID}/position"),
    ("PUT", f"/model/{ID}/position"),
    ("DELETE", f"/model/{ID}/position"),
    ("POST", f"/model/{ID}/portfolio"),
    ("DELETE", f"/model/{ID}/portfolio"),
    ("POST", "/rebalances/portfolios"),
]
takes_a_body = pytest.mark.parametrize(("method", "route"), BODIES)


@pytest.mark.parametrize(
    "route",
    [
        "/pages",
        "/nothing",
        "/api",
        "/api/v1",
        "/api/v2/models",
        "/api/v1/model",
        "/api/v1/Models",
        "/api/v1/model/a/b/c",
        "/api/v1/model/a%2Fb/position",
        "//api/v1/models",
        "/health",
        "/docs/nothing",
        "/docs/nothing.html",
        "/static/nothing.js",
        "/static/../main.py",
        "/static/..%2f..%2fmain.py",
        "/%ff%fe",
        "/\N{PILE OF POO}",
        "/%00",
    ],
)
def test_an_unknown_route_is_not_found(api: Api, route: str) -> None:
    """The envelope of 404 is the same for unknown paths, other versions, other cases and paths too deep."""
    assert api.raw("GET", route).expect(404, "NOT_FOUND").error["details"] == {}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_an_unknown_route_is_not_found_by_any_method(api: Api, method: str) -> None:
    """No method turns an unknown path into 405."""
    api.raw(method, "/api/v1/nothing").expect(404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("route", "allowed"),
    [
        ("/api/v1/models", {"GET", "POST", "OPTIONS"}),
        (f"/api/v1/model/{ID}", {"GET", "PUT", "DELETE", "OPTIONS"}),
        (f"/api/v1/model/{ID}/position", {"POST", "PUT", "DELETE", "OPTIONS"}),
        (f"/api/v1/model/{ID}/portfolio", {"POST", "DELETE", "OPTIONS"}),
        (f"/api/v1/model/{ID}/history", {"GET", "OPTIONS"}),
        (f"/api/v1/model/{ID}/rebalance", {"POST", "OPTIONS"}),
        (f"/api/v1/portfolio/{ID}/rebalance", {"POST", "OPTIONS"}),
        ("/api/v1/rebalances", {"GET", "OPTIONS"}),
        ("/api/v1/rebalances/portfolios", {"POST", "OPTIONS"}),
        (f"/api/v1/rebalance/{ID}", {"GET", "DELETE", "OPTIONS"}),
        (f"/api/v1/rebalance/{ID}/portfolios", {"GET", "OPTIONS"}),
        (f"/api/v1/rebalance/{ID}/portfolio/{ID}/positions", {"GET", "OPTIONS"}),
        ("/health/live", {"GET", "OPTIONS"}),
        ("/docs", {"GET", "OPTIONS"}),
        ("/docs/openapi.json", {"GET", "OPTIONS"}),
        ("/redoc", {"GET", "OPTIONS"}),
    ],
)
def test_a_method_that_a_route_does_not_take_is_told_the_ones_it_does(api: Api, route: str, allowed: set[str]) -> None:
    """405 and OPTIONS list exactly the methods of the route in Allow."""
    if "GET" in allowed:
        allowed = allowed | {"HEAD"}
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - allowed:
        refused = api.raw(method, route)
        assert refused.status == 405, method
        assert set(refused.headers["Allow"].split(", ")) == allowed
        assert method == "HEAD" or refused.code == "METHOD_NOT_ALLOWED"
    options = api.raw("OPTIONS", route).expect(204)
    assert set(options.headers["Allow"].split(", ")) == allowed


@takes_a_body
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        ";;",
        "*/*",
    ],
)
def test_a_body_that_is_not_sent_as_json_is_not_read(
    standard: Api, method: str, route: str, content_type: str | None
) -> None:
    """Any other content type, or none, is 415 with the accepted one in the details."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    refused = standard.raw(method, f"/api/v1{route}", content=b"{}", headers=headers).expect(
        415, "UNSUPPORTED_MEDIA_TYPE"
    )
    assert refused.error["details"] == {"accepted": ["application/json"]}


@pytest.mark.parametrize("content_type", ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8"])
def test_json_may_be_announced_in_any_of_its_spellings(api: Api, content_type: str) -> None:
    """Case and a charset parameter make no difference."""
    refused = api.raw("POST", "/api/v1/models", content=b"{}", headers={"Content-Type": content_type}).expect(400)
    assert refused.rules == dict.fromkeys(("name", "positions", "portfolios"), "is required")


@takes_a_body
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"   ", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"1", "body"),
        (b'"text"', "body"),
        (b"{}}", None),
        (b"{'name': 1}", "body"),
        (b"\xef\xbb\xbf{}", "body"),
        ('{"name": "x"}'.encode("utf-16"), "body"),
        (b'{"name": "\xff"}', None),
        (b'{"name": "\\ud800"}', None),
        (b'{"portfolios": ["\\udc00"]}', None),
        (b"[" * 100_000, "body"),
        (b'{"a":' * 100_000, "body"),
        (b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "body"),
        (b'{"portfolios":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
        (b'{"positions":[{"target":' + b"[" * 100_000, None),
        (b'{"' + b"x" * 900_000 + b'":1}', None),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else str(value),
)
def test_a_body_that_makes_no_sense_is_a_validation_error(
    standard: Api, method: str, route: str, body: bytes, field: str | None
) -> None:
    """Empty, truncated, deep, non-UTF-8 and wrongly typed bodies are 400 with a short message."""
    refused = standard.call(method, route, body).expect(400, "VALIDATION_ERROR")
    if method == "POST" and route == "/models":
        assert field is None or list(refused.rules) == [field]
    assert len(refused.text) < 1_000


@takes_a_body
def test_a_body_of_a_million_bytes_is_read_and_one_more_is_too_large(standard: Api, method: str, route: str) -> None:
    """Whether its length is announced or not."""
    padding = b" " * (1_000_000 - 2)
    standard.call(method, route, b"{" + padding + b"}").expect(400, "VALIDATION_ERROR")
    too_large = b"{" + padding + b" }"
    standard.call(method, route, too_large).expect(413, "PAYLOAD_TOO_LARGE")
    headers = {"Content-Type": "application/json"}
    pieces = (too_large[start : start + 50_000] for start in range(0, len(too_large), 50_000))
    standard.raw(method, f"/api/v1{route}", content=pieces, headers=headers).expect(413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("again", ["name", "\\u006eame"])
def test_a_repeated_key_is_named(api: Api, again: str) -> None:
    """A key that occurs twice in an object is rejected, however it is written, since readers differ in which counts."""
    name = model()["name"]
    body = f'{{"name": "{name}", "positions": [], "{again}": "{name}", "portfolios": []}}'.encode()
    assert api.call("POST", "/models", body).expect(400).rules == {"name": "occurs more than once"}
    assert api.get("/models", sort_by="name").text.find(name) == -1


@pytest.mark.parametrize("text", ["$where", "a.b", "'; sleep(9)//", "{'$gt': ''}", "../../etc", "%s%n", "<script>"])
def test_text_is_only_text_in_every_field(api: Api, text: str) -> None:
    """Text that looks like an operator, a path or markup is stored as it is, or rejected by the field's rule."""
    made = created(api, name=f"{text} {fresh_id()}")
    assert api.get(path(made)).body == made
    wrong = position(security_id=text)
    assert api.post("/models", model(positions=[wrong])).expect(400).rules
    assert api.post("/models", model(portfolios=[text])).expect(400).rules
    assert api.post("/models", model(positions=[position(target=text)])).expect(400).rules
    assert api.get("/models", sort_by=text).expect(400).rules
    assert api.get("/rebalances", view=text).expect(400).rules
    assert api.post(f"/portfolio/{ID}/rebalance", modelId=text).expect(400).rules
    assert api.post("/rebalances/portfolios", {"portfolios": [text]}).expect(400).rules


@pytest.mark.parametrize("value", [{"$gt": ""}, {"$where": "1"}, ["a"], None, True, 1])
def test_operators_of_the_database_are_no_text(api: Api, value: Any) -> None:
    """An object, a list, null, a boolean or a number in place of a text is rejected."""
    for body in (
        model(name=value),
        model(portfolios=[value]),
        model(positions=[position() | {"securityId": value}]),
    ):
        api.post("/models", body).expect(400, "VALIDATION_ERROR")


def test_many_bad_requests_on_one_connection_leave_it_in_order(standard: Api) -> None:
    """A connection that carried twenty oversized bodies still serves the next request."""
    with httpx.Client(base_url=standard.url, limits=httpx.Limits(max_connections=1)) as client:
        for _ in range(20):
            large = client.post(
                "/api/v1/models", content=b"x" * 1_500_000, headers={"Content-Type": "application/json"}
            )
            assert large.status_code == 413
            assert client.get("/health/live").status_code == 200
