"""Attacks on the port, written byte by byte: smuggling, traversal, log forging, header injection and noise."""

import json
import random
import re
from collections import Counter

import pytest

from tests.app.http.conftest import Log
from tests.harness.api import INTERNAL, Api
from tests.harness.raw_http import RawConnection, head

LIVE = head("GET", "/health/live")
MODELS = "/api/v1/models"


def statuses(api: Api, *sent: bytes) -> list[int]:
    """Send bytes and return the status of each response until the connection ends."""
    with RawConnection(api.url) as connection:
        return connection.send(*sent).statuses()


SMUGGLED = b"GET /health/live HTTP/1.1\r\nHost: smuggled\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 60\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 60",
        b"Content-Length: 5\r\nContent-Length: 60",
        b"Content-Length: 5, 60",
        b"Content-Length: +5",
        b"Content-Length: 0x5",
        b"Content-Length: 5 5",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding:\x0bchunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        b"X: y\r\n Transfer-Encoding: chunked",
        b"Content-Length: 99999999999999999999",
    ],
)
def test_no_framing_smuggles_a_request(impatient: Api, framing: bytes) -> None:
    """However the length of a body is stated, what follows a request that may be misread is never served as another."""
    start = b"POST /api/v1/models HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" + framing + b"\r\n\r\n"
    seen = statuses(impatient, start, b"0\r\n\r\n", SMUGGLED)
    assert len(seen) == 1, seen
    assert 400 <= seen[0] < 500


@pytest.mark.parametrize(
    "chunks",
    [
        b"0;a=b\r\n\r\n",
        b"-1\r\n\r\n",
        b"0x0\r\n\r\n",
        b"fffffffffffffffff\r\n\r\n",
        b"1\n{\n0\n\n",
        b"2\r\n{}X\r\n0\r\n\r\n",
    ],
)
def test_malformed_chunks_are_a_callers_error(impatient: Api, chunks: bytes) -> None:
    """Chunks that are not as the standard has them end the connection with a 4xx."""
    seen = statuses(
        impatient, head("POST", MODELS, Content_Type="application/json", Transfer_Encoding="chunked"), chunks
    )
    assert len(seen) == 1, seen
    assert 400 <= seen[0] < 500


@pytest.mark.parametrize("host", ["a:b", ":a", "a:99999", "[::1", "a@b", "a/b", "", "\xff"])
def test_a_host_of_any_form_is_served(impatient: Api, host: str) -> None:
    """The service is not told apart by its name, so a malformed one is at most the caller's error."""
    start = f"GET {MODELS}?limit=1 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1")
    assert set(statuses(impatient, start)) <= {200, 400}


def test_pipelined_requests_are_served_in_order(impatient: Api) -> None:
    """Requests that arrive together on one connection each get their own response."""
    with RawConnection(impatient.url) as connection:
        for number in range(20):
            connection.send(head("GET", "/health/live", X_Correlation_ID=f"number-{number}"))
        for number in range(20):
            assert connection.response().headers["x-correlation-id"] == f"number-{number}"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../main.py",
        "/static/..%2fmain.py",
        "/static/%2e%2e/main.py",
        "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
        "/static/....//....//etc/passwd",
        "/static/..%5c..%5cmain.py",
        "/static/%252e%252e/main.py",
        "/static/%c0%ae%c0%ae/main.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/swagger-ui/../../openapi/document.py",
        "/static/redoc/%00/../redoc.standalone.js",
        "/static/redoc/redoc.standalone.js%00.html",
        "/static/redoc/",
        "/static/" + "../" * 40 + "etc/passwd",
        "/static/" + "%ff" * 300,
    ],
)
def test_no_path_leaves_the_directory_of_static_files(impatient: Api, path: str) -> None:
    """A path that climbs out of the directory, or that no file can have, is an unknown one."""
    with RawConnection(impatient.url) as connection:
        response = connection.request("GET", path).response()
    assert (response.status, response.error["code"]) == (404, "NOT_FOUND")
    assert not INTERNAL.search(response.body)


FORGED = '{"level":"error","event":"forged"}'


def test_nothing_that_a_caller_sends_forges_a_line_of_the_log(impatient: Api, log: Log) -> None:
    """Line breaks and JSON in every part of a request stay within strings of the log's own lines."""
    escaped = FORGED.replace('"', "%22").replace("{", "%7b").replace("}", "%7d")
    with RawConnection(impatient.url) as connection:
        connection.request("GET", f"/%0a{escaped}%0a").response()
        connection.request("GET", f"{MODELS}?sort_by=%0a{escaped}").response()
        connection.request("GET", f"{MODELS}?%0a{escaped}=1").response()
        connection.request(
            "GET", "/health/live", X_Correlation_ID=FORGED, traceparent=FORGED, User_Agent=FORGED
        ).response()
        body = json.dumps({"name": f"\n{FORGED}\n", f"\n{FORGED}": 1}).encode()
        connection.request("POST", MODELS, body, Content_Type="application/json").response()
    for sent in (f"FORGED\n{FORGED} / HTTP/1.1\r\n\r\n", f"GET /\r\n{FORGED}\r\n\r\n"):
        statuses(impatient, sent.encode())
    impatient.raw("GET", "/health/live")
    lines = log.lines(at_least=6)
    assert {line["event"] for line in lines} == {"request"}
    assert {line["level"] for line in lines} == {"info"}


@pytest.mark.parametrize(
    "value", ["a\tb", "a" * 129, "\x80", "a b", 'a"b', "{}", "../..", "a;b", "\N{LATIN SMALL LETTER E WITH ACUTE}"]
)
def test_an_id_that_is_not_well_formed_is_replaced(impatient: Api, value: str) -> None:
    """Nothing but a well-formed correlation id is echoed, in headers and in errors."""
    with RawConnection(impatient.url) as connection:
        response = connection.request("GET", "/nothing", X_Correlation_ID=value).response()
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-correlation-id"])
    assert response.error["code"] == "NOT_FOUND"


def test_no_value_of_a_caller_becomes_a_header(impatient: Api) -> None:
    """A line break in a value that a response repeats, such as a list's links and a preflight, adds no header."""
    with RawConnection(impatient.url) as connection:
        for path in (f"{MODELS}?limit=1&offset=1%0d%0aX-Injected:%201", f"{MODELS}?sort_by=%0d%0aX-Injected:%201"):
            assert "x-injected" not in connection.request("GET", path).response().headers
        response = connection.request(
            "OPTIONS",
            MODELS,
            Origin="https://a.example",
            Access_Control_Request_Method="GET",
            Access_Control_Request_Headers="a\tX-Injected: 1",
        ).response()
        assert "x-injected" not in response.headers


PIECES = [
    piece.encode("latin-1")
    for piece in (
        *("GET ", "POST ", "HEAD ", "PRI ", "/health/live", MODELS, "/static/", "*", "http://a/", " HTTP/1.1"),
        *(" HTTP/1.0", " HTTP/2.0", "\r\n", "\n", "\r", "\r\n\r\n", "Host: a", "Content-Length: 7"),
        *("Content-Length: 0", "Transfer-Encoding: chunked", "Content-Type: application/json", "Connection: close"),
        *("Expect: 100-continue", "Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c", "0\r\n\r\n"),
        *("5\r\nabcde\r\n", "{}", '{"name":1}', "\0", "\xff\xfe", "\x16\x03\x01", "%00", "%", "?", "#", ":", ": "),
        *("\t", "a" * 5000, "Cookie: a=b", "Accept-Encoding: gzip", "Range: bytes=0-5", "Origin: null"),
        *("X-HTTP-Method-Override: DELETE", "If-None-Match: *"),
    )
]


def check_noise(api: Api, log: Log, seed: int, count: int) -> None:
    """Send requests put together by chance."""
    chance = random.Random(seed)
    seen: Counter[int] = Counter()
    for _ in range(count):
        sent = b"".join(chance.choices(PIECES, k=chance.randint(1, 25)))
        if chance.random() < 0.5:
            whole = bytearray(head("POST", MODELS, Content_Type="application/json", Content_Length="2") + b"{}")
            for _ in range(chance.randint(1, 6)):
                whole[chance.randrange(len(whole))] = chance.randrange(256)
            sent = bytes(whole) + sent
        with RawConnection(api.url) as connection:
            seen.update(connection.send(sent).statuses(patience=0.02))
    assert seen[400] > count / 4, seen
    assert max(seen) < 500, (seed, seen)
    assert api.raw("GET", "/health/ready").status == 200
    assert log.problems() == []
    print(f"seed {seed}: {count} requests, responses {dict(sorted(seen.items()))}")


def test_noise_is_the_callers_error(impatient: Api, log: Log) -> None:
    """Whatever bytes arrive, no response is a 5xx, nothing is logged as an error, and the service stays ready."""
    check_noise(impatient, log, seed=1, count=300)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [2, 3, 4, 31, 32])
def test_noise_for_long(impatient: Api, log: Log, seed: int) -> None:
    """The same with other seeds and 4,000 requests each."""
    check_noise(impatient, log, seed=seed, count=4000)
