"""Prices come from two lists, their gaps from single calls, and a snapshot never contradicts itself."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from integrations.http.errors import Cause, ServiceError
from integrations.pricing import NO_PRICE, PriceFault
from tests.integrations.conftest import Notebook, Server
from tests.integrations.markets import APPLE, FIG, PEAR, PLUM, MakeMarketData, Market


async def test_two_calls_price_any_number_of_securities_for_any_number_of_portfolios(
    market_data: MakeMarketData, server: Server
) -> None:
    """A hundred quotes cost one list of securities and one of prices."""
    before = datetime.now(UTC)
    snapshot = await market_data().snapshot(deadline=None)
    quotes = await asyncio.gather(*(snapshot.quote([PEAR, APPLE, PEAR], deadline=None) for _ in range(100)))
    assert all(quote.prices == {PEAR: Decimal("2.10"), APPLE: Decimal("190.55")} for quote in quotes)
    assert all(quote.tickers == {PEAR: "PEAR", APPLE: "AAPL"} for quote in quotes)
    assert all((quote.unknown, quote.unpriced) == ((), {}) for quote in quotes)
    assert timedelta() <= snapshot.taken_at - before < timedelta(minutes=1)
    assert sorted(server.paths) == ["/api/v1/prices", "/api/v1/securities"]


async def test_snapshots_share_both_lists_while_they_are_fresh(market_data: MakeMarketData, server: Server) -> None:
    """Twenty snapshots have the same time and cost two requests."""
    data = market_data()
    snapshots = await asyncio.gather(*(data.snapshot(deadline=None) for _ in range(20)))
    assert len({snapshot.taken_at for snapshot in snapshots}) == 1
    assert sorted(server.paths) == ["/api/v1/prices", "/api/v1/securities"]


async def test_a_cache_that_is_turned_off_asks_every_time(market_data: MakeMarketData, server: Server) -> None:
    """Each snapshot has prices of its own."""
    data = market_data(price_ttl_seconds=0)
    first, second = [await data.snapshot(deadline=None) for _ in range(2)]
    assert first.taken_at < second.taken_at
    assert sorted(server.paths) == ["/api/v1/prices", "/api/v1/prices", "/api/v1/securities"]


async def test_a_snapshot_keeps_its_prices_when_newer_ones_are_known(
    market_data: MakeMarketData, market: Market
) -> None:
    """Prices do not change within a rebalance."""
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
    assert (quotes[0].unknown, quotes[0].unpriced) == ((FIG,), {PEAR: NO_PRICE})
    assert quotes[0].tickers == {APPLE: "AAPL", PEAR: "PEAR", PLUM: "PLUM/B"}
    assert sorted(request.raw_path for request in server.requests) == [
        "/api/v1/price/PEAR",
        "/api/v1/price/PLUM%2FB",
        f"/api/v1/security/{PLUM}",
        f"/api/v1/security/{FIG}",
    ]


async def test_a_gap_that_was_found_keeps_its_price(market_data: MakeMarketData, market: Market) -> None:
    """The service draws every response anew; the snapshot does not ask twice."""
    market.prices = '[{"ticker": "AAPL", "close": 190.55}]'
    market.single["price/PEAR"] = '{"ticker": "PEAR", "close": 2.10}'
    snapshot = await market_data().snapshot(deadline=None)
    first = await snapshot.quote([PEAR], deadline=None)
    market.single["price/PEAR"] = '{"ticker": "PEAR", "close": 2.20}'
    assert await snapshot.quote([PEAR], deadline=None) == first


async def test_an_id_that_is_not_hexadecimal_is_unknown_without_a_call(
    market_data: MakeMarketData, server: Server
) -> None:
    """The Security Service would respond it with 500, which would count against it."""
    snapshot = await market_data().snapshot(deadline=None)
    server.requests.clear()
    quote = await snapshot.quote(["PearPearPearPearPearPear"], deadline=None)
    assert quote.unknown == ("PearPearPearPearPearPear",)
    assert server.requests == []


async def test_a_bad_security_row_is_filled_by_a_call_of_its_own(market_data: MakeMarketData, market: Market) -> None:
    """A row without a ticker costs one single read."""
    market.securities = market.securities.replace('"ticker": "PEAR"', '"ticker": ""')
    market.single[f"security/{PEAR}"] = f'{{"securityId": "{PEAR}", "ticker": "PEAR"}}'
    snapshot = await market_data().snapshot(deadline=None)
    assert (await snapshot.quote([PEAR], deadline=None)).prices == {PEAR: Decimal("2.10")}


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        ("{}", "response does not match the contract: Expected `array`, got `object`"),
        ("null", "response does not match the contract: Expected `array`, got `null`"),
        ('[{"ticker": "AAPL", "close": NaN}]', "response is not JSON"),
        ('[{}, {"ticker": 5}]', "not one usable row of 2; row 0: Object missing required field `ticker`"),
        ('[{"ticker": "AAPL", "close": 1}' + ", {}" * 50_000 + "]", "50001 rows are more than 50000"),
    ],
)
async def test_a_list_without_a_usable_row_is_an_error_not_a_hundred_single_calls(
    market_data: MakeMarketData, market: Market, server: Server, prices: str, reason: str
) -> None:
    """The error names the service and the defect of the first rows."""
    market.prices = prices
    with pytest.raises(ServiceError) as raised:
        await market_data().snapshot(deadline=None)
    assert (raised.value.service, raised.value.cause) == ("pricing", Cause.BAD_PAYLOAD)
    assert raised.value.reason.startswith(reason)
    assert server.paths.count("/api/v1/prices") == 1


async def test_a_list_without_any_usable_price_is_read_again_by_the_next_rebalance(
    market_data: MakeMarketData, market: Market, server: Server
) -> None:
    """A list of nothing but prices of 0 shows a service that fails, and is not kept for the time of a good list."""
    data = market_data()
    good, market.prices = market.prices, '[{"ticker": "AAPL", "close": 0}, {"ticker": "PEAR", "close": 0}]'
    failing = await (await data.snapshot(deadline=None)).quote([APPLE, PEAR], deadline=None)
    assert (failing.prices, set(failing.unpriced)) == ({}, {APPLE, PEAR})
    market.prices = good
    for _ in range(2):
        quote = await (await data.snapshot(deadline=None)).quote([APPLE, PEAR], deadline=None)
        assert set(quote.prices) == {APPLE, PEAR}
    assert server.paths.count("/api/v1/prices") == 2


async def test_an_empty_list_is_one_big_gap(market_data: MakeMarketData, market: Market) -> None:
    """Every security is without a price."""
    market.prices = "[]"
    snapshot = await market_data().snapshot(deadline=None)
    assert (await snapshot.quote([APPLE], deadline=None)).unpriced == {APPLE: NO_PRICE}


async def test_a_failed_list_is_asked_for_again_by_the_next_rebalance(
    market_data: MakeMarketData, market: Market
) -> None:
    """Failures are not cached."""
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
        ('{"ticker": 5, "close": 2.1}', "response does not match the contract: Expected `str`, got `int`"),
        ("[]", "response does not match the contract: Expected `object`, got `array`"),
    ],
)
async def test_a_nonsensical_single_price_is_an_error_for_whoever_needs_it(
    market_data: MakeMarketData, market: Market, single: str, reason: str
) -> None:
    """Other quotes of the same snapshot succeed."""
    market.prices = '[{"ticker": "AAPL", "close": 190.55}]'
    market.single["price/PEAR"] = single
    snapshot = await market_data().snapshot(deadline=None)
    with pytest.raises(ServiceError) as raised:
        await snapshot.quote([APPLE, PEAR], deadline=None)
    assert (raised.value.service, raised.value.cause) == ("pricing", Cause.BAD_PAYLOAD)
    assert raised.value.reason.startswith(reason)
    assert (await snapshot.quote([APPLE], deadline=None)).prices == {APPLE: Decimal("190.55")}


@pytest.mark.parametrize("close", ["0", "-1", '"NaN"', '"cheap"', "null"])
async def test_a_single_price_that_cannot_be_used_is_named_like_a_listed_one(
    market_data: MakeMarketData, market: Market, notebook: Notebook, close: str
) -> None:
    """The value and the reason come from the single response."""
    market.prices = '[{"ticker": "AAPL", "close": 190.55}]'
    market.single["price/PEAR"] = f'{{"ticker": "PEAR", "close": {close}}}'
    snapshot = await market_data().snapshot(deadline=None)
    missing = (await snapshot.quote([PEAR], deadline=None)).unpriced[PEAR]
    assert (missing.fault, missing.value) == (PriceFault.UNUSABLE, close.strip('"'))
    assert [rows for _, rows, _ in notebook.refusals] == [1]


async def test_a_single_security_that_stands_for_another_is_an_error(
    market_data: MakeMarketData, market: Market
) -> None:
    """A response about another security is rejected."""
    market.single[f"security/{PLUM}"] = f'{{"securityId": "{APPLE}", "ticker": "AAPL"}}'
    snapshot = await market_data().snapshot(deadline=None)
    with pytest.raises(ServiceError, match="response is about something that was not requested"):
        await snapshot.quote([PLUM], deadline=None)


async def test_a_failing_gap_fails_only_the_quotes_that_need_it(
    market_data: MakeMarketData, market: Market, no_waits: None
) -> None:
    """Quotes of known securities succeed."""
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
    """The first failure is raised, and not within a group."""
    market.statuses["securities"] = 503
    with pytest.raises(ServiceError) as raised:
        await market_data().snapshot(deadline=None)
    assert (raised.value.service, raised.value.cause) == ("security", Cause.STATUS)
