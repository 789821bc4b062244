"""Stored rebalances are compressed for callers that accept it, and for nobody else."""

import gzip

import pytest
import zstandard

from app.http.compression import accepted_encodings
from tests.harness.api import Api
from tests.harness.bodies import Json, created, path, position
from tests.harness.raw_http import RawConnection
from tests.harness.upstreams import Upstreams


@pytest.fixture
def rebalance_id(standard: Api, upstreams: Upstreams) -> str:
    """A stored rebalance of a few portfolios."""
    securities = upstreams.securities(20)
    made: Json = created(
        standard,
        positions=[position(each, "0.04", "0.02", "0.02") for each in securities],
        portfolios=[upstreams.portfolio("100000") for _ in range(6)],
    )
    stored: str = standard.post(path(made, "/rebalance")).expect(200).body[0]["rebalanceId"]
    return stored


def body_of(api: Api, target: str, accept_encoding: str) -> tuple[str | None, bytes]:
    """Return the encoding of a response and its bytes as they were sent."""
    with api._client.stream("GET", target, headers={"Accept-Encoding": accept_encoding}) as response:
        assert response.status_code == 200
        assert response.headers.get("vary", "").lower().count("accept-encoding") == (
            "content-encoding" in response.headers
        )
        return response.headers.get("content-encoding"), b"".join(response.iter_raw())


@pytest.mark.parametrize(
    "target", ["/api/v1/rebalance/{}", "/api/v1/rebalance/{}/trades", "/api/v1/rebalances?limit=2"]
)
def test_a_stored_rebalance_is_compressed_as_requested(standard: Api, rebalance_id: str, target: str) -> None:
    """The bytes are the same after decompression, and zstd comes before gzip."""
    target = target.format(rebalance_id)
    encoding, plain = body_of(standard, target, "identity")
    assert encoding is None
    encoding, sent = body_of(standard, target, "gzip, deflate")
    assert (encoding, gzip.decompress(sent)) == ("gzip", plain)
    encoding, sent = body_of(standard, target, "gzip, deflate, br, zstd")
    assert (encoding, zstandard.ZstdDecompressor().decompressobj().decompress(sent)) == ("zstd", plain)
    assert len(sent) < len(plain)


def test_an_encoding_that_is_excluded_is_not_used(standard: Api, rebalance_id: str) -> None:
    """`q=0` excludes an encoding."""
    encoding, _ = body_of(standard, f"/api/v1/rebalance/{rebalance_id}", "gzip;q=0, zstd;q=0.0")
    assert encoding is None


def test_a_head_request_and_an_error_are_served_as_before(standard: Api, rebalance_id: str) -> None:
    """HEAD has no body, and an error that is too short to be compressed arrives as it is."""
    headers = {"Accept-Encoding": "gzip"}
    assert standard.raw("HEAD", f"/api/v1/rebalance/{rebalance_id}", headers=headers).text == ""
    with RawConnection(standard.url) as connection:
        response = connection.request("GET", "/api/v1/rebalance/" + "0" * 24, Accept_Encoding="gzip").response()
    assert (response.status, response.error["code"]) == (404, "REBALANCE_NOT_FOUND")


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", set()),
        ("gzip", {"gzip"}),
        ("GZIP , zstd;q=0.5", {"gzip", "zstd"}),
        ("gzip;q=0, zstd; q=0.000, br", {"br"}),
        ("gzip;q=1.0", {"gzip"}),
    ],
)
def test_the_header_is_read_with_its_weights(header: str, accepted: set[str]) -> None:
    """An encoding is accepted unless its weight is 0."""
    assert accepted_encodings(header) == accepted
