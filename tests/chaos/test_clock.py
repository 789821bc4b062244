"""The wall clock of a running service jumps, as after a wrong time server or a suspended machine.

Debian's libfaketime changes the clock of the service's processes, those of solvers included, but not that of MongoDB.
It reads the offset from a file whenever a process asks for the time.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from app.http.dialect import Dialect
from tests.chaos.judge.market import Market
from tests.harness.api import Api
from tests.harness.bodies import created, path, position
from tests.harness.service import Scrape
from tests.harness.stack import PATIENT, Surroundings, serving

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
JUMPS = tuple(timedelta(hours=hours) for hours in (400 * 24, 0, -48, 0, 1, -1, 0))
TOLERANCE = timedelta(minutes=10)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not LIBRARIES, reason="Debian's libfaketime is not installed"),
]


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """The file with the offset of the service's clock."""
    file = tmp_path / "clock"
    file.write_text("+0\n")
    return file


@pytest.fixture
def service(around: Surroundings, clock: Path) -> Iterator[Api]:
    """A service with that clock."""
    preloaded = {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }
    with serving(around, {**PATIENT, **preloaded}) as running, Api(running.url, Dialect.STANDARD) as api:
        yield api


def test_a_clock_that_jumps_changes_dates_and_nothing_else(service: Api, clock: Path, market: Market) -> None:
    """Rebalances, keys, lists and readiness work at every jump, and no date in the future remains."""
    securities = market.world.priced_security_ids()[:10]
    model = created(
        service,
        positions=[position(each, "0.09", "0.01", "0.01") for each in securities],
        portfolios=market.world.portfolio_ids(9000, 2),
    )
    stored = {}
    trades = None
    for jump in JUMPS:
        clock.write_text(f"{jump.total_seconds():+.0f}\n")
        key = uuid4().hex
        response = service.call("POST", path(model, "/rebalance"), headers={"Idempotency-Key": key}).expect(200)
        assert [each["status"] for each in response.body] == ["COMPLETED"] * 2
        shares = [[(each["securityId"], each["quantity"]) for each in one["transactions"]] for one in response.body]
        trade_date = date.fromisoformat(response.body[0]["transactions"][0]["tradeDate"])
        assert abs(trade_date - (datetime.now(UTC) + jump).date()) <= timedelta(days=1)
        trades = trades or shares
        assert shares == trades
        stored[key] = response
        for earlier, first in stored.items():
            replayed = service.call("POST", path(model, "/rebalance"), headers={"Idempotency-Key": earlier})
            assert replayed.expect(200).text == first.text
            service.get(f"/rebalance/{first.body[0]['rebalanceId']}").expect(200)
        listed = service.get("/rebalances", limit=100).expect(200).body
        assert {each.body[0]["rebalanceId"] for each in stored.values()} <= {each["rebalanceId"] for each in listed}
        service.raw("GET", "/health/ready").expect(200)
    last = service.get(path(model)).expect(200).body["lastRebalanceDate"]
    assert abs(datetime.fromisoformat(last) - datetime.now(UTC)) < TOLERANCE
    metrics = Scrape(service.raw("GET", "/metrics").text)
    assert metrics.value("order_generation_background_task_restarts_total") == 0
    assert metrics.value("http_requests_total", status="500") == 0
