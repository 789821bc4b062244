"""Prices come from two lists, their gaps from single calls, and a snapshot never contradicts itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from aiohttp import web

from integrations.http.errors import BooksInvalid, Cause, ServiceError
from integrations.market_data import MarketData
from integrations.pricing import NO_PRICE, MaximumAge, PriceFault
from tests.integrations.conftest import MakeClient, Notebook, Server, serving

APPLE, PEAR, PLUM, FIG = (f"{number:024x}" for number in range(1, 5))


class Market:
    """The Security and the Pricing Service in one: two lists and single responses, all of them JSON texts."""

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


UNUSABLE = {
    "0": "unusable price 0: not above 0",
    "0.00": "unusable price 0.00: not above 0",
    "-2.10": "unusable price -2.10: not above 0",
    '"NaN"': "unusable price NaN: not a number",
    '"Infinity"': "unusable price Infinity: not a number",
    "null": "unusable price null: not a number",
    "true": "unusable price true: not a number",
    '"cheap"': "unusable price cheap: not a number",
    f'"{"9" * 50}x"': f"unusable price {'9' * 40}...: not a number",
}


@pytest.mark.parametrize(("close", "explanation"), UNUSABLE.items())
async def test_a_price_that_cannot_be_used_is_named_with_its_value_and_the_reason(
    market_data: MakeMarketData, market: Market, server: Server, notebook: Notebook, close: str, explanation: str
) -> None:
    """Nothing else is requested for it, other prices are not affected, and the observer is notified."""
    market.prices = f'[{{"ticker": "PEAR", "close": {close}}}, {{"ticker": "AAPL", "close": 190.55}}]'
    quote = await (await market_data().snapshot(deadline=None)).quote([APPLE, PEAR], deadline=None)
    assert quote.prices == {APPLE: Decimal("190.55")}
    assert {key: (price.fault, price.explanation) for key, price in quote.unpriced.items()} == {
        PEAR: (PriceFault.UNUSABLE, explanation)
    }
    assert server.paths.count("/api/v1/price/PEAR") == 0
    assert notebook.refusals == [("pricing", 1, f"PEAR: {explanation}")]


async def test_a_row_without_a_price_is_an_unusable_price(market_data: MakeMarketData, market: Market) -> None:
    """A ticker that is listed without `close` is reported as such."""
    market.prices = '[{"ticker": "PEAR"}]'
    quote = await (await market_data().snapshot(deadline=None)).quote([PEAR], deadline=None)
    assert quote.unpriced[PEAR].explanation == "row without a price"


@pytest.mark.parametrize("bad", ['{"ticker": ["PEAR"], "close": 1}', '{"close": 1}', "null", "5", '"PEAR"'])
async def test_a_row_without_a_ticker_is_left_out_and_reported(
    market_data: MakeMarketData, market: Market, notebook: Notebook, bad: str
) -> None:
    """Such a row is about nothing, so the price it may have been is requested by itself."""
    market.prices = f'[{bad}, {{"ticker": "AAPL", "close": 190.55}}]'
    market.single["price/PEAR"] = '{"ticker": "PEAR", "close": 2.10}'
    quote = await (await market_data().snapshot(deadline=None)).quote([APPLE, PEAR], deadline=None)
    assert quote.prices == {APPLE: Decimal("190.55"), PEAR: Decimal("2.10")}
    ((service, rows, reason),) = notebook.refusals
    assert (service, rows) == ("pricing", 1)
    assert reason.startswith("row 0: ")


@pytest.mark.parametrize(
    "close", ["999999999999999.999999999999999999", "0.000000000000000001", "12345678.50", '"190.55"']
)
async def test_prices_within_the_limits_are_exact(market_data: MakeMarketData, market: Market, close: str) -> None:
    """A price has up to 18 decimals and is below 10^15, as a JSON number or a string."""
    market.prices = f'[{{"ticker": "AAPL", "close": {close}}}]'
    quote = await (await market_data().snapshot(deadline=None)).quote([APPLE], deadline=None)
    assert quote.prices == {APPLE: Decimal(close.strip('"'))}


async def invalid_books(data: MarketData, *security_ids: str) -> BooksInvalid:
    """Return the error of a quote, and check that it affects no quote without these securities."""
    snapshot = await data.snapshot(deadline=None)
    with pytest.raises(BooksInvalid) as raised:
        await snapshot.quote([APPLE, *security_ids], deadline=None)
    assert (await snapshot.quote([APPLE], deadline=None)).prices == {APPLE: Decimal("190.55")}
    return raised.value


@pytest.mark.parametrize(
    ("close", "reason"),
    [
        ("1E+400", "price 1E+400 of PEAR is not below 10^15"),
        ("1000000000000000", "price 1000000000000000 of PEAR is not below 10^15"),
        ("0.0000000000000000001", "price 0.0000000000000000001 of PEAR has more than 18 decimals"),
    ],
)
@pytest.mark.parametrize("single", [False, True], ids=["listed", "single"])
async def test_a_price_beyond_the_limits_makes_the_books_invalid(
    market_data: MakeMarketData, market: Market, close: str, reason: str, single: bool
) -> None:
    """Too many digits are named with their value, in the list and in a single response."""
    row = f'{{"ticker": "PEAR", "close": {close}}}'
    good = '{"ticker": "AAPL", "close": 190.55}'
    market.prices = f"[{good}]" if single else f"[{good}, {row}]"
    market.single["price/PEAR"] = row
    error = await invalid_books(market_data(), PEAR)
    assert (error.service, error.reason, error.security_ids) == ("pricing", reason, (PEAR,))


@pytest.mark.parametrize(
    ("closes", "reason"),
    [
        (("2", "3", "2"), "ticker PEAR has contradictory prices: 2 and 3"),
        (("0", "2.5"), "ticker PEAR has contradictory prices: 0 and 2.5"),
        (("2.5", "null"), "ticker PEAR has contradictory prices: 2.5 and null"),
    ],
)
async def test_contradictory_prices_make_the_books_invalid_without_a_single_call(
    market_data: MakeMarketData, market: Market, server: Server, closes: tuple[str, ...], reason: str
) -> None:
    """A zero next to a good price is a contradiction, too; nothing decides which of them is right."""
    rows = ['{"ticker": "AAPL", "close": 190.55}', *(f'{{"ticker": "PEAR", "close": {close}}}' for close in closes)]
    market.prices = f"[{','.join(rows)}]"
    market.single["price/PEAR"] = '{"ticker": "PEAR", "close": 2.5}'
    error = await invalid_books(market_data(), PEAR)
    assert (error.service, error.reason, error.security_ids) == ("pricing", reason, (PEAR,))
    assert server.paths.count("/api/v1/price/PEAR") == 0


async def test_equal_rows_are_harmless_in_both_lists(market_data: MakeMarketData, market: Market) -> None:
    """Rows that say the same, also with another scale, count once."""
    market.prices = '[{"ticker": "AAPL", "close": 1}, {"ticker": "AAPL", "close": 1.0}]'
    market.securities = market.securities[:-1] + "," + market.securities[1:]
    quote = await (await market_data().snapshot(deadline=None)).quote([APPLE], deadline=None)
    assert quote.prices == {APPLE: Decimal(1)}


async def test_two_tickers_of_one_security_make_the_books_invalid(
    market_data: MakeMarketData, market: Market, server: Server
) -> None:
    """Contradictory rows of a security are not settled by a single call either."""
    market.securities = market.securities[:-1] + f', {{"securityId": "{PEAR}", "ticker": "PEER"}}]'
    market.single[f"security/{PEAR}"] = f'{{"securityId": "{PEAR}", "ticker": "PEAR"}}'
    error = await invalid_books(market_data(), PEAR)
    assert (error.service, error.security_ids) == ("security", (PEAR,))
    assert error.reason == f"security {PEAR} has the tickers PEAR and PEER"
    assert server.paths.count(f"/api/v1/security/{PEAR}") == 0


async def test_two_securities_with_one_ticker_make_the_books_of_both_invalid(
    market_data: MakeMarketData, market: Market
) -> None:
    """A price by ticker belongs to one security only, so neither is priced by it."""
    market.securities = market.securities[:-1] + f', {{"securityId": "{PLUM}", "ticker": "PEAR"}}]'
    for security_id in (PEAR, PLUM):
        error = await invalid_books(market_data(), security_id)
        assert (error.service, error.security_ids) == ("security", (security_id,))
        assert error.reason == f"securities {PEAR}, {PLUM} have the same ticker PEAR"


async def test_a_single_security_with_a_listed_ticker_makes_the_books_invalid(
    market_data: MakeMarketData, market: Market
) -> None:
    """A security that is missing from the list is not priced by the ticker of another one."""
    market.single[f"security/{PLUM}"] = f'{{"securityId": "{PLUM}", "ticker": "PEAR"}}'
    error = await invalid_books(market_data(), PLUM)
    assert error.reason == f"securities {PLUM}, {PEAR} have the same ticker PEAR"


TODAY = date(2026, 3, 2)


@pytest.mark.parametrize(
    ("dated", "explanation"),
    [
        ('"2026-03-02"', None),
        ('"2026-03-02T16:00:00Z"', None),
        ('"2026-02-25"', None),
        ('"2026-03-03"', None),
        ('"2026-02-24"', "price 2.10 of 2026-02-24 is older than 5 days"),
        ('"2025-08-10"', "price 2.10 of 2025-08-10 is older than 5 days"),
        ("null", "price 2.10 has no date"),
        ('"yesterday"', "price 2.10 has the date yesterday"),
        ("5", "price 2.10 has the date 5"),
    ],
)
async def test_a_price_is_too_old_by_its_own_date(
    make_client: MakeClient, server: Server, market: Market, dated: str, explanation: str | None
) -> None:
    """With a maximum age, an older price counts as missing; the reason names its value and date."""
    market.prices = f'[{{"ticker": "PEAR", "close": 2.10, "date": {dated}}}]'
    data = MarketData(
        make_client(server.url, "security"),
        make_client(server.url, "pricing"),
        security_ttl_seconds=600,
        price_ttl_seconds=60,
        maximum_price_age=MaximumAge(5, lambda: TODAY),
    )
    quote = await (await data.snapshot(deadline=None)).quote([PEAR], deadline=None)
    if explanation is None:
        assert quote.prices == {PEAR: Decimal("2.10")}
    else:
        assert quote.unpriced[PEAR].fault is PriceFault.TOO_OLD
        assert quote.unpriced[PEAR].explanation == explanation


async def test_without_a_maximum_age_a_price_of_any_date_is_used(market_data: MakeMarketData, market: Market) -> None:
    """Neither an old date nor a malformed one matters by default."""
    for dated in ('"1999-12-31"', "null", "5"):
        market.prices = f'[{{"ticker": "PEAR", "close": 2.10, "date": {dated}}}]'
        quote = await (await market_data().snapshot(deadline=None)).quote([PEAR], deadline=None)
        assert quote.prices == {PEAR: Decimal("2.10")}


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
