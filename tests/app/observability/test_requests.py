"""Requests that end badly, which no well-behaved client can bring about from outside."""

import asyncio
from typing import Any

import pytest
from litestar.types import HTTPScope, Message, Receive, Scope, Send
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from app.observability.http_requests import RequestObserver
from app.observability.metrics import Metrics
from app.observability.tracing import NO_TRACING
from tests.harness.service import Scrape

START: Message = {"type": "http.response.start", "status": 200, "headers": []}


async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
    """Fail in the middle of a response."""
    await send(START)
    raise RuntimeError("the stream failed")


async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
    """Never response."""
    await asyncio.sleep(3600)


async def hangs_midway(scope: Scope, receive: Receive, send: Send) -> None:
    """Begin a response."""
    await send(START)
    await asyncio.sleep(3600)


async def receive() -> Any:
    raise AssertionError("there is no body")


async def send(message: Message) -> None:
    """Accept a message of the response."""


def request() -> HTTPScope:
    return {"type": "http", "method": "GET", "path": "/api/v1/model/1", "headers": []}  # type: ignore[typeddict-item]


def observer(app: object, metrics: Metrics) -> RequestObserver:
    return RequestObserver(app, ["/api/v1/model/{model_id}"], metrics, NO_TRACING)  # type: ignore[arg-type]


def scrape(metrics: Metrics) -> Scrape:
    return Scrape(generate_latest(metrics.registry).decode())


async def test_a_response_that_breaks_off_is_a_500() -> None:
    """Although its status line said otherwise; the log has the reason."""
    metrics = Metrics()
    with capture_logs() as lines, pytest.raises(RuntimeError):
        await observer(breaks_off, metrics)(request(), receive, send)
    assert scrape(metrics).value("http_requests_total", path="/api/v1/model/{model_id}", status="500") == 1
    assert scrape(metrics).value("http_requests_in_flight") == 0
    reason, line = lines
    assert (reason["event"], reason["log_level"], reason["exc_info"]) == ("response interrupted", "error", True)
    assert (line["event"], line["log_level"], line["status"]) == ("request", "warning", 500)


@pytest.mark.parametrize(("app", "status"), [(hangs, "499"), (hangs_midway, "200")])
async def test_a_request_that_is_given_up_is_counted(app: object, status: str) -> None:
    """As 499 where nothing was returned yet."""
    metrics = Metrics()
    serving = asyncio.create_task(observer(app, metrics)(request(), receive, send))
    await asyncio.sleep(0.01)
    assert scrape(metrics).value("http_requests_in_flight") == 1
    serving.cancel()
    await asyncio.wait((serving,))
    assert scrape(metrics).value("http_requests_total", status=status) == 1
    assert scrape(metrics).value("http_requests_in_flight") == 0
