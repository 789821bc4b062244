"""The control API changes a running simulator, reads from it, and refuses what it does not understand."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
import pytest

from integrations.simulator import (
    CONTROL_HELP,
    Delay,
    ErrorStatus,
    Garbage,
    GarbageKind,
    Hang,
    HangMidBody,
    Refuse,
    Reset,
    Service,
    Simulator,
    SimulatorSettings,
    SimulatorUrls,
    SlowBody,
    SpecialCase,
    running_simulator,
)

NEW = "0123456789abcdef01234567"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with running_simulator(SimulatorSettings(portfolios=3)) as running:
        yield running


@pytest.fixture
async def control(simulator: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"{simulator.urls.control}/control/") as session:
        yield session


async def read(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def put(session: aiohttp.ClientSession, path: str, body: object) -> None:
    async with session.put(path, json=body) as response:
        assert response.status == 204, await response.text()


async def delete(session: aiohttp.ClientSession, path: str) -> None:
    async with session.delete(path) as response:
        assert response.status == 204, await response.text()


async def balances(simulator: Simulator, portfolio_id: str) -> dict[str | None, Decimal]:
    """Net quantity by security id; cash under None."""
    url = f"{simulator.urls.portfolio_accounting}/api/v1/balances"
    async with aiohttp.request("GET", url, params={"portfolio_id": portfolio_id, "limit": "1000"}) as response:
        rows = (await response.json())["balances"]
    return {row.get("securityId"): Decimal(row["quantityLong"]) - Decimal(row["quantityShort"]) for row in rows}


async def close(simulator: Simulator, ticker: str) -> Decimal | None:
    async with aiohttp.request("GET", f"{simulator.urls.pricing}/api/v1/price/{ticker}") as response:
        if response.status == 404:
            return None
        return Decimal(str((await response.json())["close"]))


async def test_the_help_names_every_route_and_every_fault(simulator: Simulator, control: aiohttp.ClientSession) -> None:
    """The text of the control API is complete."""
    async with control.get("/control") as response:
        assert await response.text() == CONTROL_HELP
    for kind in GarbageKind:
        assert kind in CONTROL_HELP
    for service in Service:
        assert service in CONTROL_HELP
    for fault in (
        "delay",
        "error-status",
        "hang",
        "hang-mid-body",
        "slow-body",
        "repeat",
        "reset",
        "refuse",
        "garbage",
    ):
        assert f'"fault":"{fault}"' in CONTROL_HELP


async def test_the_urls_and_the_special_portfolios_can_be_asked_for(
    simulator: Simulator, control: aiohttp.ClientSession
) -> None:
    """The control API returns all addresses, and the id of each special case."""
    assert msgspec.convert(await read(control, "urls"), SimulatorUrls) == simulator.urls
    cases = {row["case"]: row["portfolioId"] for row in await read(control, "cases")}
    assert cases == {case.value: simulator.world.case_id(case) for case in SpecialCase}


async def test_a_portfolio_holds_exactly_what_it_was_told_until_it_is_restored(
    simulator: Simulator, control: aiohttp.ClientSession
) -> None:
    """Holdings, cash and name are replaced, and restored to the original."""
    (portfolio_id,) = simulator.world.portfolio_ids(1, 1)
    before = await balances(simulator, portfolio_id)
    security_id = simulator.world.priced_security_ids()[5]
    held = {"name": "Mine", "cash": 1000.01, "holdings": [{"securityId": security_id, "quantity": "-12.5"}]}
    await put(control, f"portfolios/{portfolio_id}", held)
    assert await balances(simulator, portfolio_id) == {security_id: Decimal("-12.5"), None: Decimal("1000.01")}
    assert await read(control, f"portfolios/{portfolio_id}") == held | {
        "holdings": [{"securityId": security_id, "quantity": -12.5}]
    }
    assert simulator.world.portfolio_count == 3 + len(SpecialCase)
    await delete(control, f"portfolios/{portfolio_id}")
    assert await balances(simulator, portfolio_id) == before


async def test_a_brand_new_portfolio_is_known_to_both_services(
    simulator: Simulator, control: aiohttp.ClientSession
) -> None:
    """Portfolio Accounting has its cash, the Portfolio Service its name, in reads and lists."""
    await put(control, f"portfolios/{NEW}", {"name": "Brand new", "cash": "5000"})
    assert await balances(simulator, NEW) == {None: Decimal(5000)}
    portfolios = f"{simulator.urls.portfolio}/api"
    async with aiohttp.request("GET", f"{portfolios}/v1/portfolio/{NEW}") as response:
        assert (await response.json())["name"] == "Brand new"
    async with aiohttp.request("GET", f"{portfolios}/v2/portfolios?limit=1000") as response:
        page = await response.json()
    assert page["portfolios"][-1]["portfolioId"] == NEW
    assert page["pagination"]["totalElements"] == len(page["portfolios"]) == 3 + len(SpecialCase) + 1
    await delete(control, f"portfolios/{NEW}")
    async with aiohttp.request("GET", f"{portfolios}/v1/portfolio/{NEW}") as response:
        assert response.status == 404


async def test_a_spread_of_zero_returns_the_means(simulator: Simulator, control: aiohttp.ClientSession) -> None:
    """Prices no longer vary from read to read until the spread is restored."""
    await put(control, "prices", {"spread": "0"})
    means = (await read(control, "prices"))["prices"]
    for ticker in list(means)[:3]:
        assert {await close(simulator, ticker) for _ in range(3)} == {Decimal(str(means[ticker]))}
    async with aiohttp.request("GET", f"{simulator.urls.pricing}/api/v1/prices") as response:
        assert {row["ticker"]: row["close"] for row in await response.json()} == means
    await delete(control, "prices")
    assert Decimal(str((await read(control, "prices"))["spread"])) == Decimal("0.016")


async def test_one_price_can_be_exact_while_the_others_are_drawn(
    simulator: Simulator, control: aiohttp.ClientSession
) -> None:
    """One ticker is fixed until its price is restored."""
    ticker = simulator.world.expensive_security.ticker
    other = simulator.world.by_id[simulator.world.priced_security_ids()[0]].ticker
    await put(control, f"prices/{ticker}", {"price": "0.07"})
    assert {await close(simulator, ticker) for _ in range(5)} == {Decimal("0.07")}
    assert len({await close(simulator, other) for _ in range(5)}) > 1
    await delete(control, f"prices/{ticker}")
    assert await close(simulator, ticker) is None
    await put(control, "prices/NEW", {"price": 12.5})
    assert await close(simulator, "NEW") == Decimal("12.5")
    await delete(control, "prices")
    assert await close(simulator, "NEW") is None
    assert await close(simulator, ticker) is not None


async def test_calls_are_counted_by_route_with_the_ids_they_carried(
    simulator: Simulator, control: aiohttp.ClientSession
) -> None:
    """The report has counts for each route, and headers of the last calls."""
    url = f"{simulator.urls.pricing}/api/v1"
    sent = {"X-Correlation-ID": "abc", "traceparent": "00-1-2-01"}
    calls: list[tuple[str, dict[str, str]]] = [
        (f"{url}/prices", sent),
        (f"{url}/price/NOBODY?why=not", {}),
        (f"{url}/price/NOBODY", {}),
        (f"{simulator.urls.security}/api/v1/securities", {}),
    ]
    for called, headers in calls:
        async with aiohttp.request("GET", called, headers=headers) as response:
            await response.read()
    report = await read(control, "calls")
    assert report["total"] == 4
    assert report["routes"] == [
        {"service": "pricing", "route": "GET /api/v1/prices", "count": 1},
        {"service": "pricing", "route": "GET /api/v1/price/{ticker}", "count": 2},
        {"service": "security", "route": "GET /api/v1/securities", "count": 1},
    ]
    first, second, *_ = report["last"]
    assert (first["correlationId"], first["traceparent"]) == ("abc", "00-1-2-01")
    assert (second["target"], second["correlationId"]) == ("/api/v1/price/NOBODY?why=not", None)
    assert first["seconds"] <= second["seconds"]
    assert simulator.calls.count() == 4
    assert simulator.calls.count(Service.PRICING, "GET /api/v1/price/{ticker}") == 2
    assert [call.service for call in simulator.calls.last(Service.SECURITY)] == [Service.SECURITY]
    await delete(control, "calls")
    assert await read(control, "calls") == {"total": 0, "routes": [], "last": []}


async def test_calls_that_a_fault_hits_are_counted_too(simulator: Simulator, control: aiohttp.ClientSession) -> None:
    """A failed call is a call."""
    await put(control, "faults/pricing", [{"fault": "error-status", "status": 503}])
    async with aiohttp.request("GET", f"{simulator.urls.pricing}/api/v1/prices") as response:
        assert response.status == 503
    assert simulator.calls.count(Service.PRICING) == 1


async def test_every_fault_of_the_help_is_understood_and_read_back(
    simulator: Simulator, control: aiohttp.ClientSession
) -> None:
    """Each fault with each option is accepted, and returned as it was set."""
    await put(
        control,
        "faults/order",
        [
            {"fault": "delay", "seconds": 0.2, "up_to": 1.5},
            {"fault": "error-status", "status": 503, "retry_after": 2, "rate": 0.3, "calls": 5, "pause": 3},
            {"fault": "hang", "route": "GET /api/v1/orders"},
            {"fault": "hang-mid-body"},
            {"fault": "slow-body", "bytes_per_second": 100},
            {"fault": "reset", "mid_body": True},
            {"fault": "garbage", "kind": "million-rows"},
            {"fault": "refuse"},
        ],
    )
    assert simulator.faults(Service.ORDER) == (
        Delay(seconds=0.2, up_to=1.5),
        ErrorStatus(status=503, retry_after=2, rate=0.3, calls=5, pause=3),
        Hang(route="GET /api/v1/orders"),
        HangMidBody(),
        SlowBody(bytes_per_second=100),
        Reset(mid_body=True),
        Garbage(kind=GarbageKind.MILLION_ROWS),
        Refuse(),
    )
    by_service = {row["service"]: row["faults"] for row in await read(control, "faults")}
    assert [fault["fault"] for fault in by_service["order"]][-1] == "refuse"
    assert by_service["pricing"] == []
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(simulator.urls.order.rpartition(":")[2]))
    await put(control, "faults/order", [])
    async with aiohttp.request("GET", f"{simulator.urls.order}/api/v1/orders") as response:
        assert response.status == 200
    await put(control, "faults/order", [{"fault": "hang"}])
    await delete(control, "faults")
    assert simulator.faults(Service.ORDER) == ()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults/nobody", []),
        ("faults/pricing", [{"fault": "unheard-of"}]),
        ("faults/pricing", [{"fault": "delay"}]),
        ("faults/pricing", [{"fault": "error-status", "rate": 1.5}]),
        ("faults/pricing", [{"fault": "hang", "call": 5}]),
        ("prices", {"spread": "NaN"}),
        ("prices", {"spread": 1}),
        ("prices/ABC", {"price": "1.005"}),
        ("prices/ABC", {"price": 0}),
        ("prices/ABC", {"price": "Infinity"}),
        ("prices/A B", {"price": 1}),
        (f"portfolios/{NEW}", {"cash": "NaN"}),
        (f"portfolios/{NEW}", {"holdings": [{"securityId": NEW, "quantity": "sNaN"}]}),
        (f"portfolios/{NEW}", {"money": 1}),
    ],
)
async def test_what_is_not_understood_is_refused_and_changes_nothing(
    simulator: Simulator, control: aiohttp.ClientSession, path: str, body: object
) -> None:
    """Unknown services, faults and values are 400 with a reason."""
    async with control.put(path, json=body) as response:
        assert response.status == 400
        assert (await response.json())["error"]
    assert not any(simulator.faults(service) for service in Service)
    assert simulator.world.portfolio(NEW) is None
    assert simulator.prices.spread == Decimal("0.016")
    assert "ABC" not in simulator.prices.means()


async def test_settling_applies_accepted_orders_once_at_current_prices(
    simulator: Simulator, control: aiohttp.ClientSession
) -> None:
    """Cash and holdings change by the orders, and a second settlement changes nothing."""
    bought, sold = simulator.world.priced_security_ids()[:2]
    unpriced = simulator.world.unpriced_security_ids()[0]
    for security_id, price in ((bought, "10.01"), (sold, "200")):
        await put(control, f"prices/{simulator.world.by_id[security_id].ticker}", {"price": price})
    await put(control, f"portfolios/{NEW}", {"cash": "1000", "holdings": [{"securityId": sold, "quantity": "3.5"}]})

    def order(order_type: int, security_id: str, quantity: int) -> dict[str, object]:
        return {
            "blotterId": 1, "statusId": 1, "portfolioId": NEW, "orderTypeId": order_type, "securityId": security_id,
            "quantity": quantity, "orderTimestamp": "2025-08-10T13:23:37Z", "version": 1,
        }  # fmt: skip

    orders = [order(1, bought, 7), order(2, sold, 3), order(1, unpriced, 1)]
    async with aiohttp.request("POST", f"{simulator.urls.order}/api/v1/orders", json=orders) as response:
        assert response.status == 200
    assert await balances(simulator, NEW) == {sold: Decimal("3.5"), None: Decimal(1000)}
    async with control.post("settle") as response:
        assert await response.json() == {"settled": 2, "unpriced": [3]}
    after = {bought: Decimal(7), sold: Decimal("0.5"), None: Decimal("1529.93")}
    assert await balances(simulator, NEW) == after
    async with control.post("settle") as response:
        assert await response.json() == {"settled": 0, "unpriced": []}
    assert await balances(simulator, NEW) == after
