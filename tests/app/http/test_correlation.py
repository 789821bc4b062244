"""The correlation id: echoed or made, on every response, and carried to every upstream."""

import re
from uuid import uuid4

import pytest

from tests.harness.api import Api
from tests.harness.bodies import created, model, path, position
from tests.harness.upstreams import Upstreams

HEADER = "X-Correlation-ID"
ROUTES = [
    ("GET", "/health/live", 200),
    ("GET", "/health/ready", 200),
    ("GET", "/docs", 200),
    ("GET", "/redoc", 200),
    ("GET", "/docs/openapi.json", 200),
    ("GET", "/static/swagger-ui/swagger-ui.css", 200),
    ("GET", "/api/v1/models", 200),
    ("GET", "/api/v1/rebalances", 200),
    ("GET", "/api/v1/model/x", 400),
    ("GET", "/nothing", 404),
    ("PATCH", "/api/v1/models", 405),
    ("OPTIONS", "/api/v1/models", 204),
    ("HEAD", "/api/v1/models", 200),
]


@pytest.mark.parametrize(("method", "route", "status"), ROUTES)
def test_every_response_names_its_request(api: Api, method: str, route: str, status: int) -> None:
    """A sent correlation id is echoed, and a request without one gets a new one, whatever the status."""
    sent = uuid4().hex
    assert api.raw(method, route, headers={HEADER: sent}).expect(status).headers[HEADER] == sent
    made = [api.raw(method, route).expect(status).headers[HEADER] for _ in range(2)]
    assert made[0] != made[1]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)


def test_a_body_that_is_too_large_and_a_preflight_are_named_too(api: Api) -> None:
    """Responses that no handler produces also carry the correlation id."""
    sent = uuid4().hex
    large = api.raw("POST", "/api/v1/models", content=b"x" * 1_100_000, headers={HEADER: sent})
    assert large.headers[HEADER] == sent
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST", HEADER: sent}
    assert api.raw("OPTIONS", "/api/v1/models", headers=preflight).expect(204).headers[HEADER] == sent


@pytest.mark.parametrize("sent", ["a", "A-1_b.c:d", "x" * 128])
def test_an_id_that_is_well_formed_is_echoed(standard: Api, sent: str) -> None:
    """One to 128 letters, digits and the four allowed marks pass unchanged, and become an error's trace id."""
    assert standard.raw("GET", "/health/live", headers={HEADER: sent}).headers[HEADER] == sent
    assert standard.raw("GET", "/nothing", headers={HEADER: sent}).error["traceId"] == sent


@pytest.mark.parametrize(
    "sent", ["", "x" * 129, "a b", "<script>", 'a"b', "a;b", "\N{LATIN SMALL LETTER E WITH ACUTE}"]
)
def test_an_id_that_could_do_harm_in_a_log_is_replaced(standard: Api, sent: str) -> None:
    """An empty, overlong or unsafe id is discarded for a generated one."""
    echoed = standard.raw("GET", "/health/live", headers={HEADER: sent.encode()}).headers[HEADER]
    assert re.fullmatch("[0-9a-f]{32}", echoed)


def test_every_call_to_an_upstream_and_the_audit_trail_carry_the_id(standard: Api, upstreams: Upstreams) -> None:
    """One id connects a caller's request with the audit entry and with each request to the upstreams."""
    sent = uuid4().hex
    securities = upstreams.securities(2)
    wanted = model(
        positions=[position(each, target="0.4") for each in securities],
        portfolios=[upstreams.portfolio(name="A"), upstreams.portfolio(name="B")],
    )
    made = standard.call("POST", "/models", wanted, headers={HEADER: sent}).expect(201).body
    assert [entry["correlationId"] for entry in standard.get(path(made, "/history")).body] == [sent]
    upstreams.forget_calls()
    standard.call("POST", path(made, "/rebalance"), headers={HEADER: sent}).expect(200)
    calls = upstreams.calls()
    assert {call["service"] for call in calls} == {"portfolio-accounting", "pricing", "security", "portfolio"}
    assert {call["correlationId"] for call in calls} == {sent}


def test_a_failed_portfolio_carries_the_id_of_the_request_that_failed(standard: Api, upstreams: Upstreams) -> None:
    """The stored failure can be traced to its request later."""
    sent = uuid4().hex
    unpriced = upstreams.world.unpriced_security_ids()[0]
    made = created(standard, positions=[position(unpriced)], portfolios=[upstreams.portfolio()])
    failed = standard.call("POST", path(made, "/rebalance"), headers={HEADER: sent}).expect(422)
    stored = standard.get(f"/rebalance/{failed.error['details']['rebalanceId']}").expect(200).body
    assert stored["portfolios"][0]["error"]["traceId"] == sent
