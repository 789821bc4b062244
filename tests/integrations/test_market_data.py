"""Prices come from two lists, their gaps from single calls, and a snapshot never contradicts itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from aiohttp import web

from integrations.http.errors import Cause, ServiceError
from integrations.market_data import MarketData
from tests.integrations.conftest import MakeClient, Notebook, Server, serving

APPLE, PEAR, PLUM, FIG = (f"{number:024x}" for number in range(1, 5))


class Market:
    """The Security and the Pricing Service in one: two lists and single answers, all of them JSON texts."""

    def __init__(self) -> None:
        self.securities = (
            f'[{{"securityId": "{APPLE}", "ticker": "AAPL"}}, {{"securityId": "{PEAR}", "ticker": "PEAR"}}]'
        )
        self.prices = '[{"ticker": "AAPL", "close": 190.55}, {"ticker": "PEAR", "close": 2.10}]'
        self.single: dict[str, str] = {}
        self.statuses: dict[str, int] = {}

    async def __call__(self, request: web.Request) -> web.Response:
        path = request.raw_path.removeprefix("/api/v1/")
        lists = {"securities": self.securities, "prices": self.prices}
        body = lists.get(path) or self.single.get(path)
        status = self.statuses.get(path, 404 if body is None else 200)
        await asyncio.sleep(0.01)
        return web.Response(text=body or "{}", status=status, content_type="application/json")


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
async def server(market: Market) -> AsyncIterator[Server]:
    async with serving(market) as server:
        yield server


type MakeMarketData = Callable[..., MarketData]


@pytest.fixture
def market_data(make_client: MakeClient, server: Server) -> MakeMarketData:
    def make(security_ttl_seconds: float = 600, price_ttl_seconds: float = 60) -> MarketData:
        return MarketData(
            make_client(server.url, "security"),
            make_client(server.url, "pricing"),
            security_ttl_seconds=security_ttl_seconds,
            price_ttl_seconds=price_ttl_seconds,
        )

    return make


async def test_two_calls_price_any_number_of_securities_for_any_number_of_portfolios(
    market_data: MakeMarketData, server: Server
) -> None:
    before = datetime.now(UTC)
    snapshot = await market_data().snapshot(deadline=None)
    quotes = await asyncio.gather(*(snapshot.quote([PEAR, APPLE, PEAR], deadline=None) for _ in range(100)))
    assert all(quote.prices == {PEAR: Decimal("2.10"), APPLE: Decimal("190.55")} for quote in quotes)
    assert all(quote.unknown == quote.unpriced == () for quote in quotes)
    assert timedelta() <= snapshot.taken_at - before < timedelta(minutes=1)
    assert sorted(server.paths) == ["/api/v1/prices", "/api/v1/securities"]


async def test_snapshots_share_both_lists_while_they_are_fresh(market_data: MakeMarketData, server: Server) -> None:
    data = market_data()
    snapshots = await asyncio.gather(*(data.snapshot(deadline=None) for _ in range(20)))
    assert len({snapshot.taken_at for snapshot in snapshots}) == 1
    assert sorted(server.paths) == ["/api/v1/prices", "/api/v1/securities"]


async def test_a_cache_that_is_turned_off_asks_every_time(market_data: MakeMarketData, server: Server) -> None:
    data = market_data(price_ttl_seconds=0)
    first, second = [await data.snapshot(deadline=None) for _ in range(2)]
    assert first.taken_at < second.taken_at
    assert sorted(server.paths) == ["/api/v1/prices", "/api/v1/prices", "/api/v1/securities"]


async def test_a_snapshot_keeps_its_prices_when_newer_ones_are_known(
    market_data: MakeMarketData, market: Market
) -> None:
    data = market_data(price_ttl_seconds=0)
    earlier = await data.snapshot(deadline=None)
    market.prices = market.prices.replace("190.55", "200")
    later = await data.snapshot(deadline=None)
    assert (await later.quote([APPLE], deadline=None)).prices == {APPLE: Decimal(200)}
    assert (await earlier.quote([APPLE], deadline=None)).prices == {APPLE: Decimal("190.55")}


async def test_gaps_in_the_lists_are_asked_for_once_for_all_portfolios(
    market_data: MakeMarketData, market: Market, server: Server
) -> None:
    """A security missing from both lists costs two calls, one unpriced or unknown costs one each, found or not."""
    market.single[f"security/{PLUM}"] = f'{{"securityId": "{PLUM}", "ticker": "PLUM/B"}}'
    market.single["price/PLUM%2FB"] = '{"ticker": "PLUM/B", "close": 7.77}'
    market.prices = '[{"ticker": "AAPL", "close": 190.55}]'
    snapshot = await market_data().snapshot(deadline=None)
    server.requests.clear()
    wanted = [FIG, PEAR, PLUM, APPLE]
    quotes = await asyncio.gather(*(snapshot.quote(wanted, deadline=None) for _ in range(30)))
    quotes.append(await snapshot.quote(wanted, deadline=None))
    assert all(quote == quotes[0] for quote in quotes)
    assert quotes[0].prices == {PLUM: Decimal("7.77"), APPLE: Decimal("190.55")}
    assert (quotes[0].unknown, quotes[0].unpriced) == ((FIG,), (PEAR,))
    assert sorted(request.raw_path for request in server.requests) == [
        "/api/v1/price/PEAR",
        "/api/v1/price/PLUM%2FB",
        f"/api/v1/security/{PLUM}",
        f"/api/v1/security/{FIG}",
    ]


async def test_a_gap_that_was_found_keeps_its_price(market_data: MakeMarketData, market: Market) -> None:
    """The service draws every answer anew; the snapshot does not ask twice."""
    market.prices = '[{"ticker": "AAPL", "close": 190.55}]'
    market.single["price/PEAR"] = '{"ticker": "PEAR", "close": 2.10}'
    snapshot = await market_data().snapshot(deadline=None)
    first = await snapshot.quote([PEAR], deadline=None)
    market.single["price/PEAR"] = '{"ticker": "PEAR", "close": 2.20}'
    assert await snapshot.quote([PEAR], deadline=None) == first


async def test_an_id_that_is_not_hexadecimal_is_unknown_without_a_call(
    market_data: MakeMarketData, server: Server
) -> None:
    """The Security Service would answer it with 500, which would count against it."""
    snapshot = await market_data().snapshot(deadline=None)
    server.requests.clear()
    quote = await snapshot.quote(["PearPearPearPearPearPear"], deadline=None)
    assert quote.unknown == ("PearPearPearPearPearPear",)
    assert server.requests == []


@pytest.mark.parametrize(
    "bad",
    [
        '{"ticker": "PEAR", "close": 0}',
        '{"ticker": "PEAR", "close": 0.00}',
        '{"ticker": "PEAR", "close": -2.10}',
        '{"ticker": "PEAR", "close": "NaN"}',
        '{"ticker": "PEAR", "close": "Infinity"}',
        '{"ticker": "PEAR", "close": 1E+400}',
        '{"ticker": "PEAR", "close": 10000000}',
        '{"ticker": "PEAR", "close": 0.000000001}',
        '{"ticker": "PEAR", "close": null}',
        '{"ticker": "PEAR", "close": "cheap"}',
        '{"ticker": "PEAR"}',
        '{"ticker": ["PEAR"], "close": 1}',
        '{"close": 1}',
        "null",
        "5",
        '"PEAR"',
    ],
)
async def test_a_bad_row_costs_only_its_own_ticker(
    market_data: MakeMarketData, market: Market, notebook: Notebook, bad: str
) -> None:
    market.prices = f'[{bad}, {{"ticker": "AAPL", "close": 190.55}}]'
    snapshot = await market_data().snapshot(deadline=None)
    quote = await snapshot.quote([APPLE, PEAR], deadline=None)
    assert quote.prices == {APPLE: Decimal("190.55")}
    assert quote.unpriced == (PEAR,)
    ((service, rows, reason),) = notebook.refusals
    assert (service, rows) == ("pricing", 1)
    assert reason.startswith("row 0: ")


async def test_a_bad_security_row_is_filled_by_a_call_of_its_own(market_data: MakeMarketData, market: Market) -> None:
    market.securities = market.securities.replace('"ticker": "PEAR"', '"ticker": ""')
    market.single[f"security/{PEAR}"] = f'{{"securityId": "{PEAR}", "ticker": "PEAR"}}'
    snapshot = await market_data().snapshot(deadline=None)
    assert (await snapshot.quote([PEAR], deadline=None)).prices == {PEAR: Decimal("2.10")}


async def test_equal_rows_count_once_and_contradicting_ones_are_settled_by_asking(
    market_data: MakeMarketData, market: Market, server: Server, notebook: Notebook
) -> None:
    market.prices = msgspec.json.encode(
        [{"ticker": "AAPL", "close": 1}, {"ticker": "AAPL", "close": 1.0}]
        + [{"ticker": "PEAR", "close": close} for close in (2, 3, 2)]
    ).decode()
    market.single["price/PEAR"] = '{"ticker": "PEAR", "close": 2.5}'
    snapshot = await market_data().snapshot(deadline=None)
    quote = await snapshot.quote([APPLE, PEAR], deadline=None)
    assert quote.prices == {APPLE: Decimal(1), PEAR: Decimal("2.5")}
    assert server.paths.count("/api/v1/price/PEAR") == 1
    assert notebook.refusals == [("pricing", 1, "row 3: a second value for PEAR")]


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        ("{}", "answer does not fit the contract: Expected `array`, got `object`"),
        ("null", "answer does not fit the contract: Expected `array`, got `null`"),
        ('[{"ticker": "AAPL", "close": NaN}]', "answer is not JSON"),
        ('[{"ticker": "AAPL", "close": 0}, {}]', "not one usable row of 2; row 0: close is not above 0"),
        ('[{"ticker": "AAPL", "close": 1}' + ", {}" * 50_000 + "]", "50001 rows are more than 50000"),
    ],
)
async def test_a_list_without_a_usable_row_is_an_error_not_a_hundred_single_calls(
    market_data: MakeMarketData, market: Market, server: Server, prices: str, reason: str
) -> None:
    market.prices = prices
    with pytest.raises(ServiceError) as raised:
        await market_data().snapshot(deadline=None)
    assert (raised.value.service, raised.value.cause) == ("pricing", Cause.BAD_PAYLOAD)
    assert raised.value.reason.startswith(reason)
    assert server.paths.count("/api/v1/prices") == 1


async def test_an_empty_list_is_one_big_gap(market_data: MakeMarketData, market: Market) -> None:
    market.prices = "[]"
    snapshot = await market_data().snapshot(deadline=None)
    assert (await snapshot.quote([APPLE], deadline=None)).unpriced == (APPLE,)


async def test_a_failed_list_is_asked_for_again_by_the_next_rebalance(
    market_data: MakeMarketData, market: Market
) -> None:
    data = market_data()
    good, market.prices = market.prices, "<html>"
    with pytest.raises(ServiceError):
        await data.snapshot(deadline=None)
    market.prices = good
    assert (await (await data.snapshot(deadline=None)).quote([APPLE], deadline=None)).prices


@pytest.mark.parametrize(
    ("single", "reason"),
    [
        ('{"ticker": "AAPL", "close": 2.1}', "response is about something that was not requested"),
        ('{"ticker": "pear", "close": 2.1}', "response is about something that was not requested"),
        ('{"ticker": "PEAR", "close": "cheap"}', "answer does not fit the contract: Invalid decimal string"),
        ("[]", "answer does not fit the contract: Expected `object`, got `array`"),
    ],
)
async def test_a_nonsensical_single_price_is_an_error_for_whoever_needs_it(
    market_data: MakeMarketData, market: Market, single: str, reason: str
) -> None:
    market.prices = '[{"ticker": "AAPL", "close": 190.55}]'
    market.single["price/PEAR"] = single
    snapshot = await market_data().snapshot(deadline=None)
    with pytest.raises(ServiceError) as raised:
        await snapshot.quote([APPLE, PEAR], deadline=None)
    assert (raised.value.service, raised.value.cause) == ("pricing", Cause.BAD_PAYLOAD)
    assert raised.value.reason.startswith(reason)
    assert (await snapshot.quote([APPLE], deadline=None)).prices == {APPLE: Decimal("190.55")}


@pytest.mark.parametrize("close", ["0", "-1", '"NaN"'])
async def test_a_single_price_that_nobody_could_pay_is_no_price(
    market_data: MakeMarketData, market: Market, notebook: Notebook, close: str
) -> None:
    market.prices = '[{"ticker": "AAPL", "close": 190.55}]'
    market.single["price/PEAR"] = f'{{"ticker": "PEAR", "close": {close}}}'
    snapshot = await market_data().snapshot(deadline=None)
    assert (await snapshot.quote([PEAR], deadline=None)).unpriced == (PEAR,)
    assert [rows for _, rows, _ in notebook.refusals] == [1]


async def test_a_single_security_that_answers_for_another_is_an_error(
    market_data: MakeMarketData, market: Market
) -> None:
    market.single[f"security/{PLUM}"] = f'{{"securityId": "{APPLE}", "ticker": "AAPL"}}'
    snapshot = await market_data().snapshot(deadline=None)
    with pytest.raises(ServiceError, match="response is about something that was not requested"):
        await snapshot.quote([PLUM], deadline=None)


async def test_a_failing_gap_fails_only_the_quotes_that_need_it(
    market_data: MakeMarketData, market: Market, no_waits: None
) -> None:
    market.statuses[f"security/{PLUM}"] = 500
    snapshot = await market_data().snapshot(deadline=None)
    needing, other = await asyncio.gather(
        snapshot.quote([APPLE, PLUM], deadline=None), snapshot.quote([APPLE], deadline=None), return_exceptions=True
    )
    assert isinstance(needing, ServiceError)
    assert (needing.service, needing.status) == ("security", 500)
    assert not isinstance(other, BaseException)
    assert other.prices == {APPLE: Decimal("190.55")}


async def test_when_a_list_fails_the_other_is_not_waited_for_and_the_error_stands_alone(
    market_data: MakeMarketData, market: Market, no_waits: None
) -> None:
    market.statuses["securities"] = 503
    with pytest.raises(ServiceError) as raised:
        await market_data().snapshot(deadline=None)
    assert (raised.value.service, raised.value.cause) == ("security", Cause.STATUS)
