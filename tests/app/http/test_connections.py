"""Clients that are slow, silent or many: each is limited, and none disturbs another."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from integrations.simulator import Delay, Service
from persistence.embedded import free_port
from tests.app.conftest import Environment
from tests.app.http.conftest import HAS_IPV6, REQUEST_SECONDS, UNREAD_SECONDS, Log
from tests.harness.api import PATIENCE_SECONDS, Api
from tests.harness.bodies import created, path, position
from tests.harness.raw_http import RawConnection, head
from tests.harness.upstreams import Upstreams

LATE = 30.0
"""How much later than its limit a connection may be closed on a busy machine."""
ATTEMPTS = 3
"""Of which one must succeed: a busy machine makes a client slower than it means to be, or its end later noticed."""
WELL_OVER = 1.0
"""How much longer than its limit a client waits that expects to be closed."""
MODELS = "/api/v1/models"


def in_time(seconds: float, limit: float = REQUEST_SECONDS) -> bool:
    return limit - 0.05 <= seconds <= limit + LATE


@pytest.mark.parametrize("served_before", [False, True])
def test_an_idle_connection_is_closed_without_a_response(impatient: Api, served_before: bool) -> None:
    """A connection on which no request has begun is closed silently, also after it served one."""
    with RawConnection(impatient.url) as connection:
        if served_before:
            assert connection.request("GET", "/health/live?probe=1").response().status == 200
        ended = connection.response()
        assert (ended.status, ended.body) == (0, "")
        assert in_time(ended.seconds)


@pytest.mark.parametrize("served_before", [False, True])
@pytest.mark.parametrize("sent", [b"G", head("GET", "/health/live")[:-2]])
def test_an_unfinished_header_is_a_timeout(impatient: Api, served_before: bool, sent: bytes) -> None:
    """A header that does not arrive completely is responded to with 408 and the envelope."""
    with RawConnection(impatient.url) as connection:
        if served_before:
            assert connection.request("GET", "/health/live").response().status == 200
        response = connection.send(sent).response()
        assert (response.status, response.error["code"]) == (408, "REQUEST_TIMEOUT")
        assert in_time(response.seconds)
        assert response.headers["connection"] == "close"
        assert connection.is_closed()


@pytest.mark.parametrize("framing", [{"Content_Length": "10"}, {"Transfer_Encoding": "chunked"}])
def test_an_unfinished_body_is_a_timeout(impatient: Api, framing: dict[str, str]) -> None:
    """A body whose rest does not arrive is responded to with 408 and the envelope."""
    with RawConnection(impatient.url) as connection:
        connection.send(head("POST", MODELS, Content_Type="application/json", **framing))
        response = connection.send(b"3\r\n{\n \r\n").response()
        assert (response.status, response.error["code"]) == (408, "REQUEST_TIMEOUT")
        assert in_time(response.seconds)
        assert connection.is_closed()


def test_a_slow_body_is_read_while_it_arrives(impatient: Api) -> None:
    """The time limit is for each wait: a body that keeps arriving for longer than the limit is served."""
    body = b'{"name": "x"}'

    def status() -> int:
        with RawConnection(impatient.url) as connection:
            connection.send(head("POST", MODELS, Content_Type="application/json", Content_Length=str(len(body))))
            for start in range(0, len(body), 5):
                time.sleep(0.6 * REQUEST_SECONDS)
                connection.send(body[start : start + 5])
            return connection.response().status

    assert any(status() == 400 for _ in range(ATTEMPTS))


def test_a_slow_computation_is_not_a_timeout(impatient: Api, upstreams: Upstreams) -> None:
    """A connection stays open while the service computes, however long its client has been silent."""
    model = created(
        impatient,
        positions=[position(upstreams.securities(1)[0], "0.5", "0.1", "0.1")],
        portfolios=[upstreams.portfolio()],
    )
    upstreams.inject(Service.PRICING, Delay(seconds=2 * REQUEST_SECONDS))
    with RawConnection(impatient.url) as connection:
        response = connection.request("POST", f"/api/v1{path(model, '/rebalance')}").response()
        assert response.status == 200
        assert response.seconds > REQUEST_SECONDS


def test_a_client_that_reads_nothing_is_closed(impatient: Api) -> None:
    """A connection is closed when its client reads nothing of a response for the time limit."""

    def received_after(seconds: float) -> int:
        with RawConnection(impatient.url, receive_buffer=4096) as connection:
            connection.request("GET", "/static/redoc/redoc.standalone.js")
            time.sleep(seconds)
            return connection.read_to_end()

    assert any(received_after(UNREAD_SECONDS + WELL_OVER * 4**attempt) < 100_000 for attempt in range(ATTEMPTS))


def test_a_client_that_reads_slowly_is_served(impatient: Api) -> None:
    """A client that reads a little again and again gets the whole response, however long it takes."""
    whole = int(impatient.raw("GET", "/static/swagger-ui/swagger-ui.css").headers["content-length"])

    def received() -> int:
        with RawConnection(impatient.url, receive_buffer=4096) as connection:
            connection.request("GET", "/static/swagger-ui/swagger-ui.css", Connection="close")
            read = 0
            started = time.monotonic()
            while time.monotonic() - started < UNREAD_SECONDS + WELL_OVER:
                with suppress(ConnectionError):
                    read += len(connection._socket.recv(2000))
                time.sleep(0.1)
            return read + connection.read_to_end()

    assert any(received() > whole for _ in range(ATTEMPTS))


def test_http2_is_not_spoken(impatient: Api) -> None:
    """A connection that begins with the HTTP/2 preface is closed, and an upgrade to it is ignored."""
    with RawConnection(impatient.url) as connection:
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
        ended = connection.send(preface).response()
        assert ended.status in {0, 400}
        assert "\x04" not in ended.body
    with RawConnection(impatient.url) as connection:
        connection.request(
            "GET", "/health/live", Connection="Upgrade, HTTP2-Settings", Upgrade="h2c", HTTP2_Settings=""
        )
        assert connection.response().status == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (head("GET", "/health/live", X=20_000 * "a"), 431),
        (b"GET /health/live HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (head("GET", "/" + 20_000 * "a"), 431),
        (head("POST", MODELS, Content_Type="application/json", Transfer_Encoding="chunked") + b"zz\r\n", 400),
        (head("POST", MODELS, Content_Type="application/json", Content_Length="9", Transfer_Encoding="gzip"), 400),
        (head("POST", MODELS, Content_Type="application/json", Content_Length="-1"), 400),
        (b"GET /health/live HTTP/1.1\nHost:\x00a\n\n", 400),
        (b"POST /api/v1/models HTTP/1.1\r\nHost: a:b\r\nContent-Length: 0\r\n\r\n", 400),
        (b"GET /api/v1/models?limit=x HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (head("GET", "/static/%00"), 404),
        (head("GET", "/static/" + 5000 * "a"), 404),
        (head("GET", "/static/%2e%2e/%2e%2e/main.py"), 404),
        (head("GET", "/static//etc/passwd"), 404),
    ],
)
def test_a_malformed_request_is_the_callers_error(impatient: Api, log: Log, request_bytes: bytes, status: int) -> None:
    """A request that cannot be understood is a 4xx, and nothing about it is logged as an error."""
    with RawConnection(impatient.url) as connection:
        connection.send(request_bytes)
        assert connection.response().status == status
    assert log.problems() == []


def test_a_caller_who_hangs_up_within_a_body_is_the_callers_error(impatient: Api, log: Log) -> None:
    """A body that ends before its announced length is a 400; if nobody can read that, still no error is logged."""
    unfinished = head("POST", MODELS, Content_Type="application/json", Content_Length="10") + b"{"
    with RawConnection(impatient.url) as connection:
        connection.send(unfinished).half_close()
        response = connection.response()
        assert (response.status, response.error["code"]) == (400, "VALIDATION_ERROR")
    for _ in range(50):
        with RawConnection(impatient.url) as connection:
            connection.send(unfinished)
    assert impatient.raw("GET", "/health/live").status == 200
    assert log.problems() == []


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_the_time_limits_hold_over_ipv6(impatient: Api) -> None:
    """Clients are recognised on an address of either family that the service listens on."""
    with RawConnection(impatient.url.replace("127.0.0.1", "[::1]")) as connection:
        assert connection.request("GET", "/health/live").response().status == 200
        ended = connection.response()
        assert (ended.status, ended.body) == (0, "")
        assert in_time(ended.seconds)


def median(api: Api, count: int = 60) -> float:
    """Measure a request in seconds."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        api.raw("GET", "/health/ready").expect(200)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def test_idle_connections_disturb_nobody(standard: Api) -> None:
    """Three thousand connections that send nothing, or half a request, leave latencies as they were."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors < 4000:
        pytest.skip("this process may not open enough connections")

    def disturbs() -> bool:
        alone = median(standard)
        with ExitStack() as stack:
            connections = [stack.enter_context(RawConnection(standard.url)) for _ in range(3000)]
            beside_idle = median(standard)
            for connection in connections[:1500]:
                connection.send(head("POST", MODELS, Content_Type="application/json", Content_Length="10"), b"{")
            beside_unfinished = median(standard)
        # Other tasks of this machine take their time from any of them; without limits, nothing is served at all.
        return max(beside_idle, beside_unfinished, median(standard)) >= 4 * alone + 0.02

    assert not all(disturbs() for _ in range(ATTEMPTS))


@contextmanager
def running_with_descriptors(count: int, environment: Environment, log: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A service that may open only so many descriptors; also its worker process."""
    port = free_port()
    limited = (
        "import os, resource, sys;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({count}, {count}));"
        "os.execv(sys.executable, [sys.executable, '-m', 'app.cli', 'serve'])"
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", limited],
            stdout=output,
            stderr=output,
            env={**os.environ, **environment, "HOST": "127.0.0.1", "PORT": str(port)},
        )
    try:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 150
        with httpx.Client(timeout=PATIENCE_SECONDS) as client:
            while True:
                with suppress(httpx.TransportError):
                    if client.get(f"{url}/health/ready").status_code == 200:
                        break
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
        (worker,) = [child for child in psutil.Process(process.pid).children() if child.name().startswith("python")]
        yield url, worker
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def test_few_descriptors_keep_nobody_out(environment: Environment, tmp_path: Path) -> None:
    """If connections are few, the longest idle ones are closed for new ones; the log says so, and nothing spins."""
    log = tmp_path / "log"
    with running_with_descriptors(400, environment, log) as (url, worker), ExitStack() as stack:
        for _ in range(600):
            stack.enter_context(RawConnection(url))
        for _ in range(5):
            assert httpx.get(f"{url}/health/ready", timeout=PATIENCE_SECONDS).status_code == 200
        before, started = sum(worker.cpu_times()[:2]), time.monotonic()
        time.sleep(1)
        used = (sum(worker.cpu_times()[:2]) - before) / (time.monotonic() - started)
    assert used < 0.2
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    events = {line["event"] for line in lines}
    assert "connection limit nearly reached" in events
    assert not [line for line in lines if line["level"] in {"error", "critical"}]


def test_bodies_in_memory_are_bounded_in_total(impatient: Api) -> None:
    """When unfinished bodies of all clients take 32 MiB, further ones are rejected; other requests are served."""
    announced = head("POST", MODELS, Content_Type="application/json", Content_Length="1000000")
    with ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(impatient.url)) for _ in range(40)]
        for connection in connections:
            connection.send(announced, b" " * 990_000)
        responses = [connection.response() for connection in connections]
        impatient.get("/models", limit=1).expect(200)
    rejected = [response for response in responses if response.status == 503]
    assert 5 <= len(rejected) < 40
    assert {response.status for response in responses} == {408, 503}
    for response in rejected:
        assert response.error["code"] == "OVERLOADED"
        assert int(response.headers["retry-after"]) > 0


def test_unread_responses_are_bounded_in_total(standard: Api) -> None:
    """When clients read nothing of many large responses, further requests are rejected, except those of probes."""
    with ExitStack() as stack:
        for _ in range(150):
            connection = stack.enter_context(RawConnection(standard.url, receive_buffer=4096))
            connection.request("GET", "/static/redoc/redoc.standalone.js")
        until = time.monotonic() + 60
        while (response := standard.get("/models", limit=1)).status != 503:
            assert time.monotonic() < until
        response.expect(503, "OVERLOADED")
        assert int(response.headers["Retry-After"]) > 0
        standard.raw("GET", "/health/live").expect(200)
        standard.raw("GET", "/health/ready").expect(200)
        stack.close()
        while standard.get("/models", limit=1).status != 200:
            assert time.monotonic() < until
