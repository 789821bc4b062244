"""The Idempotency-Key: one rebalance for one key, whatever happens to the requests and the servers."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.collection import Collection

from app.commands.stack import running_service_process
from integrations.simulator import Delay, ErrorStatus, Hang, Service
from tests.app.conftest import Environment
from tests.harness.api import PATIENCE_SECONDS, Api, ApiResponse
from tests.harness.bodies import content, created, path, position
from tests.harness.upstreams import Upstreams

type Documents = Collection[dict[str, Any]]


@pytest.fixture
def made(standard: Api, upstreams: Upstreams) -> Any:
    """A model whose rebalance succeeds."""
    positions = [position(each, target="0.4") for each in upstreams.securities(2)]
    return created(standard, positions=positions, portfolios=[upstreams.portfolio(), upstreams.portfolio()])


@pytest.fixture
def keys(mongodb_url: str, shared_database_name: str) -> Iterator[Documents]:
    """The stored keys."""
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        yield client[shared_database_name]["idempotency_keys"]


def rebalance(api: Api, target: str, key: str) -> ApiResponse:
    return api.call("POST", f"{target}/rebalance", headers={"Idempotency-Key": key})


def stored(api: Api, of: Any) -> list[str]:
    """Ids of the stored rebalances of a model."""
    found = api.post("/rebalances/portfolios", {"portfolios": of["portfolios"]}, limit=100).expect(200).body
    return [each["rebalanceId"] for each in found]


def test_the_same_key_replays_the_stored_response_on_any_server(
    standard: Api, hurried: Api, upstreams: Upstreams, made: Any
) -> None:
    """Byte for byte, though prices have changed and the model as well."""
    key = uuid4().hex
    first = rebalance(standard, path(made), key).expect(200)
    upstreams.put_price(made["positions"][0]["securityId"], "1")
    after = standard.get(path(made)).body
    standard.put(path(made), content(after, positions=[])).expect(200)
    for api in (standard, hurried, standard):
        assert rebalance(api, path(made), key).expect(200).text == first.text
    assert stored(standard, made) == [first.body[0]["rebalanceId"]]


def test_a_portfolio_has_keys_of_its_own(api: Api, upstreams: Upstreams) -> None:
    """The key of a single portfolio's rebalance replays it, and it is stored once."""
    key, portfolio = uuid4().hex, upstreams.portfolio()
    model = created(api, portfolios=[portfolio])
    first = rebalance(api, f"/portfolio/{portfolio}", key).expect(200)
    assert rebalance(api, f"/portfolio/{portfolio}", key).expect(200).text == first.text
    assert len(stored(api, model)) == 1


def test_without_a_key_every_request_rebalances(standard: Api, made: Any) -> None:
    """Two requests without a key store two rebalances."""
    ids = [standard.post(path(made, "/rebalance")).expect(200).body[0]["rebalanceId"] for _ in range(2)]
    assert stored(standard, made) == ids[::-1]


def test_a_key_on_another_target_is_refused(api: Api, upstreams: Upstreams) -> None:
    """Another model or portfolio under the same key is 422, reveals nothing of the first, and stores nothing."""
    key, portfolio = uuid4().hex, upstreams.portfolio()
    first, second = created(api, portfolios=[portfolio]), created(api, portfolios=[upstreams.portfolio()])
    rebalance(api, path(first), key).expect(200)
    for target in (path(second), f"/portfolio/{portfolio}"):
        refused = rebalance(api, target, key).expect(422, "IDEMPOTENCY_KEY_REUSED")
        assert first["modelId"] not in refused.text
    assert stored(api, second) == []


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_a_key_is_visible_ascii(standard: Api, made: Any, key: str) -> None:
    """A key that is empty, too long or not visible ASCII is 400, and nothing is rebalanced."""
    headers = {"Idempotency-Key": key.encode()}
    refused = standard.call("POST", path(made, "/rebalance"), headers=headers).expect(400)  # type: ignore[arg-type]
    assert refused.rules == {"Idempotency-Key": "must be 1 to 255 visible ASCII characters"}
    assert stored(standard, made) == []


@pytest.mark.parametrize("key", ["a", "$where", "a.b", "~" * 255])
def test_any_visible_ascii_is_a_key(standard: Api, made: Any, keys: Documents, key: str) -> None:
    """A key that looks like an operator or a path of the database is stored as plain text."""
    first = rebalance(standard, path(made), key).expect(200)
    assert rebalance(standard, path(made), key).text == first.text
    assert keys.delete_one({"_id": key}).deleted_count == 1


def test_what_fails_before_anything_is_stored_leaves_the_key_free(standard: Api, upstreams: Upstreams) -> None:
    """The same key can be sent again after a 404 and after a rebalance without portfolios."""
    key = uuid4().hex
    rebalance(standard, f"/model/{'f' * 24}", key).expect(404, "MODEL_NOT_FOUND")
    empty = created(standard)
    assert rebalance(standard, path(empty), key).expect(200).body == []
    full = created(standard, portfolios=[upstreams.portfolio()])
    assert len(rebalance(standard, path(full), key).expect(200).body) == 1


def test_a_response_that_no_retry_can_mend_is_replayed_and_one_that_a_retry_may_mend_is_not(
    standard: Api, upstreams: Upstreams
) -> None:
    """A missing price is final under its key; an upstream's outage leaves the key free for a success."""
    unpriced = position(upstreams.world.unpriced_security_ids()[0])
    hopeless = created(standard, positions=[unpriced], portfolios=[upstreams.portfolio()])
    key = uuid4().hex
    first = rebalance(standard, path(hopeless), key).expect(422, "PRICE_UNAVAILABLE")
    again = rebalance(standard, path(hopeless), key).expect(422, "PRICE_UNAVAILABLE")
    assert again.error["details"] == first.error["details"]

    key = uuid4().hex
    model = created(standard, portfolios=[upstreams.portfolio()])
    upstreams.inject(Service.PRICING, ErrorStatus(status=503))
    rebalance(standard, path(model), key).expect(503, "EXTERNAL_SERVICE_ERROR")
    upstreams.restore()
    mended = rebalance(standard, path(model), key).expect(200)
    assert rebalance(standard, path(model), key).text == mended.text


def test_the_key_of_a_rebalance_that_was_deleted_serves_nothing_else(standard: Api, made: Any) -> None:
    """The key neither replays the deleted rebalance nor starts a new one."""
    key = uuid4().hex
    done = rebalance(standard, path(made), key).expect(200).body[0]["rebalanceId"]
    standard.delete(f"/rebalance/{done}", version=1).expect(200)
    rebalance(standard, path(made), key).expect(404, "REBALANCE_NOT_FOUND")


def test_twenty_requests_at_once_on_two_servers_make_one_rebalance(
    standard: Api, hurried: Api, upstreams: Upstreams, made: Any
) -> None:
    """Each gets the one stored result or 409 while it runs, whichever server it reaches."""
    upstreams.inject(Service.PORTFOLIO_ACCOUNTING, Delay(seconds=0.2))
    key = uuid4().hex
    with ThreadPoolExecutor(20) as pool:
        urls = [standard.url, hurried.url] * 10
        responses = list(pool.map(lambda url: _post(f"{url}/api/v1{path(made)}/rebalance", key), urls))
    by_status: dict[int, list[httpx.Response]] = {}
    for response in responses:
        by_status.setdefault(response.status_code, []).append(response)
    assert 200 in by_status, "and on a busy machine the last may come so late that all of them replay the first"
    assert by_status.keys() <= {200, 409}
    assert {each.json()["error"]["code"] for each in by_status.get(409, [])} <= {"IDEMPOTENCY_IN_PROGRESS"}
    assert {each.headers["Retry-After"] for each in by_status.get(409, [])} <= {"1"}
    assert len({each.text for each in by_status[200]}) == 1
    assert len(stored(standard, made)) == 1
    assert rebalance(hurried, path(made), key).expect(200).text == by_status[200][0].text


def _post(url: str, key: str) -> httpx.Response:
    return httpx.post(url, headers={"Idempotency-Key": key}, timeout=PATIENCE_SECONDS)


def test_a_rebalance_whose_caller_hung_up_is_finished_and_its_key_gives_the_response(
    standard: Api, upstreams: Upstreams, made: Any
) -> None:
    """As a caller does whose own time-out is shorter than the rebalance takes."""
    upstreams.inject(Service.PORTFOLIO_ACCOUNTING, Delay(seconds=0.7))
    key = uuid4().hex
    brief = httpx.Timeout(PATIENCE_SECONDS, read=0.5)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{standard.url}/api/v1{path(made)}/rebalance", headers={"Idempotency-Key": key}, timeout=brief)
    until = time.monotonic() + PATIENCE_SECONDS
    while not (ids := stored(standard, made)):
        assert time.monotonic() < until
    while (response := rebalance(standard, path(made), key)).status == 409:
        assert time.monotonic() < until
    assert [response.expect(200).body[0]["rebalanceId"]] == ids == stored(standard, made)


def test_a_retry_succeeds_after_the_server_that_held_the_key_was_killed(
    environment: Environment, standard: Api, upstreams: Upstreams, made: Any, keys: Documents, tmp_path: Path
) -> None:
    """At once it is still in progress; when its lease has run out, the key is taken over."""
    key = uuid4().hex
    with running_service_process(environment, tmp_path / "log") as (
        url,
        server,
    ):
        upstreams.inject(Service.PORTFOLIO_ACCOUNTING, Hang())
        with ThreadPoolExecutor(1) as pool:
            lost = pool.submit(_post, f"{url}/api/v1{path(made)}/rebalance", key)
            while keys.find_one({"_id": key}) is None:
                time.sleep(0.01)
            family = [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]
            for process in family:
                os.kill(process.pid, signal.SIGKILL)
            with pytest.raises(httpx.TransportError):
                lost.result()
    upstreams.restore()
    waiting = rebalance(standard, path(made), key).expect(409, "IDEMPOTENCY_IN_PROGRESS")
    assert waiting.headers["Retry-After"] == "1"
    assert stored(standard, made) == []
    keys.update_one({"_id": key}, {"$set": {"leaseUntil": datetime.now(UTC) - timedelta(seconds=1)}})
    done = rebalance(standard, path(made), key).expect(200)
    assert rebalance(standard, path(made), key).text == done.text
    assert stored(standard, made) == [done.body[0]["rebalanceId"]]


def test_a_key_whose_server_died_before_it_could_release_it_is_released(
    standard: Api, upstreams: Upstreams, made: Any, keys: Documents
) -> None:
    """What was stored failed for an upstream, and a retry is what the key is for."""
    upstreams.inject(Service.PORTFOLIO_ACCOUNTING, ErrorStatus(status=404))
    failed = standard.post(path(made, "/rebalance")).expect(503, "EXTERNAL_SERVICE_ERROR")
    upstreams.restore()
    key, now = uuid4().hex, datetime.now(UTC)
    keys.insert_one(
        {
            "_id": key,
            "target": path(made).removeprefix("/"),
            "rebalanceId": ObjectId(failed.body["error"]["details"]["rebalanceId"]),
            "leaseUntil": now - timedelta(seconds=1),
            "createdAt": now,
        }
    )
    done = rebalance(standard, path(made), key).expect(200)
    assert rebalance(standard, path(made), key).text == done.text


def test_keys_are_forgotten_after_a_day(keys: Documents, standard: Api, made: Any) -> None:
    """The database removes a key 24 hours after its creation by an index."""
    rebalance(standard, path(made), uuid4().hex).expect(200)
    index = keys.index_information()["createdAt_1"]
    assert index["expireAfterSeconds"] == 24 * 60 * 60
